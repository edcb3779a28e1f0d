"""The label party's side of an alignment: SPEC.md, section 5.1."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from psi.curve import POINT, Scalar
from psi.exchange import (
    Alignment,
    RandomBytes,
    Rows,
    check_length,
    check_match,
    check_own_keys,
    finish,
    finish_list,
    hash_keys,
    receive_list,
    refuse,
    send_list,
    shuffled,
    start_masking,
)
from psi.messages import CHUNK, HEAD, MatchCount, MatchPositions, TwiceMasked, cut_width
from vsplit.protocol import Bytes, Note, Role, receive, send

ORDER_SECRET = 32
"""Bytes of the secret from which the common order is drawn."""

_ORDER_TAG = b"vsplit-psi-v1-common-order"


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """The outcome with one feature party: for each own key its position in that party's list, or -1. int64 [n]."""

    peer: str
    records: int
    where: Rows = field(repr=False)


def align_label(
    feature_parties: Sequence[str],
    keys: Sequence[bytes],
    *,
    order_secret: bytes,
    random_bytes: RandomBytes,
    max_records: int,
    min_records: int,
) -> Role[Alignment]:
    """Align this party's `keys` (canonical, none twice) with those of each feature party, one after another.

    Learns: the size of each feature party's list, and which of its own records each feature party holds.
    Reveals: to each feature party the size of its list, and which of that party's records all parties hold.
    Assumes: feature parties follow the protocol; `random_bytes(n)` returns n bytes that nobody else can know;
    `order_secret`, 32 bytes, stays at home. The same secret gives the same records the same order in every run.

    `max_records` is the longest list that it accepts, `min_records` the fewest records in common; too few end the run
    before anything about the match is sent. Raises DataError for unusable keys or no record in common, RefusedError for
    too few, ProtocolError for what a feature party may not send.
    """
    if not feature_parties or len(set(feature_parties)) != len(feature_parties):
        raise ValueError("the label party aligns with one or more feature parties, each named once")
    if len(order_secret) != ORDER_SECRET:
        raise ValueError(f"the order secret has {ORDER_SECRET} bytes, not {len(order_secret)}")
    check_own_keys(keys)
    hashed = yield from hash_keys(keys)
    common = np.ones(len(keys), dtype=bool)
    pairs = []
    for peer in feature_parties:
        pair = yield from _compare(peer, hashed, random_bytes, max_records)
        check_match(int((pair.where >= 0).sum()), min_records, peer)
        common &= pair.where >= 0
        pairs.append(pair)
    check_match(int(common.sum()), min_records, " and ".join(feature_parties))

    positions = _common_order(order_secret, keys, np.flatnonzero(common))
    for pair in pairs:
        yield from _send_match(pair.peer, pair.where[positions])
    return Alignment(
        positions,
        len(keys),
        {pair.peer: pair.records for pair in pairs},
        {pair.peer: int((pair.where >= 0).sum()) for pair in pairs},
    )


def _compare(peer: str, hashed: Bytes, random_bytes: RandomBytes, max_records: int) -> Role[_Pair]:
    """One pair of parties, with a scalar and an order of its own: two feature parties cannot link what they saw."""
    scalar = Scalar.draw(random_bytes)
    order = shuffled(len(hashed), random_bytes)
    tickets = yield from start_masking(scalar, hashed[order])
    # The own list leaves only after the peer's has come: so the peer's list cannot have been made from it.
    theirs = yield from receive_list(peer, scalar, max_records)
    mine = yield from finish("masking own keys", tickets, len(hashed))
    yield from send_list(peer, mine)

    twice = yield from finish_list(peer, theirs)
    width = cut_width(len(mine), len(twice))
    cuts = yield from _receive_cuts(peer, len(mine), width)
    if (cuts == mine[:, :width]).all(axis=1).any():
        refuse(peer, "a point of this party's own list, not masked again")
    where = np.full(len(mine), -1, dtype=np.int64)
    where[order] = _find(peer, cuts, twice[:, :width])
    yield Note("comparing", len(mine), len(mine), f"{int((where >= 0).sum()):,} records in common with {peer}")
    return _Pair(peer, len(twice), where)


def _receive_cuts(peer: str, records: int, width: int) -> Role[Bytes]:
    cuts = np.empty((records, width), dtype=np.uint8)
    for first in range(0, records, CHUNK):
        chunk = (yield from receive(peer, TwiceMasked, CHUNK * POINT + HEAD)).cuts
        check_length(peer, len(chunk), min(CHUNK, records - first))
        if chunk.shape[1] != width:
            refuse(peer, f"masked keys of {chunk.shape[1]} bytes where {width} were due by the sizes of the two lists")
        cuts[first : first + len(chunk)] = chunk
        yield Note(f"receiving the answer of {peer}", first + len(chunk), records)
    return cuts


def _find(peer: str, cuts: Bytes, twice: Bytes) -> Rows:
    """For each of the own `cuts`, uint8 [n, w], its position in the peer's list `twice`, uint8 [m, w], or -1."""
    places = {row: place for place, row in enumerate(_rows(twice))}
    where = np.fromiter((places.get(row, -1) for row in _rows(cuts)), dtype=np.int64, count=len(cuts))
    found = where[where >= 0]
    if len(np.unique(found)) != len(found):
        refuse(peer, "the same answer for two different keys")
    return where


def _rows(array: Bytes) -> list[bytes]:
    width, raw = array.shape[1], array.tobytes()
    return [raw[at : at + width] for at in range(0, len(raw), width)]


def _common_order(order_secret: bytes, keys: Sequence[bytes], matched: Rows) -> Rows:
    """`matched` in the order of HMAC-SHA-512(order_secret, tag + key): the same for every file order and every run."""
    ranks = {int(row): hmac.digest(order_secret, _ORDER_TAG + keys[row], "sha512") for row in matched}
    return np.array(sorted(ranks, key=ranks.__getitem__), dtype=np.int64)


def _send_match(peer: str, places: Rows) -> Role[None]:
    yield from send(peer, MatchCount(records=len(places)))
    for first in range(0, len(places), CHUNK):
        yield from send(peer, MatchPositions(positions=places[first : first + CHUNK].astype(np.uint32)))
