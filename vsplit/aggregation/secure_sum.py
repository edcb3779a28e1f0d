"""The common part of both secure sums: values become whole numbers, and the label party receives one sum of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from vsplit.aggregation.attempt import AttemptDigest, RandomBytes, agree_as_feature
from vsplit.aggregation.interface import Batch, CutLayer, EmbeddingReceiver, EmbeddingSender, SecureSum
from vsplit.paillier.fixed_point import FixedPoint, Units
from vsplit.protocol import Floats, Message, Role
from vsplit.sealing import Seal


def place_of(batch: Batch) -> tuple[int, int, int]:
    """The position of a batch in a training: epoch, part of the split, number. It increases from batch to batch."""
    return batch.epoch, batch.part, batch.number


def secure_sum_of(cut: CutLayer) -> SecureSum:
    """The settings of the secure sum; raises ValueError where there is none."""
    if cut.secure_sum is None:
        raise ValueError(f"{cut.aggregate} needs secure_sum")
    return cut.secure_sum


def fixed_point_of(cut: CutLayer, feature_parties: Sequence[str]) -> FixedPoint:
    """How the feature parties write values as whole numbers. Raises ConfigError where there are fewer than two of them."""
    settings = secure_sum_of(cut)
    return FixedPoint(settings.range, settings.bits, len(feature_parties), settings.rounding == "stochastic")


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A feature party, `me`, among all `feature_parties` of a run, in the job's order.

    `seals` are those to the other feature parties, for the aggregations that need them. `run_name` is the name of the run,
    which all parties store with their alignment, and `shared` a digest of what the label party has sent about the shared
    records before the training. Both must be the same at all feature parties.
    """

    me: str
    label_party: str
    feature_parties: Sequence[str]
    seals: Mapping[str, Seal] = field(repr=False)
    random_bytes: RandomBytes
    run_name: bytes
    shared: bytes


class SumSender(EmbeddingSender):
    """A feature party's side where one sum of all feature parties' embeddings arrives."""

    def __init__(self, member: Member, cut: CutLayer) -> None:
        self.member = member
        self.label_party = member.label_party
        self.random_bytes = member.random_bytes
        self.fixed_point = fixed_point_of(cut, member.feature_parties)
        self._attempt: AttemptDigest | None = None

    def agree(self, beginning: bytes, *about: bytes) -> Role[None]:
        """Agree with all other parties on an attempt. `about` is what else must be the same at all feature parties."""
        member = self.member
        about = (member.run_name, member.shared, beginning, *about)
        self._attempt = yield from agree_as_feature(
            member.me, member.label_party, member.feature_parties, member.random_bytes, about
        )

    def bind(self, message: Message) -> None:
        """Bind all that follows to `message`."""
        self._started.bind(message)

    @property
    def context(self) -> bytes:
        """32 bytes that are the same at all feature parties while the label party sends all of them the same messages."""
        return self._started.digest

    @property
    def _started(self) -> AttemptDigest:
        if self._attempt is None:
            raise RuntimeError("a training begins before its first batch")
        return self._attempt


class SumReceiver(EmbeddingReceiver):
    """The label party's side where one sum of all feature parties' embeddings arrives."""

    def __init__(self, feature_parties: Sequence[str], cut: CutLayer, random_bytes: RandomBytes) -> None:
        self.feature_parties = tuple(feature_parties)
        self.groups = [self.feature_parties]
        self.cut = cut
        self.random_bytes = random_bytes
        self.fixed_point = fixed_point_of(cut, feature_parties)

    def join(self, arrived: Sequence[Tensor], own: Tensor | None) -> Tensor:
        """The received sum, plus the label party's own embedding."""
        (total,) = arrived
        return total if own is None else total + own

    def decoded(self, batch: Batch, totals: Units, sender: str) -> Floats:
        """The sum of the embeddings of a batch. Raises ProtocolError, which names `sender`, where it is impossible."""
        return self.fixed_point.decode(totals, (batch.rows, self.cut.width), sender)
