"""What a job will let leave a party, told before anything does: for the data-protection officer, by `vsplit check`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from parties.checkpoints.start_messages import LocalStateOffer, StartDecision, StateKept, StateKeptByAll
from parties.config.digests import Purpose, handshake_digests
from parties.ledger.messages import HASH, SALT, SIGNATURE, LedgerHead, LedgerLastLine, LedgerSalt
from parties.run.handshake import Handshake
from psi import KeyShapes, expected_row_counts, expected_traffic
from psi.messages import ListSize, ListSizes, MaskedByAll, MaskedKeys, MatchCount
from vsplit.paillier.fixed_point import FixedPoint
from vsplit.protocol import Message
from vsplit.sealing import FreshKeys, KeyProofs, Sealed

if TYPE_CHECKING:
    from parties.config.job import Job
    from parties.config.joint import SecureSum
    from parties.config.party import Party
    from parties.data.party_data import PartyData


# What a message takes on the wire besides its content: its head, up to the boundary at which an array begins.
FRAMING = 64
# About what the shape of one key column takes.
SHAPE_BYTES = 200
OF_THE_CONNECTION = (
    "Nothing else leaves but what the connection needs: public keys, a name and numbers of the session, signs of life, the "
    "farewell, and where a party ends early one word of a fixed list that says of what kind the reason is."
)
# An overlap is the first half of an alignment.
_OF_OVERLAP: tuple[type[Message], ...] = (
    Handshake,
    FreshKeys,
    KeyProofs,
    ListSize,
    ListSizes,
    MaskedKeys,
    Sealed,
    MaskedByAll,
    MatchCount,
    KeyShapes,
)


@dataclass(frozen=True, slots=True)
class Leaving:
    """Messages of one kind that will leave: to whom, how many, about how many bytes in all, what they reveal there."""

    kind: str
    to: str
    messages: int
    bytes: int
    reveals: str
    only_if: str = ""
    """When these leave; empty: in every run."""


def what_leaves(party_data: PartyData, peer_records: int | None = None) -> list[Leaving]:
    """What this party will send to each other party, if all of its records match and every epoch is trained.

    `peer_records` is how long the others' lists are; None: as long as this party's. The figures grow with it.
    """
    from parties.run.preparation import plan_of
    from vsplit.learn.batches import part_sizes
    from vsplit.learn.traffic import expected_traffic as expected_training

    job, me = party_data.party.job, party_data.party.name
    own = len(party_data.keys.keys)
    others = own if peer_records is None else peer_records
    leaving = (
        _at_start(party_data.party, own, others, "run") + _of_beginning(party_data.party) + _of_ledger(party_data.party)
    )
    fractions = job.split.train, job.split.validation, job.split.test
    matched = min(own, others)
    persons = matched if job.align.repeated == "many_to_one" else None
    if persons is not None and party_data.party.role == "label":
        for row in expected_row_counts(job.feature_parties, persons):
            leaving.append(Leaving(row.kind, row.to, row.messages, row.size + FRAMING * row.messages, row.reveals))
    # A party counts the rows that it has of each record itself; a feature party cannot know those of the label party.
    sizes = part_sizes(round(len(party_data.keys.rows) * matched / own), fractions)
    plan, by_date = plan_of(job, party_data.contributes), job.split.by == "date"
    for flow in expected_training(plan, job.label_party, sizes, by_date=by_date, persons=persons):
        if flow.sender == me:
            leaving.append(Leaving(flow.kind.__name__, flow.receiver, flow.messages, flow.bytes, flow.kind.reveals))
    return _together(leaving)


def leaves_in_overlap(party: Party, own: int) -> list[Leaving]:
    """What this party will send to each other party in an overlap, with a list of `own` keys, if all lists are so long."""
    kinds = {kind.__name__ for kind in _OF_OVERLAP}
    return [row for row in _at_start(party, own, own, "overlap") if row.kind in kinds]


def _at_start(party: Party, own: int, others: int, purpose: Purpose) -> list[Leaving]:
    """The handshake, the alignment and the hints. What an overlap has no match for is left out of its figures."""
    job, me = party.job, party.name
    receivers = job.feature_parties if party.role == "label" else (job.label_party,)
    handshake = sum(len(key) + len(digest) for key, digest in handshake_digests(job, purpose).items())
    leaving = [Leaving(Handshake.__name__, to, 1, handshake + FRAMING, Handshake.reveals) for to in receivers]
    lists = [own if name == me else others for name in (job.label_party, *job.feature_parties)]
    matched = 0 if purpose == "overlap" else None
    for row in expected_traffic(me, job.label_party, job.feature_parties, lists, matched):
        leaving.append(Leaving(row.kind, row.to, row.messages, row.size + FRAMING * row.messages, row.reveals))
    if job.align.hints:
        size = SHAPE_BYTES * len(job.align.key) + FRAMING
        leaving += [
            Leaving(KeyShapes.__name__, to, 1, size, KeyShapes.reveals, only_if="few match") for to in receivers
        ]
    return leaving


def _of_beginning(party: Party) -> list[Leaving]:
    """From where all begin, and that each has its side of the alignment, and its outcome, on its disk."""
    if party.role == "label":
        kinds: tuple[tuple[type[Message], int], ...] = ((StartDecision, 1), (StateKeptByAll, 2))
        receivers: tuple[str, ...] = party.job.feature_parties
    else:
        kinds, receivers = ((LocalStateOffer, 1), (StateKept, 2)), (party.job.label_party,)
    return [
        Leaving(kind.__name__, to, count, 2 * FRAMING * count, kind.reveals)
        for to in receivers
        for kind, count in kinds
    ]


def _of_ledger(party: Party) -> list[Leaving]:
    """The key for digests, and signatures: once all have the alignment, and once all have trained."""
    receivers = party.job.feature_parties if party.role == "label" else (party.job.label_party,)
    last_line, size = HASH + FRAMING, 4 * HASH + SIGNATURE + 5 * FRAMING
    of_feature: list[tuple[type[Message], int]] = [] if party.role == "label" else [(LedgerLastLine, last_line)]
    signing: list[tuple[type[Message], int]] = [*of_feature, (LedgerHead, size)]
    return [
        row
        for to in receivers
        for row in (
            Leaving(LedgerSalt.__name__, to, 1, SALT + FRAMING, LedgerSalt.reveals),
            *(Leaving(kind.__name__, to, 2, 2 * of_one, kind.reveals) for kind, of_one in signing),
            *(Leaving(kind.__name__, to, 1, of_one, kind.reveals, only_if="step kept") for kind, of_one in signing),
        )
    ]


def _together(leaving: list[Leaving]) -> list[Leaving]:
    """One row for each kind and receiver: sealed messages leave in the alignment, and in training again."""
    rows: dict[tuple[str, str, str], Leaving] = {}
    for row in leaving:
        key = row.kind, row.to, row.only_if
        before = rows.get(key, replace(row, messages=0, bytes=0))
        rows[key] = replace(row, messages=before.messages + row.messages, bytes=before.bytes + row.bytes)
    return list(rows.values())


def secure_sum_in_words(job: Job, settings: SecureSum) -> str:
    """What a secure sum shows the label party, and how exactly."""
    parties = job.feature_parties
    fixed = FixedPoint(settings.range, settings.bits, len(parties), settings.rounding == "stochastic")
    packed = ""
    if settings.key_bits is not None:
        from vsplit.paillier.packing import Packing

        packed = f" A ciphertext of the {settings.key_bits:,}-bit key holds {Packing(fixed, settings.key_bits).slots} values."
    return (
        f"Embeddings cross by {job.model.aggregate}: {job.label_party} is shown the sum of those of {' and '.join(parties)}, "
        f"and no single one. The sum hides whose a number is, and hardly what it says. Values outside -{settings.range:g} to "
        f"{settings.range:g} are clipped, and a sum differs from that of the clipped values by {fixed.error_bound:.2g} at "
        f"most.{packed}"
    )


def sent_by_overlap(party_data: PartyData) -> list[str]:
    """The kinds of message that this party sends in an overlap: some of those that leave in a run."""
    sent = {row.kind for row in leaves_in_overlap(party_data.party, len(party_data.keys.keys))}
    return [kind.__name__ for kind in _OF_OVERLAP if kind.__name__ in sent]
