"""A feature party's side of an alignment and of an overlap: SPEC.md, section 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from psi.exchange import refuse
from psi.keys import KeyList
from psi.limits import Limits
from psi.masking import mask_as_feature
from psi.messages import Agreement, MatchCount
from psi.order import RandomBytes
from psi.outcome import Alignment, Overlap
from psi.ring import Seat, seat
from psi.sizes import receive_sizes
from psi.unshuffling import undo_first_list, undo_others
from vsplit.protocol import HEAD, Role, receive, send
from vsplit.sealing import Seal


def align_feature(
    me: str,
    label_party: str,
    feature_parties: Sequence[str],
    keys: KeyList,
    *,
    seals: Mapping[str, Seal],
    random_bytes: RandomBytes,
    limits: Limits,
) -> Role[Alignment]:
    """Align this party's `keys` (canonical, none twice) with those of all other parties.

    `feature_parties` are all of them, `me` among them, in the job's order; `seals` is what
    `vsplit.sealing.exchange_keys` returned, empty where there is only one feature party.

    Learns: the sizes of all lists, and which of its own records all parties hold.
    Reveals: to the label party how many records this party shares with any others, and which of the label party's records
    all parties hold; to the other feature parties, which of their records all parties hold.
    Assumes: all parties follow the protocol; `random_bytes(n)` returns n bytes that no other party can know.

    Where the match is too small for a party, no party learns which records match and the alignment has no positions:
    `check_match` and `check_agreed` raise the error for this. Raises DataError for unusable keys, RefusedError for a list
    outside the limits, ProtocolError for what another party must not send.
    """
    here = seat(me, label_party, feature_parties, seals)
    sizes = yield from receive_sizes(here, len(keys), limits)
    orders = yield from mask_as_feature(here, sizes, keys, random_bytes)
    matched = yield from _receive_count(here, sizes)
    agreed = yield from _agree(here, matched, limits)
    positions = np.empty(0, dtype=np.int64)
    if agreed:
        yield from undo_first_list(here, orders.pop(0), matched)
        positions = (yield from undo_others(here, orders, matched)).astype(np.int64)
    refused_by = "" if agreed or matched < max(1, limits.min_records) else label_party
    return Alignment(positions, len(keys), _peers(here, sizes), {}, matched, refused_by)


def overlap_feature(
    me: str,
    label_party: str,
    feature_parties: Sequence[str],
    keys: KeyList,
    *,
    seals: Mapping[str, Seal],
    random_bytes: RandomBytes,
    limits: Limits,
) -> Role[Overlap]:
    """Learn how many records all parties share: phase 1 of an alignment and no more.

    Learns: the sizes of all lists, and how many records all parties share, not which.
    Reveals: to the label party how many records this party shares with any others, not which.
    Assumes and raises what `align_feature` does.
    """
    here = seat(me, label_party, feature_parties, seals)
    sizes = yield from receive_sizes(here, len(keys), limits)
    yield from mask_as_feature(here, sizes, keys, random_bytes)
    matched = yield from _receive_count(here, sizes)
    return Overlap(len(keys), _peers(here, sizes), {}, matched)


def _receive_count(here: Seat, sizes: list[int]) -> Role[int]:
    matched = (yield from receive(here.label_party, MatchCount, HEAD)).records
    if matched > min(sizes):
        refuse(here.label_party, f"a match of {matched:,} records, more than the smallest list holds")
    return matched


def _agree(here: Seat, matched: int, limits: Limits) -> Role[bool]:
    enough = matched >= max(1, limits.min_records)
    yield from send(here.label_party, Agreement(agreed=enough))
    all_agreed = (yield from receive(here.label_party, Agreement, HEAD)).agreed
    if all_agreed and not enough:
        refuse(here.label_party, "an Agreement of all parties, although this party does not agree")
    return all_agreed


def _peers(here: Seat, sizes: list[int]) -> dict[str, int]:
    return {here.ring.name(number): size for number, size in enumerate(sizes) if number != here.number}
