"""The messages of training, with what each of them reveals."""

from __future__ import annotations

from typing import Annotated, ClassVar

from vsplit.measured import COMMAND, LABELS, LABELS_IN_ALL
from vsplit.protocol import Array, Bytes, Floats, Message


class Parts(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party, once, only where the split is by date: the part of each shared record."""

    reveals: ClassVar[str] = (
        "for each shared record, whether its date is old (training), newer (validation) or newest (test)"
    )

    part: Annotated[Bytes, Array("uint8", (None,))]

    def check(self) -> None:
        if len(self.part) and self.part.max() > 2:
            raise ValueError("a part is 0, 1 or 2")


class Gradient(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party: the gradient of the loss at that embedding, float32 [rows, width].

    With `checkpoint`, all parties store their state once this step is applied.
    """

    reveals: ClassVar[str] = (
        "for each training record, in each epoch again, how the loss would change with the embedding. This discloses its label "
        f"(in the examples, of two classes, {LABELS} of all labels in the first epoch, {LABELS_IN_ALL} over all epochs), its "
        f"approximate score by the joint model and, with known records, part of other parties' features ({COMMAND})"
    )

    step: int
    checkpoint: bool
    values: Annotated[Floats, Array("float32", (None, None))]


class Verdict(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party, after each epoch: whether this epoch's weights are the best so far, and whether to stop."""

    reveals: ClassVar[str] = "whether the model became better in this epoch, and whether training ends"

    epoch: int
    keep: bool
    stop: bool
