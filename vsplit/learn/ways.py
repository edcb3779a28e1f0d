"""Which way embeddings take, by the name of the job's aggregation; `vsplit.learn.traffic` says how much that sends."""

from __future__ import annotations

from collections.abc import Sequence

from vsplit.learn.aggregation import Giving, OpenGiving, OpenTaking, Taking
from vsplit.learn.attempt import RandomBytes
from vsplit.learn.masked import MaskedGiving, MaskedTaking
from vsplit.learn.plan import Plan
from vsplit.learn.secure_sum import Member


def giving_for(plan: Plan, member: Member) -> Giving:
    """A feature party's side."""
    if plan.aggregate == "masked_sum":
        return MaskedGiving(member, plan)
    if plan.aggregate == "paillier_sum":
        from vsplit.learn.chain import PaillierGiving  # loads big-integer arithmetic, which other ways do not need

        return PaillierGiving(member, plan)
    return OpenGiving(member.label_party)


def taking_for(plan: Plan, me: str, feature_parties: Sequence[str], *, random_bytes: RandomBytes) -> Taking:
    """The label party's side."""
    if plan.aggregate == "masked_sum":
        return MaskedTaking(feature_parties, plan, random_bytes)
    if plan.aggregate == "paillier_sum":
        from vsplit.learn.chain import PaillierTaking

        return PaillierTaking(feature_parties, plan, random_bytes)
    return OpenTaking(me, feature_parties, plan)
