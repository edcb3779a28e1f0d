"""The messages of training, and what each of them reveals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from vsplit.learn.batches import batch_count
from vsplit.learn.plan import Plan
from vsplit.protocol import Array, Bytes, Floats, Message

# Room for the head and the padding of any message of this module.
HEAD = 1024


class Parts(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party, once, only where the split is by date: the part of each shared record."""

    reveals: ClassVar[str] = "for each shared record whether its date is old (training), newer or newest (test)"

    part: Annotated[Bytes, Array("uint8", (None,))]

    def check(self) -> None:
        if len(self.part) and self.part.max() > 2:
            raise ValueError("a part is 0, 1 or 2")


class Embedding(Message, frozen=True, kw_only=True, eq=False):
    """Feature party to label party: the bottom model's output for one batch, float32 [rows, width]."""

    reveals: ClassVar[str] = (
        "a few numbers per record, computed from its features by a private model; they can give features away"
    )

    step: int
    values: Annotated[Floats, Array("float32", (None, None))]


class Gradient(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party: the gradient of the loss at that embedding, float32 [rows, width]."""

    reveals: ClassVar[str] = "how the loss would change with the embedding; in most tasks this gives labels away"

    step: int
    values: Annotated[Floats, Array("float32", (None, None))]


class Verdict(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party, after each epoch: whether to keep this epoch's weights, and whether to stop."""

    reveals: ClassVar[str] = "whether the model became better in this epoch, and whether training ends"

    epoch: int
    keep: bool
    stop: bool


@dataclass(frozen=True, slots=True)
class Expected:
    """About how much of one kind of message a training sends: `bytes` in all `messages` together."""

    sender: str
    receiver: str
    kind: type[Message]
    messages: int
    bytes: int


def expected_traffic(
    plan: Plan, label_party: str, rows: tuple[int, int, int], *, by_date: bool = False, persons: int | None = None
) -> list[Expected]:
    """What training by `plan` sends when (train, validation, test) `rows` are shared and no epoch is saved.

    `persons` is how many persons have these rows; None: each row is a person of its own.
    """
    train, validation, test = rows
    told = sum(rows) if persons is None else persons
    forward = plan.epochs * (train + validation) + validation + test
    batches = {part: batch_count(part, plan.batch_size) for part in rows}
    steps = plan.epochs * batches[train]
    count = steps + plan.epochs * batches[validation] + batches[validation] + batches[test]
    traffic = []
    for name in plan.contributors:
        if name == label_party:
            continue
        if by_date:
            traffic.append(Expected(label_party, name, Parts, 1, told + 64))
        traffic += [
            Expected(name, label_party, Embedding, count, forward * plan.width * 4 + count * 64),
            Expected(label_party, name, Gradient, steps, plan.epochs * train * plan.width * 4 + steps * 64),
            Expected(label_party, name, Verdict, plan.epochs, plan.epochs * 34),
        ]
    return traffic
