"""The label party's side of an alignment and of an overlap: SPEC.md, section 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from psi.exchange import PIECE, refuse
from psi.keys import KeyList
from psi.limits import Limits
from psi.masking import Finished, mask_as_label
from psi.matching import Rows, find
from psi.messages import Agreement, MatchCount, Positions
from psi.order import ORDER_SECRET, Order, RandomBytes, by_rank, rank_keys, taken
from psi.outcome import Alignment, Overlap
from psi.ring import Ring
from psi.sizes import exchange_sizes
from psi.unshuffling import find_own, send_positions
from vsplit.protocol import HEAD, Note, Role, receive, send, work


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """The full matches, as positions in the finished lists by list number (uint32 [m] each, list 0 ascending)."""

    order: Order = field(repr=False)
    places: list[Positions] = field(repr=False)
    found: Overlap


def align_label(
    me: str,
    feature_parties: Sequence[str],
    keys: KeyList,
    *,
    order_secret: bytes,
    random_bytes: RandomBytes,
    limits: Limits,
) -> Role[Alignment]:
    """Align this party's `keys` (canonical, none twice) with those of all feature parties, in the job's order.

    Learns: the sizes of all lists; how many records any of the parties share; which of its own records all parties hold.
    Reveals: to each feature party the sizes of all lists, and which of that party's own records all parties hold.
    Assumes: all parties follow the protocol; `random_bytes(n)` returns n bytes that no other party can know;
    `order_secret`, 32 bytes, stays at this party. The same secret gives the same records the same order in every run.

    Where the match is too small for a party, no party learns which records match and the alignment has no positions:
    `check_match` and `check_agreed` raise the error for this. Raises DataError for unusable keys, RefusedError for a list
    outside the limits, ProtocolError for what a feature party must not send.
    """
    if len(order_secret) != ORDER_SECRET:
        raise ValueError(f"the order secret has {ORDER_SECRET} bytes, not {len(order_secret)}")
    ring = Ring(me, tuple(feature_parties))
    compared = yield from _compare(ring, keys, random_bytes, limits)
    refused_by = yield from _agree(ring, compared.found.matched, limits)
    positions = np.empty(0, dtype=np.int64)
    if refused_by is None:
        matched = compared.found.matched
        own = yield from find_own(ring, compared.places[0], compared.order)
        turn = yield from _common_order(order_secret, keys, own)
        positions = own[turn].astype(np.int64)
        places = {number: compared.places[number][turn] for number in ring.numbers}
        yield from send_positions(ring, places, matched)
    found = compared.found
    return Alignment(positions, found.own_records, found.peer_records, found.overlaps, found.matched, refused_by or "")


def overlap_label(
    me: str,
    feature_parties: Sequence[str],
    keys: KeyList,
    *,
    random_bytes: RandomBytes,
    limits: Limits,
) -> Role[Overlap]:
    """Find out how many records all parties share, and send the number to all of them: phase 1 of an alignment and no more.

    Learns: the sizes of all lists; how many records any of the parties share, not which.
    Reveals: to each feature party the sizes of all lists and how many records all parties share.
    Assumes and raises what `align_label` does.
    """
    ring = Ring(me, tuple(feature_parties))
    compared = yield from _compare(ring, keys, random_bytes, limits)
    yield from _send_count(ring, compared.found.matched)
    return compared.found


def _compare(ring: Ring, keys: KeyList, random_bytes: RandomBytes, limits: Limits) -> Role[_Compared]:
    sizes = yield from exchange_sizes(ring, len(keys), limits)
    finished = yield from mask_as_label(ring, sizes, keys, random_bytes)
    order, where = finished.order, _places(ring, finished)
    in_all = np.ones(sizes[0], dtype=bool)
    for rows in where:
        in_all &= rows >= 0
    matched = np.flatnonzero(in_all)
    found = Overlap(
        sizes[0],
        dict(zip(ring.feature_parties, sizes[1:], strict=True)),
        {party: int((rows >= 0).sum()) for party, rows in zip(ring.feature_parties, where, strict=True)},
        len(matched),
    )
    yield Note("comparing", sizes[0], sizes[0], f"{found.matched:,} records in common")
    places = [matched.astype(np.uint32), *(rows[matched].astype(np.uint32) for rows in where)]
    return _Compared(order, places, found)


def _places(ring: Ring, finished: Finished) -> list[Rows]:
    """For each other list, the position in it of each value of this party's list, or -1."""
    where = []
    for tags in finished.tags[1:]:
        rows = find(finished.tags[0], tags)
        seen = np.zeros(len(tags), dtype=bool)
        seen[rows[rows >= 0]] = True
        if np.count_nonzero(seen) != np.count_nonzero(rows >= 0):
            refuse(ring.name(ring.size), "the same answer for two different keys")
        where.append(rows)
    return where


def _send_count(ring: Ring, matched: int) -> Role[None]:
    for party in ring.feature_parties:
        yield from send(party, MatchCount(records=matched))


def _agree(ring: Ring, matched: int, limits: Limits) -> Role[str | None]:
    """None where all parties agree, or else the party that asks for a larger match ("" for this one)."""
    yield from _send_count(ring, matched)
    refused_by = None if matched >= max(1, limits.min_records) else ""
    for party in ring.feature_parties:
        if not (yield from receive(party, Agreement, HEAD)).agreed and refused_by is None:
            refused_by = party
    for party in ring.feature_parties:
        yield from send(party, Agreement(agreed=refused_by is None))
    return refused_by


def _common_order(order_secret: bytes, keys: KeyList, own: Positions) -> Role[Rows]:
    """The order of the keys' ranks under the secret: the same for every file order and every run. int64 [m]."""
    pieces = [(order_secret, taken(keys, own[first : first + PIECE])) for first in range(0, len(own), PIECE)]
    ranks = yield from work(rank_keys, pieces)
    return by_rank(np.concatenate(ranks))
