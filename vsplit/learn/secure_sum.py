"""What both kinds of secure sum have in common: values become whole numbers, and one sum of them arrives."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vsplit.learn.aggregation import Batch, Taking
from vsplit.learn.attempt import RandomBytes
from vsplit.learn.plan import Plan, SecureSum
from vsplit.paillier.fixed_point import FixedPoint, Units
from vsplit.protocol import Floats


def place_of(batch: Batch) -> tuple[int, int, int]:
    """Where a batch stands in a training: epoch, part of the split, number. It grows from batch to batch."""
    return batch.epoch, batch.part, batch.number


def secure_sum_of(plan: Plan) -> SecureSum:
    """The plan's secure sum; raises ValueError where there is none."""
    if plan.secure_sum is None:
        raise ValueError(f"{plan.aggregate} needs the plan's secure_sum")
    return plan.secure_sum


def fixed_point_of(plan: Plan, feature_parties: Sequence[str]) -> FixedPoint:
    """How the feature parties write values as whole numbers. Raises ConfigError where there are fewer than two of them."""
    settings = secure_sum_of(plan)
    return FixedPoint(settings.range, settings.bits, len(feature_parties), settings.rounding == "stochastic")


class SumTaking(Taking):
    """The label party's side where one sum of all feature parties' embeddings arrives."""

    def __init__(self, feature_parties: Sequence[str], plan: Plan, random_bytes: RandomBytes) -> None:
        self.feature_parties = tuple(feature_parties)
        self.groups = [self.feature_parties]
        self.plan = plan
        self.random_bytes = random_bytes
        self.fixed_point = fixed_point_of(plan, feature_parties)

    def join(self, arrived: Sequence[Tensor], own: Tensor | None) -> Tensor:
        """What arrived, and the label party's own embedding added to it."""
        (total,) = arrived
        return total if own is None else total + own

    def decoded(self, batch: Batch, totals: Units, sender: str) -> Floats:
        """The sum of the embeddings of a batch. Raises ProtocolError, which names `sender`, where it can be none."""
        return self.fixed_point.decode(totals, (batch.rows, self.plan.width), sender)
