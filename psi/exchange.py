"""Lists in both roles: masking this party's list, receiving another's, transfers in chunks, and the checks on a peer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

import numpy as np

from psi.curve import POINT, Scalar, check_points, encode_to_curve, multiply
from psi.keys import KeyList
from psi.matching import MARK, Tags, has_repeats, share_any
from psi.messages import CHUNK, chunks
from psi.order import Order, taken
from vsplit.protocol import Bytes, Collect, DataError, Note, ProtocolError, Role, Work

PIECE = 4096
"""Most records in one piece of work: some tens of milliseconds of hashing or masking."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """The transfer of a list of `records` at one step: `move(number)` sends, receives or relays its chunk `number`."""

    records: int
    move: Callable[[int], Role[None]]


def in_turn(transfers: Sequence[Transfer], stage: str = "") -> Role[None]:
    """Run these transfers chunk by chunk, alternating; `stage` names them in progress reports.

    So no party sends a whole list before it receives one, and queues of a few chunks are enough for lists of any length.
    """
    longest = max((one.records for one in transfers), default=0)
    for number in range(chunks(longest)):
        for one in transfers:
            if number < chunks(one.records):
                yield from one.move(number)
        if stage:
            yield Note(stage, min((number + 1) * CHUNK, longest), longest)


def mask_keys(scalar: Scalar, keys: KeyList) -> Bytes:
    """Hash each key to the curve and multiply it by `scalar`: uint8 [n, 32]."""
    return multiply(scalar, encode_to_curve(keys))


class OwnList:
    """This party's own list, hashed, masked and shuffled on the pool: `begin`, then `chunk` one after another.

    `order` is the shuffle. Of what `chunk` returns, 16 bytes for each record are stored, by which `check` finds repeats and
    `TheirList` finds points that are sent back.
    """

    def __init__(self, scalar: Scalar, keys: KeyList, order: Order) -> None:
        self.records = len(keys)
        self.order = order
        self._scalar = scalar
        self._keys = keys
        self._tags = np.empty((len(keys), MARK), dtype=np.uint8)
        self._tickets: list[object] = []
        self._done = 0

    def begin(self) -> Role[None]:
        """Start all the work, so that it continues while this party waits for other parties."""
        for first in range(0, self.records, CHUNK):
            part = self.order[first : first + CHUNK]
            pieces = [(self._scalar, taken(self._keys, part[start:end])) for start, end in pieces_of(len(part))]
            self._tickets.append((yield Work(mask_keys, pieces, later=True)))

    def chunk(self) -> Role[Bytes]:
        """The next chunk, uint8 [n, 32]."""
        yield Note("hashing and masking own keys", self._done, self.records)
        points = yield from _collected(self._tickets.pop(0))
        self._tags[self._done : self._done + len(points)] = points[:, :MARK]
        self._done += len(points)
        yield Note("hashing and masking own keys", self._done, self.records)
        return points

    def whole(self) -> Role[Bytes]:
        """All chunks as one list, uint8 [n, 32], after `check`."""
        points = np.empty((self.records, POINT), dtype=np.uint8)
        while self._tickets:
            first = self._done
            part = yield from self.chunk()
            points[first : first + len(part)] = part
        self.check()
        return points

    def check(self) -> None:
        """Raise DataError where a key is in the list twice: equal keys have equal points."""
        if has_repeats(self.tags):
            raise DataError(
                "This party's list of keys holds a key twice; leave repeated keys out, as psi.read_keys does."
            )

    @property
    def tags(self) -> Tags:
        """The tags of the masked points, after the last chunk."""
        return Tags.of(self._tags)


class TheirList:
    """A list of `records` points from `sender`: each chunk is checked, and masked on the pool at once.

    The first `width` bytes of every masked point are stored. `owner` is the party whose list it is, for progress reports, and
    `announced_by` the party that announced its size.
    """

    def __init__(
        self, sender: str, owner: str, records: int, scalar: Scalar, *, announced_by: str, width: int = POINT
    ) -> None:
        self.sender = sender
        self._announced_by = announced_by
        self.records = records
        self._owner = owner
        self._scalar = scalar
        self._width = width
        self._received = np.empty((records, MARK), dtype=np.uint8)
        self._tickets: list[object] = []
        self._taken = 0

    def take(self, points: Bytes) -> Role[None]:
        """The next chunk, uint8 [n, 32]. Raises ProtocolError for a wrong length and for points that are not allowed."""
        first = self._taken
        check_length(self.sender, len(points), min(CHUNK, self.records - first), self._announced_by)
        try:
            check_points(points)
        except ValueError as error:
            refuse(self.sender, str(error))
        self._received[first : first + len(points)] = points[:, :MARK]
        self._taken += len(points)
        pieces = [(self._scalar, points[start:end]) for start, end in pieces_of(len(points))]
        self._tickets.append((yield Work(multiply, pieces, later=True)))

    def finish(self, own: Tags) -> Role[Bytes]:
        """The masked list, uint8 [n, width].

        Raises ProtocolError where a point is one of this party's `own` masked list, or where two masked points are equal,
        as they are for equal points and for points that differ by a point of low order, which the scalar removes.
        """
        if share_any(Tags.of(self._received), own):
            refuse(self.sender, "a point of this party's own list")
        del self._received
        masked = np.empty((self.records, self._width), dtype=np.uint8)
        stage, done = f"masking the list of {self._owner}", 0
        yield Note(stage, done, self.records)
        while self._tickets:
            part = yield from _collected(self._tickets.pop(0))
            masked[done : done + len(part)] = part[:, : self._width]
            done += len(part)
            yield Note(stage, done, self.records)
        if has_repeats(Tags.of(masked)):
            refuse(self.sender, "a list that holds a point twice")
        return masked


def pieces_of(records: int) -> list[tuple[int, int]]:
    """The bounds of even pieces of at most PIECE records."""
    count = -(-records // PIECE)
    bounds = [records * number // count for number in range(count + 1)]
    return list(pairwise(bounds))


def check_length(peer: str, found: int, due: int, announced_by: str) -> None:
    """Raise ProtocolError unless a chunk from `peer` has the `due` records, by the size that `announced_by` announced."""
    if found == due:
        return
    sent = f"a chunk of {found:,} records where {due:,} were due by the size that"
    if announced_by == peer:
        refuse(peer, f"{sent} it had announced")
    # One of the two is at fault, and this party cannot tell which.
    raise ProtocolError(
        peer,
        f"{peer} sent {sent} {announced_by} had announced: one of the two does not follow the protocol; ask both sides.",
    )


def refuse(peer: str, what: str) -> NoReturn:
    """Raise the ProtocolError for a `peer` that sent `what`."""
    raise ProtocolError(
        peer, f"{peer} sent {what}; its program is another version or does not follow the protocol, so ask that side."
    )


def _collected(ticket: object) -> Role[Bytes]:
    parts: list[Bytes] = yield Collect(ticket)
    return np.concatenate(parts)
