"""The feature party's side of an alignment: SPEC.md, section 5.2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from psi.curve import Scalar
from psi.exchange import (
    Alignment,
    RandomBytes,
    Rows,
    as_items,
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
from vsplit.protocol import Bytes, Role, receive, send


def align_feature(
    label_party: str,
    keys: Sequence[bytes],
    *,
    random_bytes: RandomBytes,
    max_records: int,
    min_records: int,
) -> Role[Alignment]:
    """Align this party's `keys` (canonical, none twice) with those of the label party and of all other feature parties.

    Learns: the size of the label party's list, and which of its own records all parties hold.
    Reveals: to the label party the size of its list, and which of the label party's records it holds.
    Assumes: the label party follows the protocol; `random_bytes(n)` returns n bytes that nobody else can know.

    `max_records` is the longest list that it accepts, `min_records` the fewest records in common. Raises DataError for
    unusable keys or no record in common, RefusedError for too few, ProtocolError for what the label party may not send.
    """
    check_own_keys(keys)
    scalar = Scalar.draw(random_bytes)
    order = shuffled(len(keys), random_bytes)
    hashed = yield from hash_keys(keys)
    tickets = yield from start_masking(scalar, hashed[order])
    mine = yield from finish("masking own keys", tickets, len(keys))
    yield from send_list(label_party, mine)

    theirs = yield from receive_list(label_party, scalar, max_records)
    if np.isin(as_items(theirs.points), as_items(mine)).any():
        refuse(label_party, "a point of this party's own list")
    twice = yield from finish_list(label_party, theirs)
    yield from _send_cuts(label_party, twice, cut_width(len(keys), len(twice)))

    matched = yield from _receive_match(label_party, len(keys), len(twice), min_records)
    return Alignment(order[matched], len(keys), {label_party: len(twice)}, {})


def _send_cuts(label_party: str, twice: Bytes, width: int) -> Role[None]:
    for first in range(0, len(twice), CHUNK):
        cuts = np.ascontiguousarray(twice[first : first + CHUNK, :width])
        yield from send(label_party, TwiceMasked(cuts=cuts))


def _receive_match(label_party: str, own_records: int, peer_records: int, min_records: int) -> Role[Rows]:
    size = (yield from receive(label_party, MatchCount, HEAD)).records
    if size > min(own_records, peer_records):
        refuse(label_party, f"a match of {size:,} records, more than one of the two lists holds")
    check_match(size, min_records, "the others")
    matched = np.empty(size, dtype=np.int64)
    for first in range(0, size, CHUNK):
        positions = (yield from receive(label_party, MatchPositions, CHUNK * 4 + HEAD)).positions
        check_length(label_party, len(positions), min(CHUNK, size - first))
        matched[first : first + len(positions)] = positions
    if matched.max() >= own_records:
        refuse(label_party, "a position outside this party's list")
    if len(np.unique(matched)) != size:
        refuse(label_party, "a position twice")
    return matched
