"""The messages that a job will let leave a party, computed before anything is sent; shown by `vsplit check`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from parties.checkpoints.start_messages import LocalStateOffer, StartDecision, StateKept, StateKeptByAll
from parties.config.digests import Purpose, handshake_digests
from parties.ledger.messages import HASH, SALT, SIGNATURE, LedgerHead, LedgerLastLine, LedgerSalt
from parties.run.handshake import Handshake
from parties.run.model_choice import ModelOffer, ModelRequest
from psi import KeyShapes, expected_row_counts, expected_traffic
from psi.messages import ListSize, ListSizes, MaskedByAll, MaskedKeys, MatchCount
from vsplit.paillier.fixed_point import FixedPoint
from vsplit.protocol import Message
from vsplit.sealing import FreshKeys, KeyProofs, Sealed

if TYPE_CHECKING:
    from parties.config.job import Job
    from parties.config.joint import SecureSum
    from parties.data.party_data import PartyData
    from vsplit.learn.plan import Plan


# Bytes of a message besides its content: its head, and padding up to the boundary at which an array begins.
FRAMING = 64
# About the bytes of the shape of one key column.
SHAPE_BYTES = 200
OF_THE_CONNECTION = (
    "Besides these, only what the connection needs leaves: public keys, the name and numbers of the session, keep-alive "
    "messages, the closing of the session, and where a party stops early a reason code from a fixed list."
)
# An overlap is the first half of an alignment.
_OF_OVERLAP: tuple[type[Message], ...] = (
    Handshake, FreshKeys, KeyProofs, ListSize, ListSizes, MaskedKeys, Sealed, MaskedByAll, MatchCount, KeyShapes,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OutgoingMessages:
    """The messages of one kind to one receiver: how many, about how many bytes in all, and what they reveal there."""

    kind: str
    to: str
    messages: int
    bytes: int
    reveals: str
    only_if: str = ""
    """The condition under which they are sent; empty: in every run."""


def what_leaves(party_data: PartyData, peer_records: int | None = None) -> list[OutgoingMessages]:
    """What this party will send to each other party, if all of its records match and every epoch is trained.

    `peer_records` is the length of the other parties' lists; None: that of this party's. The figures grow with it.
    """
    from parties.run.preparation import plan_of
    from vsplit.learn.batches import part_sizes
    from vsplit.learn.traffic import expected_traffic as expected_training

    job, me = party_data.party.job, party_data.party.name
    own = len(party_data.keys.keys)
    others = own if peer_records is None else peer_records
    leaving = _at_start(job, me, own, others, "run") + _of_checkpoints(job, me) + _of_ledger(job, me)
    fractions = job.split.train, job.split.validation, job.split.test
    matched = min(own, others)
    persons = matched if job.align.repeated == "many_to_one" else None
    if persons is not None and party_data.party.role == "label":
        for row in expected_row_counts(job.feature_parties, persons):
            leaving.append(
                OutgoingMessages(row.kind, row.to, row.messages, row.size + FRAMING * row.messages, row.reveals)
            )
    # Each party counts its own rows of each record; a feature party cannot know those of the label party.
    sizes = part_sizes(round(len(party_data.keys.rows) * matched / own), fractions)
    plan, by_date = plan_of(job, party_data.contributes), job.split.by == "date"
    for flow in expected_training(plan, job.label_party, sizes, by_date=by_date, persons=persons):
        if flow.sender == me:
            leaving.append(
                OutgoingMessages(flow.kind.__name__, flow.receiver, flow.messages, flow.bytes, flow.kind.reveals)
            )
    return _merged(leaving)


def leaves_in_overlap(job: Job, me: str, own: int) -> list[OutgoingMessages]:
    """What party `me` will send to each other party in an overlap, if all lists have `own` keys."""
    kinds = {kind.__name__ for kind in _OF_OVERLAP}
    return [row for row in _at_start(job, me, own, own, "overlap") if row.kind in kinds]


def leaves_in_prediction(
    job: Job, me: str, own: int, plan: Plan, peer_records: int | None = None
) -> list[OutgoingMessages]:
    """What party `me` will send to each other party in a prediction, if all of its `own` records match.

    `peer_records` is the length of the other parties' lists; None: as long as its own.
    """
    from vsplit.learn.traffic import expected_scoring

    others = own if peer_records is None else peer_records
    choice: type[Message] = ModelRequest if me == job.label_party else ModelOffer
    leaving = [row for row in _at_start(job, me, own, others, "predict") if row.kind != KeyShapes.__name__]
    leaving += [OutgoingMessages(choice.__name__, to, 1, 2 * FRAMING, choice.reveals) for to in _receivers(job, me)]
    for flow in expected_scoring(plan, job.label_party, min(own, others)):
        if flow.sender == me:
            leaving.append(
                OutgoingMessages(flow.kind.__name__, flow.receiver, flow.messages, flow.bytes, flow.kind.reveals)
            )
    ledger = [row for row in _of_ledger(job, me, signings=1) if not row.only_if]
    return _merged(leaving + ledger + _of_checkpoints(job, me, start=False))


def _at_start(job: Job, me: str, own: int, others: int, purpose: Purpose) -> list[OutgoingMessages]:
    """The handshake, the alignment and the hints; for an overlap without what follows the count of matches."""
    receivers = _receivers(job, me)
    handshake = sum(len(key) + len(digest) for key, digest in handshake_digests(job, purpose).items())
    leaving = [OutgoingMessages(Handshake.__name__, to, 1, handshake + FRAMING, Handshake.reveals) for to in receivers]
    lists = [own if name == me else others for name in (job.label_party, *job.feature_parties)]
    matched = 0 if purpose == "overlap" else None
    for row in expected_traffic(me, job.label_party, job.feature_parties, lists, matched):
        leaving.append(OutgoingMessages(row.kind, row.to, row.messages, row.size + FRAMING * row.messages, row.reveals))
    if job.align.hints:
        size = SHAPE_BYTES * len(job.align.key) + FRAMING
        leaving += [
            OutgoingMessages(KeyShapes.__name__, to, 1, size, KeyShapes.reveals, only_if="few match")
            for to in receivers
        ]
    return leaving


def _of_checkpoints(job: Job, me: str, *, start: bool = True) -> list[OutgoingMessages]:
    """Where all parties start, and that each has stored its side of the alignment, and its outcome, on its disk.

    Without `start`, as in a prediction: only that each has its outcome.
    """
    first, stored = (StartDecision, StateKeptByAll) if me == job.label_party else (LocalStateOffer, StateKept)
    kinds: list[tuple[type[Message], int]] = [(first, 1), (stored, 2)] if start else [(stored, 1)]
    return [
        OutgoingMessages(kind.__name__, to, count, 2 * FRAMING * count, kind.reveals)
        for to in _receivers(job, me)
        for kind, count in kinds
    ]


def _of_ledger(job: Job, me: str, signings: int = 2) -> list[OutgoingMessages]:
    """The salt of the digests, and signatures: in a run once all have the alignment, and once all have trained."""
    last_line, size = HASH + FRAMING, 4 * HASH + SIGNATURE + 5 * FRAMING
    of_feature: list[tuple[type[Message], int]] = [] if me == job.label_party else [(LedgerLastLine, last_line)]
    signing: list[tuple[type[Message], int]] = [*of_feature, (LedgerHead, size)]
    return [
        row
        for to in _receivers(job, me)
        for row in (
            OutgoingMessages(LedgerSalt.__name__, to, 1, SALT + FRAMING, LedgerSalt.reveals),
            *(
                OutgoingMessages(kind.__name__, to, signings, signings * of_one, kind.reveals)
                for kind, of_one in signing
            ),
            *(
                OutgoingMessages(kind.__name__, to, 1, of_one, kind.reveals, only_if="step stored")
                for kind, of_one in signing
            ),
        )
    ]


def _receivers(job: Job, me: str) -> tuple[str, ...]:
    return job.feature_parties if me == job.label_party else (job.label_party,)


def _merged(leaving: list[OutgoingMessages]) -> list[OutgoingMessages]:
    """One row for each kind and receiver: sealed messages are sent both in the alignment and in training."""
    rows: dict[tuple[str, str, str], OutgoingMessages] = {}
    for row in leaving:
        key = row.kind, row.to, row.only_if
        before = rows.get(key, replace(row, messages=0, bytes=0))
        rows[key] = replace(row, messages=before.messages + row.messages, bytes=before.bytes + row.bytes)
    return list(rows.values())


def secure_sum_in_words(job: Job, settings: SecureSum) -> str:
    """What the label party learns from a secure sum, and how exactly."""
    parties = job.feature_parties
    fixed = FixedPoint(settings.range, settings.bits, len(parties), settings.rounding == "stochastic")
    packed = ""
    if settings.key_bits is not None:
        from vsplit.paillier.packing import Packing

        packed = f" A ciphertext of the {settings.key_bits:,}-bit key holds {Packing(fixed, settings.key_bits).slots} values."
    return (
        f"Embeddings are joined by {job.model.aggregate}: {job.label_party} learns the sum of those of "
        f"{' and '.join(parties)}, and no single one. The sum hides which party a number comes from, but hardly what it "
        f"reveals. Values outside -{settings.range:g} to {settings.range:g} are clipped; a sum differs from that of the "
        f"clipped values by at most {fixed.error_bound:.2g}.{packed}"
    )


def sent_by_overlap(party_data: PartyData) -> list[str]:
    """The kinds of message that this party sends in an overlap: some of those that it sends in a run."""
    party = party_data.party
    sent = {row.kind for row in leaves_in_overlap(party.job, party.name, len(party_data.keys.keys))}
    return [kind.__name__ for kind in _OF_OVERLAP if kind.__name__ in sent]
