"""How embeddings reach the top model: as they are, added under masks, or added under Paillier encryption."""

from __future__ import annotations

from collections.abc import Sequence

from vsplit.aggregation.attempt import RandomBytes
from vsplit.aggregation.interface import CutLayer, EmbeddingReceiver, EmbeddingSender
from vsplit.aggregation.masked_sum import MaskedReceiver, MaskedSender
from vsplit.aggregation.plain import PlainReceiver, PlainSender
from vsplit.aggregation.secure_sum import Member


def sender_for(cut: CutLayer, member: Member) -> EmbeddingSender:
    """A feature party's side."""
    if cut.aggregate == "masked_sum":
        return MaskedSender(member, cut)
    if cut.aggregate == "paillier_sum":
        from vsplit.aggregation.paillier_sum import (
            PaillierSender,  # loads big-integer arithmetic, which other ways do not need
        )

        return PaillierSender(member, cut)
    return PlainSender(member.label_party)


def receiver_for(
    cut: CutLayer, me: str, feature_parties: Sequence[str], *, random_bytes: RandomBytes
) -> EmbeddingReceiver:
    """The label party's side."""
    if cut.aggregate == "masked_sum":
        return MaskedReceiver(feature_parties, cut, random_bytes)
    if cut.aggregate == "paillier_sum":
        from vsplit.aggregation.paillier_sum import PaillierReceiver

        return PaillierReceiver(feature_parties, cut, random_bytes)
    return PlainReceiver(me, feature_parties, cut)
