"""The steps that both roles take: hash, mask, send a list, receive a list, and the checks on what a peer sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from psi.curve import POINT, Scalar, check_points, encode_to_curve, multiply
from psi.messages import CHUNK, HEAD, ListSize, MaskedKeys
from vsplit.protocol import (
    Bytes,
    Collect,
    DataError,
    Note,
    ProtocolError,
    RefusedError,
    Role,
    Work,
    receive,
    send,
)

Rows = npt.NDArray[np.int64]
RandomBytes = Callable[[int], bytes]

PIECE = 4096
"""Most records in one piece of work: some tens of milliseconds of hashing or masking."""


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Which records of this party all parties hold, in the common order.

    `positions`, int64 [matched], are positions in the list of keys that the role was given. `peer_records` is the size
    of each peer's list. `overlaps` is how many records this party shares with each peer, as far as its role may know:
    the label party knows all, a feature party none (it only knows what all parties share).
    """

    positions: Rows = field(repr=False)
    own_records: int
    peer_records: Mapping[str, int]
    overlaps: Mapping[str, int]

    @property
    def matched(self) -> int:
        """How many records all parties hold."""
        return len(self.positions)


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """A peer's list as it came, uint8 [n, 32], and the tickets of the work that multiplies it."""

    points: Bytes = field(repr=False)
    tickets: Sequence[object] = field(repr=False)


def check_own_keys(keys: Sequence[bytes]) -> None:
    """Raise DataError unless `keys` can be aligned: some, and no key twice."""
    if not keys:
        raise DataError("This party has no usable key, so there is nothing to align; look at its key columns.")
    if len(set(keys)) != len(keys):
        raise DataError("This party's list of keys holds a key twice; leave repeated keys out, as psi.read_keys does.")


def shuffled(records: int, random_bytes: RandomBytes) -> Rows:
    """A random order of `records` records, int64 [records]: the ranks of 128-bit random numbers, all orders alike."""
    drawn = np.frombuffer(random_bytes(16 * records), dtype="<u8").reshape(records, 2)
    return np.lexsort((drawn[:, 0], drawn[:, 1])).astype(np.int64, copy=False)


def hash_keys(keys: Sequence[bytes]) -> Role[Bytes]:
    """encode_to_curve of each key, uint8 [n, 32], on the pool."""
    tickets = []
    for first in range(0, len(keys), CHUNK):
        chunk = keys[first : first + CHUNK]
        pieces = [(list(chunk[start:end]),) for start, end in _pieces(len(chunk))]
        tickets.append((yield Work(encode_to_curve, pieces, later=True)))
    return (yield from finish("hashing own keys", tickets, len(keys)))


def start_masking(scalar: Scalar, points: Bytes) -> Role[list[object]]:
    """Begin to multiply each of `points`, uint8 [n, 32], by `scalar` on the pool; the tickets are for `finish`."""
    tickets: list[object] = []
    for first in range(0, len(points), CHUNK):
        chunk = points[first : first + CHUNK]
        pieces = [(scalar, chunk[start:end]) for start, end in _pieces(len(chunk))]
        tickets.append((yield Work(multiply, pieces, later=True)))
    return tickets


def finish(stage: str, tickets: Sequence[object], total: int) -> Role[Bytes]:
    """The points, uint8 [total, 32], of work begun earlier, with progress on the way."""
    points = np.empty((total, POINT), dtype=np.uint8)
    done = 0
    yield Note(stage, done, total)
    for ticket in tickets:
        results: list[Bytes] = yield Collect(ticket)
        for part in results:
            points[done : done + len(part)] = part
            done += len(part)
        yield Note(stage, done, total)
    return points


def send_list(to: str, points: Bytes) -> Role[None]:
    """Send this party's masked list, uint8 [n, 32]: its size, then its chunks."""
    yield from send(to, ListSize(records=len(points)))
    for first in range(0, len(points), CHUNK):
        yield from send(to, MaskedKeys(points=points[first : first + CHUNK]))


def receive_list(peer: str, scalar: Scalar, max_records: int) -> Role[Received]:
    """Receive the masked list of `peer` and begin to multiply each chunk by `scalar` as it comes.

    Raises ProtocolError for a list over `max_records`, a chunk of the wrong size, a point that check_points refuses.
    """
    size = (yield from receive(peer, ListSize, HEAD)).records
    if size > max_records:
        refuse(
            peer,
            f"a list of {size:,} records, more than the {max_records:,} that this party accepts (accept.max_records)",
        )
    points = np.empty((size, POINT), dtype=np.uint8)
    tickets: list[object] = []
    stage = f"receiving the list of {peer}"
    for first in range(0, size, CHUNK):
        chunk = (yield from receive(peer, MaskedKeys, CHUNK * POINT + HEAD)).points
        check_length(peer, len(chunk), min(CHUNK, size - first))
        try:
            check_points(chunk)
        except ValueError as error:
            refuse(peer, str(error))
        points[first : first + len(chunk)] = chunk
        tickets += yield from start_masking(scalar, chunk)
        yield Note(stage, first + len(chunk), size)
    return Received(points, tickets)


def finish_list(peer: str, received: Received) -> Role[Bytes]:
    """The products of a received list, uint8 [n, 32]; raises ProtocolError if two of them are equal.

    Equal products come of equal points, and of points that differ by one of low order, which the scalar takes away.
    """
    products = yield from finish(f"masking the list of {peer}", received.tickets, len(received.points))
    if len(np.unique(as_items(products))) != len(products):
        refuse(peer, "a list that holds a point twice")
    return products


def as_items(rows: Bytes) -> npt.NDArray[Any]:
    """Each row of a uint8 array [n, w] as one item of w bytes, for comparisons: shape [n]."""
    return np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1]))).reshape(-1)


def check_length(peer: str, found: int, due: int) -> None:
    """Raise ProtocolError unless a chunk from `peer` has the `due` number of records."""
    if found != due:
        refuse(peer, f"a chunk of {found:,} records where {due:,} were due by the size that it announced")


def check_match(matched: int, min_records: int, others: str) -> None:
    """Raise DataError if no record matched, RefusedError if fewer than `min_records` did; `others` names the peers."""
    if matched == 0:
        raise DataError(
            f"No record is common to this party and {others}; compare how each side writes the key (kind of id, "
            "leading zeros, separators, upper and lower case, order of the key columns) in a made-up example."
        )
    if matched < min_records:
        raise RefusedError(
            f"Only {matched:,} records are common to this party and {others}, fewer than the {min_records:,} that this "
            "party's file asks for (accept.min_records); nothing about them was used."
        )


def refuse(peer: str, what: str) -> NoReturn:
    """Raise the ProtocolError that says that `peer` sent `what`."""
    raise ProtocolError(
        peer, f"{peer} sent {what}; its program is another version or does not follow the protocol, so ask that side."
    )


def _pieces(records: int) -> list[tuple[int, int]]:
    count = -(-records // PIECE)
    bounds = [records * number // count for number in range(count + 1)]
    return list(pairwise(bounds))
