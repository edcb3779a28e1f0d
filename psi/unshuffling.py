"""Phase 2 of the protocol: only for the full matches, the parties undo their own shuffles. SPEC.md, section 5.3.

First the label party's list, from the last feature party back to the first; then the label party knows its own matches and can
put them in the common order. Then, in this order, all lists of the ring at once, each back to its owner.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from psi.exchange import Transfer, check_length, in_turn, refuse
from psi.messages import BITS, CHUNK, MatchBits, MatchPositions, OwnPositions, Positions, chunks
from psi.order import Order
from psi.ring import Ring, Seat, undoing
from vsplit.protocol import HEAD, Bytes, Note, Role, receive, send
from vsplit.sealing import Sealed, pass_on

POSITIONS = CHUNK * 4
"""Most bytes of the positions in one message."""


def find_own(ring: Ring, matched: Positions, order: Order) -> Role[Positions]:
    """The label party's part of undoing its own list.

    `matched`, uint32 [m], ascending, are positions in the finished list. Returns the position in the list of keys of each
    of them, in the same order; `order` is the shuffle in which this party sent its list.
    """
    bits = np.zeros(len(order), dtype=bool)
    bits[matched] = True
    packed = np.packbits(bits, bitorder="little")
    for number in range(chunks(len(packed), BITS)):
        part = packed[number * BITS : (number + 1) * BITS]
        yield from send(ring.name(ring.size), MatchBits(bits=part))
    for party in range(ring.size, 1, -1):
        yield from in_turn([_relay(ring, party, party - 1, len(matched))])
    found = _Positions(ring.name(1), len(order), len(matched), ring.name(1))
    for _ in range(chunks(len(matched))):
        found.take((yield from receive(ring.name(1), OwnPositions, POSITIONS + HEAD)).positions)
    yield Note("finding the records in common", len(matched), len(matched))
    return order[found.checked()]


def undo_first_list(here: Seat, order: Order, matched: int) -> Role[None]:
    """A feature party's part of it: undo its shuffle `order` of the label party's list, and send the positions on."""
    ring, me = here.ring, here.number
    if me == ring.size:
        positions = yield from _receive_bits(here.label_party, len(order), matched)
    else:
        found = _Positions(ring.name(me + 1), len(order), matched, here.label_party)
        yield from in_turn([_taking(here, 0, me + 1, found)])
        positions = found.checked()
    back = order[positions]
    if me > 1:
        yield from in_turn([_sending(here, 0, me - 1, back)])
        return
    for number in range(chunks(matched)):
        part = back[number * CHUNK : (number + 1) * CHUNK]
        yield from send(here.label_party, OwnPositions(positions=part))


def send_positions(ring: Ring, places: Mapping[int, Positions], matched: int) -> Role[None]:
    """The label party's part of undoing the other lists: `places`, by list number, uint32 [m] each, in the common order."""
    transfers = []
    for party in ring.numbers:
        owner = ring.undone(party, 1)
        transfers.append(_sending_positions(ring.name(party), places[owner]))
    yield from in_turn(transfers)
    for _ in range(1, ring.size):
        yield from in_turn([_relay(ring, party, ring.before(party), matched) for party in ring.numbers])


def undo_others(here: Seat, orders: Mapping[int, Order], matched: int) -> Role[Positions]:
    """A feature party's part of it: undo its shuffles of the other parties' lists, and last that of its own.

    Returns the positions of the matches in its own list of keys, uint32 [m], in the common order.
    """
    ring, me = here.ring, here.number
    owner = ring.undone(me, 1)
    found = _Positions(here.label_party, len(orders[owner]), matched, here.label_party)
    for _ in range(chunks(matched)):
        found.take((yield from receive(here.label_party, MatchPositions, POSITIONS + HEAD)).positions)
    for step in range(1, ring.size):
        back = orders[owner][found.checked()]
        leaving = _sending(here, owner, ring.before(me), back)
        owner = ring.undone(me, step + 1)
        found = _Positions(ring.name(ring.after(me)), len(orders[owner]), matched, here.label_party)
        yield from in_turn([leaving, _taking(here, owner, ring.after(me), found)])
    return orders[owner][found.checked()]


class _Positions:
    """Positions in a list of `records`, `matched` of them as `announced_by` announced, received from `sender` in chunks."""

    def __init__(self, sender: str, records: int, matched: int, announced_by: str) -> None:
        self.sender = sender
        self._announced_by = announced_by
        self._records = records
        self._found = np.empty(matched, dtype=np.uint32)
        self._taken = 0

    @property
    def matched(self) -> int:
        return len(self._found)

    def take(self, part: Positions) -> None:
        check_length(self.sender, len(part), min(CHUNK, len(self._found) - self._taken), self._announced_by)
        self._found[self._taken : self._taken + len(part)] = part
        self._taken += len(part)

    def checked(self) -> Positions:
        """All of them. Raises ProtocolError where one is outside the list or occurs twice."""
        if self._found.max() >= self._records:
            refuse(self.sender, "a position outside the list")
        seen = np.zeros(self._records, dtype=bool)
        seen[self._found] = True
        if np.count_nonzero(seen) != len(self._found):
            refuse(self.sender, "a position twice")
        return self._found


def _receive_bits(label_party: str, records: int, matched: int) -> Role[Positions]:
    due = chunks(records, 8)
    packed = np.empty(due, dtype=np.uint8)
    for number in range(chunks(due, BITS)):
        first = number * BITS
        part: Bytes = (yield from receive(label_party, MatchBits, BITS + HEAD)).bits
        check_length(label_party, len(part), min(BITS, due - first), label_party)
        packed[first : first + len(part)] = part
    bits = np.unpackbits(packed, bitorder="little")
    if bits[records:].any():
        refuse(label_party, "a bitmap that marks entries beyond the end of the list")
    positions = np.flatnonzero(bits[:records]).astype(np.uint32)
    if len(positions) != matched:
        refuse(label_party, f"a bitmap of {len(positions):,} matches where it had announced {matched:,}")
    return positions


def _taking(here: Seat, owner: int, sender: int, found: _Positions) -> Transfer:
    def move(number: int) -> Role[None]:
        message = yield from receive(here.label_party, Sealed, POSITIONS + HEAD)
        content = here.seal(sender).open(undoing(owner, number), message)
        if len(content) % 4:
            refuse(found.sender, "a chunk that holds no whole number of positions")
        found.take(content.view("<u4"))

    return Transfer(found.matched, move)


def _sending(here: Seat, owner: int, to: int, positions: Positions) -> Transfer:
    def move(number: int) -> Role[None]:
        part = positions[number * CHUNK : (number + 1) * CHUNK].astype("<u4").view(np.uint8)
        yield from send(here.label_party, here.seal(to).seal(undoing(owner, number), part))

    return Transfer(len(positions), move)


def _sending_positions(to: str, positions: Positions) -> Transfer:
    def move(number: int) -> Role[None]:
        yield from send(to, MatchPositions(positions=positions[number * CHUNK : (number + 1) * CHUNK]))

    return Transfer(len(positions), move)


def _relay(ring: Ring, sender: int, to: int, matched: int) -> Transfer:
    def move(_number: int) -> Role[None]:
        yield from pass_on(ring.name(sender), ring.name(to), POSITIONS)

    return Transfer(matched, move)
