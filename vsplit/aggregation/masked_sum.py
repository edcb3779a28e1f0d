"""`masked_sum`: masks hide each embedding and cancel in the sum that the label party gets. SPEC.md, section "Masked sums"."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np

from vsplit.aggregation.attempt import agree_as_label
from vsplit.aggregation.interface import Batch, CutLayer
from vsplit.aggregation.masks import Masks, Numbers
from vsplit.aggregation.secure_sum import Member, SumReceiver, SumSender, place_of
from vsplit.measured import COMMAND, INVERTED_SUM
from vsplit.protocol import HEAD, Array, Floats, Message, ProtocolError, Role, receive, send


class MaskedEmbedding(Message, frozen=True, kw_only=True, eq=False):
    """Feature party to label party: an embedding as whole numbers under masks, uint32 [rows, width]."""

    reveals: ClassVar[str] = (
        "together with those of all other feature parties, the sum of the embeddings of each record (alone it is random). The "
        "sum hides which party a number comes from, but hardly the features: in the examples they were reconstructed from it, "
        f"with 1,000 known records, to {INVERTED_SUM} of the error of guessing the mean ({COMMAND})"
    )

    epoch: int
    part: int
    number: int
    values: Annotated[Numbers, Array("uint32", (None, None))]


class MaskedSender(SumSender):
    """A feature party's side."""

    def __init__(self, member: Member, cut: CutLayer) -> None:
        super().__init__(member, cut)
        self._masks: Masks | None = None

    def begin(self, beginning: bytes) -> Role[None]:
        """Agree on an attempt, so that every mask is new."""
        yield from self.agree(beginning)
        member = self.member
        self._masks = Masks(member.me, member.feature_parties, member.seals, self.context)

    def send_embedding(self, batch: Batch, values: Floats) -> Role[int]:
        """Send the embedding under its mask."""
        if self._masks is None:
            raise RuntimeError("a training begins before its first batch")
        quantised = self.fixed_point.encode(values, self.random_bytes)
        masked = quantised.units.astype(np.uint32)
        masked += self._masks.take(place_of(batch), values.size, self.context)
        yield from send(
            self.label_party,
            MaskedEmbedding(
                epoch=batch.epoch, part=batch.part, number=batch.number, values=masked.reshape(values.shape)
            ),
        )
        return quantised.clipped


class MaskedReceiver(SumReceiver):
    """The label party's side: adds what all feature parties sent, so that the masks cancel."""

    def begin(self) -> Role[None]:
        """Agree on an attempt, so that every mask is new."""
        yield from agree_as_label(self.feature_parties, self.random_bytes)

    def take(self, batch: Batch) -> Role[list[Floats]]:
        """The sum of the embeddings of a batch."""
        due = batch.rows, self.cut.width
        limit = self.cut.most_rows * self.cut.width * 4 + HEAD
        total = np.zeros(due, np.uint32)
        for party in self.feature_parties:
            message = yield from receive(party, MaskedEmbedding, limit)
            found = message.epoch, message.part, message.number
            if found != place_of(batch) or message.values.shape != due:
                raise ProtocolError(
                    party,
                    f"{party} sent a masked embedding of the batch {found} and shape {message.values.shape} where the batch "
                    f"{place_of(batch)} and {due} were due.",
                )
            total += message.values
        # An impossible sum does not show which of them caused it.
        return [self.decoded(batch, total.reshape(-1).astype(np.int64), " and ".join(self.feature_parties))]
