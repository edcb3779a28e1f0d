"""How much of each kind of message a training or a scoring will send, computed in advance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vsplit.aggregation.attempt import NONCE, AttemptNonce, AttemptNonces
from vsplit.aggregation.masked_sum import MaskedEmbedding
from vsplit.aggregation.plain import Embedding
from vsplit.learn.batches import batch_count
from vsplit.learn.messages import Gradient, Parts, Verdict
from vsplit.learn.plan import Plan
from vsplit.learn.scoring import BLOCK
from vsplit.protocol import Message
from vsplit.sealing import TAG, Sealed

# Approximate bytes of a message besides its content.
_FRAMING = 64


@dataclass(frozen=True, slots=True)
class Expected:
    """Approximately how much of one kind of message a training sends: `bytes` in all `messages` together."""

    sender: str
    receiver: str
    kind: type[Message]
    messages: int
    bytes: int


def expected_traffic(
    plan: Plan, label_party: str, rows: tuple[int, int, int], *, by_date: bool = False, persons: int | None = None
) -> list[Expected]:
    """What training by `plan` sends when (train, validation, test) `rows` are shared and all epochs are trained.

    `persons` is how many persons have these rows; None: each row is a person of its own.
    """
    train = rows[0]
    steps = plan.epochs * batch_count(train, plan.batch_size)
    feature_parties = [name for name in plan.contributors if name != label_party]
    traffic = []
    for name in feature_parties:
        if by_date:
            records = sum(rows) if persons is None else persons
            traffic.append(Expected(label_party, name, Parts, 1, records + _FRAMING))
        traffic += [
            Expected(label_party, name, Gradient, steps, plan.epochs * train * plan.width * 4 + steps * _FRAMING),
            Expected(label_party, name, Verdict, plan.epochs, plan.epochs * 34),
        ]
    return traffic + _embeddings(plan, label_party, feature_parties, list(_batches(plan, rows)))


def expected_scoring(
    plan: Plan, label_party: str, records: int, feature_parties: Sequence[str] | None = None
) -> list[Expected]:
    """What scoring so many aligned `records` sends; `feature_parties` are those that take part, None: all."""
    taking_part = [
        name for name in plan.contributors if name != label_party and name in (feature_parties or plan.contributors)
    ]
    full, rest = divmod(records, BLOCK)
    sizes = [_Batches(full, BLOCK)] * (full > 0) + [_Batches(1, rest)] * (rest > 0)
    return _embeddings(plan, label_party, taking_part, sizes)


def _embeddings(
    plan: Plan, label_party: str, feature_parties: Sequence[str], sizes: Sequence[_Batches]
) -> list[Expected]:
    if plan.aggregate == "masked_sum":
        return _masked(plan, label_party, feature_parties, sizes)
    if plan.aggregate == "paillier_sum":
        return _encrypted(plan, label_party, feature_parties, sizes)
    return [_one_each(plan, name, label_party, Embedding, sizes) for name in feature_parties]


@dataclass(frozen=True, slots=True)
class _Batches:
    """`count` batches of `rows` rows each, over the whole training."""

    count: int
    rows: int


def _batches(plan: Plan, rows: tuple[int, int, int]) -> Iterator[_Batches]:
    train, validation, test = rows
    for part, passes in ((train, plan.epochs), (validation, plan.epochs + 1), (test, 1)):
        count = batch_count(part, plan.batch_size)
        if count > 1:
            yield _Batches(passes * (count - 1), plan.batch_size)
        if count:
            yield _Batches(passes, part - (count - 1) * plan.batch_size)


def _one_each(
    plan: Plan, sender: str, receiver: str, kind: type[Message], sizes: Sequence[_Batches], framing: int = _FRAMING
) -> Expected:
    """A message for each batch, with 4 bytes for each number of its embedding."""
    content = sum(one.count * (one.rows * plan.width * 4 + framing) for one in sizes)
    return Expected(sender, receiver, kind, sum(one.count for one in sizes), content)


def _attempt(label_party: str, feature_parties: Sequence[str]) -> list[Expected]:
    nonces = NONCE * (len(feature_parties) + 1) + _FRAMING
    agreed = [Expected(name, label_party, AttemptNonce, 1, NONCE + _FRAMING) for name in feature_parties]
    return agreed + [Expected(label_party, name, AttemptNonces, 1, nonces) for name in feature_parties]


def _masked(plan: Plan, label_party: str, feature_parties: Sequence[str], sizes: Sequence[_Batches]) -> list[Expected]:
    sent = [_one_each(plan, name, label_party, MaskedEmbedding, sizes, 2 * _FRAMING) for name in feature_parties]
    return _attempt(label_party, feature_parties) + sent


def _encrypted(
    plan: Plan, label_party: str, feature_parties: Sequence[str], sizes: Sequence[_Batches]
) -> list[Expected]:
    from vsplit.aggregation.paillier_sum import EncryptedSum, PaillierKey, layout_of  # loads big-integer arithmetic

    layout, count = layout_of(plan.cut, feature_parties), sum(one.count for one in sizes)
    content = (
        sum(one.count * layout.packing.plaintexts(one.rows * plan.width) for one in sizes) * layout.ciphertext_bytes
    )
    modulus, hop = layout.key_bits // 8 + _FRAMING, content + count * (TAG + _FRAMING)
    traffic = _attempt(label_party, feature_parties)
    traffic += [Expected(label_party, name, PaillierKey, 1, modulus) for name in feature_parties]
    for sender, receiver in pairwise(feature_parties):
        traffic += [
            Expected(sender, label_party, Sealed, count, hop),
            Expected(label_party, receiver, Sealed, count, hop),
        ]
    return [*traffic, Expected(feature_parties[-1], label_party, EncryptedSum, count, content + count * 2 * _FRAMING)]
