"""`concat` and `sum`: each embedding is sent as it is, and the label party joins them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from vsplit.aggregation.interface import Aggregate, Batch, CutLayer, EmbeddingReceiver, EmbeddingSender
from vsplit.measured import COMMAND, INVERTED
from vsplit.protocol import HEAD, Array, Floats, Message, ProtocolError, Role, receive, send


class Embedding(Message, frozen=True, kw_only=True, eq=False):
    """Feature party to label party: the bottom model's output for one batch, float32 [rows, width]."""

    reveals: ClassVar[str] = (
        "for each record, in each epoch again, the numbers that a private model computes from its features (their count is the "
        "job's model.embedding). With some known records the features of all records can be reconstructed from them: in the "
        f"examples, with 1,000 known records, to {INVERTED} of the error of guessing the mean ({COMMAND})"
    )

    step: int
    values: Annotated[Floats, Array("float32", (None, None))]


class PlainSender(EmbeddingSender):
    """Sends each embedding to the label party as it is."""

    def __init__(self, label_party: str) -> None:
        self._label_party = label_party

    def begin(self, beginning: bytes) -> Role[None]:
        """Nothing needs to be agreed on."""
        yield from ()

    def bind(self, message: Message) -> None:
        """Nothing is bound, since each feature party receives a gradient of its own."""

    def send_embedding(self, batch: Batch, values: Floats) -> Role[int]:
        """Send the embedding; nothing is ever clipped."""
        yield from send(self._label_party, Embedding(step=batch.step, values=values))
        return 0


class PlainReceiver(EmbeddingReceiver):
    """Receives the embedding of each feature party separately, and joins them as the job says.

    `me` is the label party's name among the contributors.
    """

    def __init__(self, me: str, feature_parties: Sequence[str], cut: CutLayer) -> None:
        self.groups = [(party,) for party in feature_parties]
        self._me = me
        self._feature_parties = tuple(feature_parties)
        self._cut = cut

    def begin(self) -> Role[None]:
        """Nothing needs to be agreed on."""
        yield from ()

    def take(self, batch: Batch) -> Role[list[Floats]]:
        """One embedding of each feature party, in the job's order."""
        due = batch.rows, self._cut.width
        limit = self._cut.most_rows * self._cut.width * 4 + HEAD
        arrived = []
        for party in self._feature_parties:
            message = yield from receive(party, Embedding, limit, answer_first=True)
            if message.step != batch.step or message.values.shape != due:
                raise ProtocolError(
                    party,
                    f"{party} sent an embedding of step {message.step} and shape {message.values.shape} where step "
                    f"{batch.step} and {due} were due.",
                )
            arrived.append(message.values)
        return arrived

    def join(self, arrived: Sequence[Tensor], own: Tensor | None) -> Tensor:
        """Side by side, or added, in the order of the contributors."""
        embeddings = dict(zip(self._feature_parties, arrived, strict=True))
        if own is not None:
            embeddings[self._me] = own
        return join(self._cut.aggregate, [embeddings[name] for name in self._cut.contributors if name in embeddings])


def join(aggregate: Aggregate, embeddings: Sequence[Tensor]) -> Tensor:
    """Join embeddings float32 [n, width], given in the job's order of parties.

    The order is that of the job and never that of arrival, since floating-point sums depend on it.
    """
    if aggregate == "concat":
        return torch.cat(list(embeddings), 1)
    total = embeddings[0]
    for embedding in embeddings[1:]:
        total = total + embedding
    return total
