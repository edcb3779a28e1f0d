"""How embeddings reach the top model: as they are, added under masks, or added under Paillier encryption.

`sender_for` and `receiver_for` return the two sides of the aggregation that a job names; `__all__` names them and the
public modules. Each aggregation is imported when it is asked for; what only describes one (`interface`) loads no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsplit.aggregation.attempt import RandomBytes
    from vsplit.aggregation.interface import Aggregate, CutLayer, EmbeddingReceiver, EmbeddingSender
    from vsplit.aggregation.secure_sum import Member

__all__ = [
    "attempt",
    "check_installed",
    "interface",
    "masked_sum",
    "paillier_sum",
    "plain",
    "receiver_for",
    "secure_sum",
    "sender_for",
]


def check_installed(aggregate: Aggregate) -> None:
    """Raise ConfigError where a package that this aggregation needs is not installed."""
    if aggregate == "paillier_sum":
        from vsplit.paillier.keys import phe_paillier

        phe_paillier()


def sender_for(cut: CutLayer, member: Member) -> EmbeddingSender:
    """A feature party's side."""
    if cut.aggregate == "masked_sum":
        from vsplit.aggregation.masked_sum import MaskedSender

        return MaskedSender(member, cut)
    if cut.aggregate == "paillier_sum":
        from vsplit.aggregation.paillier_sum import PaillierSender

        return PaillierSender(member, cut)
    from vsplit.aggregation.plain import PlainSender

    return PlainSender(member.label_party)


def receiver_for(
    cut: CutLayer, me: str, feature_parties: Sequence[str], *, random_bytes: RandomBytes
) -> EmbeddingReceiver:
    """The label party's side."""
    if cut.aggregate == "masked_sum":
        from vsplit.aggregation.masked_sum import MaskedReceiver

        return MaskedReceiver(feature_parties, cut, random_bytes)
    if cut.aggregate == "paillier_sum":
        from vsplit.aggregation.paillier_sum import PaillierReceiver

        return PaillierReceiver(feature_parties, cut, random_bytes)
    from vsplit.aggregation.plain import PlainReceiver

    return PlainReceiver(me, feature_parties, cut)
