"""What both kinds of secure sum have in common: values become whole numbers, and one sum of them arrives."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vsplit.learn.aggregation import Batch, Giving, Taking
from vsplit.learn.attempt import RandomBytes, Told, agree_as_feature
from vsplit.learn.plan import Plan, SecureSum
from vsplit.paillier.fixed_point import FixedPoint, Units
from vsplit.protocol import Floats, Message, Role


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


class SumGiving(Giving):
    """A feature party's side where one sum of all feature parties' embeddings arrives.

    `feature_parties` are all of them in the job's order, `me` among them. `shared` is a digest of what the label party
    has told of the shared records before the training, and `run_name` what it has named the run; both it owes to all of
    them alike.
    """

    def __init__(
        self,
        me: str,
        label_party: str,
        feature_parties: Sequence[str],
        plan: Plan,
        random_bytes: RandomBytes,
        shared: bytes,
        run_name: bytes,
    ) -> None:
        self.me = me
        self.label_party = label_party
        self.feature_parties = tuple(feature_parties)
        self.random_bytes = random_bytes
        self.fixed_point = fixed_point_of(plan, feature_parties)
        self._agreed_on = (run_name, shared)
        self._told: Told | None = None

    def agree(self, beginning: bytes, *about: bytes) -> Role[None]:
        """Agree with all others on an attempt. `about` is what else must be the same at all feature parties."""
        about = (*self._agreed_on, beginning, *about)
        self._told = yield from agree_as_feature(
            self.me, self.label_party, self.feature_parties, self.random_bytes, about
        )

    def hear(self, message: Message) -> None:
        """Bind all that follows to `message`."""
        self._begun.hear(message)

    @property
    def context(self) -> bytes:
        """32 bytes that are the same at all feature parties as long as the label party tells all the same."""
        return self._begun.digest

    @property
    def _begun(self) -> Told:
        if self._told is None:
            raise RuntimeError("a training begins before its first batch")
        return self._told


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
