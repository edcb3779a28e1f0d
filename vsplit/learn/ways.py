"""Which way embeddings take, by the name of the job's aggregation; `vsplit.learn.traffic` says how much that sends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vsplit.learn.aggregation import Giving, OpenGiving, OpenTaking, Taking
from vsplit.learn.attempt import RandomBytes
from vsplit.learn.masked import MaskedGiving, MaskedTaking
from vsplit.learn.plan import Plan
from vsplit.sealing import Seal


def giving_for(
    plan: Plan,
    me: str,
    label_party: str,
    feature_parties: Sequence[str],
    *,
    seals: Mapping[str, Seal],
    random_bytes: RandomBytes,
    shared: bytes = b"",
    run_name: bytes = b"",
) -> Giving:
    """A feature party's side. `seals` are those to all other feature parties, for the plans that need them.

    `shared` is a digest of what the label party has told of the shared records, and `run_name` the name of the run, which
    all parties keep with their alignment: the label party owes both to all feature parties alike.
    """
    if plan.aggregate == "masked_sum":
        return MaskedGiving(me, label_party, feature_parties, plan, seals, random_bytes, shared, run_name)
    if plan.aggregate == "paillier_sum":
        from vsplit.learn.chain import PaillierGiving  # loads big-integer arithmetic, which other ways do not need

        return PaillierGiving(me, label_party, feature_parties, plan, seals, random_bytes, shared, run_name)
    return OpenGiving(label_party)


def taking_for(plan: Plan, me: str, feature_parties: Sequence[str], *, random_bytes: RandomBytes) -> Taking:
    """The label party's side."""
    if plan.aggregate == "masked_sum":
        return MaskedTaking(feature_parties, plan, random_bytes)
    if plan.aggregate == "paillier_sum":
        from vsplit.learn.chain import PaillierTaking

        return PaillierTaking(feature_parties, plan, random_bytes)
    return OpenTaking(me, feature_parties, plan)
