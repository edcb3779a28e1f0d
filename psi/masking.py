"""Phase 1 of the protocol: every list is masked by every party and shuffled by every feature party. SPEC.md, section 5.2.

Lists of feature parties travel around the ring; the label party's travels from the first feature party to the last. Steps are
counted as in `psi.ring`. At each step the transfers of all parties run side by side, chunk by chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from psi.curve import POINT, Scalar
from psi.exchange import OwnList, TheirList, Transfer, check_length, in_turn, refuse
from psi.keys import KeyList
from psi.matching import MARK, Tags, share_any
from psi.messages import CHUNK, LONGEST_CUT, MaskedByAll, MaskedKeys, cut_width
from psi.order import Order, RandomBytes, shuffled
from psi.ring import Ring, Seat, masking
from vsplit.protocol import HEAD, Bytes, Role, receive, send
from vsplit.sealing import Sealed, pass_on

POINTS = CHUNK * POINT
"""Most bytes of the points in one message."""


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """What the label party has after phase 1: all finished lists, by number, in orders that it does not know.

    `order`, uint32 [n], is the shuffle of its own list; `tags` are the lists, each value cut to the agreed bytes.
    """

    order: Order = field(repr=False)
    tags: list[Tags] = field(repr=False)


@dataclass(slots=True, eq=False)
class _Passing:
    """A list that a feature party has masked, uint8 [n, 32 or 16], and the shuffle in which it sends the list on."""

    masked: Bytes = field(repr=False)
    order: Order = field(repr=False)

    def chunk(self, number: int, width: int = POINT) -> Bytes:
        rows = self.order[number * CHUNK : (number + 1) * CHUNK]
        # Eight bytes at a time, since taking single bytes by a random order is five times as slow.
        found: Bytes = self.masked.view("<u8")[rows].view(np.uint8)
        return np.ascontiguousarray(found[:, :width])


def mask_as_label(ring: Ring, sizes: list[int], keys: KeyList, random_bytes: RandomBytes) -> Role[Finished]:
    """Phase 1 at the label party: relay lists, send its own list around, mask the finished lists. `sizes` by number."""
    scalar = Scalar.draw(random_bytes)
    own = OwnList(scalar, keys, shuffled(len(keys), random_bytes))
    yield from own.begin()
    last, width = ring.size, cut_width(sizes)
    finals = {}
    for party in ring.numbers:
        owner = ring.sent(party, last)
        finals[owner] = TheirList(
            ring.name(party), ring.name(owner), sizes[owner], scalar, announced_by=ring.name(owner), width=MARK
        )
    cuts = np.empty((sizes[0], width), dtype=np.uint8)
    for step in range(1, last + 3):
        transfers = []
        if step < last:
            transfers += [_relay(ring, party, ring.sent(party, step), sizes) for party in ring.numbers]
        if step == last:
            transfers += [_receiving(final) for final in finals.values()]
        if step == 2:
            # This party's list is sent only after every other list has come, so that none can be derived from it.
            transfers.append(_sending_whole(ring.name(1), (yield from own.whole())))
        if 3 <= step <= last + 1:
            transfers.append(_relay(ring, step - 2, 0, sizes))
        if step == last + 2:
            transfers.append(_receiving_cuts(ring.name(last), cuts))
        yield from in_turn(transfers, "passing on masked lists" if step < last else "exchanging masked lists")
    mine = own.tags
    tags = [Tags.of(cuts)]
    if share_any(tags[0], mine.cut(width)):
        refuse(ring.name(last), "a point of this party's own list, not masked again")
    for number in ring.numbers:
        masked = yield from finals.pop(number).finish(mine)
        tags.append(Tags.of(masked).cut(width))
    return Finished(own.order, tags)


def mask_as_feature(here: Seat, sizes: list[int], keys: KeyList, random_bytes: RandomBytes) -> Role[dict[int, Order]]:
    """Phase 1 at a feature party: mask, shuffle and send on each list. Returns its shuffle of each list, by number."""
    ring, me = here.ring, here.number
    scalar = Scalar.draw(random_bytes)
    own = OwnList(scalar, keys, shuffled(len(keys), random_bytes))
    yield from own.begin()
    mine: Tags | None = None
    orders = {me: own.order}
    held: dict[int, _Passing] = {}
    for step in range(1, max(ring.size, me + 2) + 1):
        leaving = [_sending_own(here, own)] if step == 1 else _leaving(here, step, held, cut_width(sizes))
        coming = _coming(here, step, sizes, scalar)
        stage = "" if step == 1 else "exchanging masked lists"
        yield from in_turn([*leaving, *(_taking(here, owner, one) for owner, one in coming.items())], stage)
        if mine is None:
            own.check()
            mine = own.tags
        held.clear()
        for owner, one in coming.items():
            masked = yield from one.finish(mine)
            orders[owner] = shuffled(one.records, random_bytes)
            held[owner] = _Passing(masked, orders[owner])
    return orders


def _coming(here: Seat, step: int, sizes: list[int], scalar: Scalar) -> dict[int, TheirList]:
    """The lists that come to feature party `here` at `step`, by number: one of the ring, and once the label party's."""
    ring, me = here.ring, here.number
    coming = {}
    if step < ring.size:
        sender = ring.before(me)
        owner = ring.sent(sender, step)
        coming[owner] = TheirList(
            ring.name(sender), ring.name(owner), sizes[owner], scalar, announced_by=ring.label_party
        )
    if step == me + 1:
        # What the last party sends on is cut, so no more of it needs to be stored.
        width = MARK if me == ring.size else POINT
        coming[0] = TheirList(
            ring.name(me - 1), ring.label_party, sizes[0], scalar, announced_by=ring.label_party, width=width
        )
    return coming


def _leaving(here: Seat, step: int, held: dict[int, _Passing], width: int) -> list[Transfer]:
    """The lists that leave feature party `here` at `step`: those that came at the step before, the ring's list first."""
    leaving = []
    for owner, one in held.items():
        if owner and step < here.ring.size:
            leaving.append(_sending_sealed(here, owner, one))
        elif owner:
            leaving.append(_sending_to_label(here, one))
        elif here.number < here.ring.size:
            leaving.append(_sending_sealed(here, owner, one))
        else:
            leaving.append(_sending_cuts(here, one, width))
    return leaving


def _taking(here: Seat, owner: int, coming: TheirList) -> Transfer:
    sender = here.ring.before(here.number)

    def in_the_open(_number: int) -> Role[None]:
        message = yield from receive(here.label_party, MaskedKeys, POINTS + HEAD)
        yield from coming.take(message.points)

    def sealed(number: int) -> Role[None]:
        message = yield from receive(here.label_party, Sealed, POINTS + HEAD)
        content = here.seal(sender).open(masking(owner, number), message)
        if len(content) % POINT:
            refuse(coming.sender, "a chunk that holds no whole number of points")
        yield from coming.take(content.reshape(-1, POINT))

    return Transfer(coming.records, in_the_open if owner == 0 and here.number == 1 else sealed)


def _sending_own(here: Seat, own: OwnList) -> Transfer:
    def move(number: int) -> Role[None]:
        points = yield from own.chunk()
        if here.ring.size == 1:
            yield from send(here.label_party, MaskedKeys(points=points))
        else:
            seal = here.seal(here.ring.after(here.number))
            yield from send(here.label_party, seal.seal(masking(here.number, number), points))

    return Transfer(own.records, move)


def _sending_sealed(here: Seat, owner: int, passing: _Passing) -> Transfer:
    def move(number: int) -> Role[None]:
        seal = here.seal(here.ring.after(here.number))
        yield from send(here.label_party, seal.seal(masking(owner, number), passing.chunk(number)))

    return Transfer(len(passing.order), move)


def _sending_to_label(here: Seat, passing: _Passing) -> Transfer:
    def move(number: int) -> Role[None]:
        yield from send(here.label_party, MaskedKeys(points=passing.chunk(number)))

    return Transfer(len(passing.order), move)


def _sending_cuts(here: Seat, passing: _Passing, width: int) -> Transfer:
    def move(number: int) -> Role[None]:
        yield from send(here.label_party, MaskedByAll(cuts=passing.chunk(number, width)))

    return Transfer(len(passing.order), move)


def _relay(ring: Ring, sender: int, owner: int, sizes: list[int]) -> Transfer:
    def move(_number: int) -> Role[None]:
        yield from pass_on(ring.name(sender), ring.name(ring.after(sender)), POINTS)

    return Transfer(sizes[owner], move)


def _receiving(final: TheirList) -> Transfer:
    def move(_number: int) -> Role[None]:
        message = yield from receive(final.sender, MaskedKeys, POINTS + HEAD)
        yield from final.take(message.points)

    return Transfer(final.records, move)


def _sending_whole(to: str, points: Bytes) -> Transfer:
    def move(number: int) -> Role[None]:
        yield from send(to, MaskedKeys(points=points[number * CHUNK : (number + 1) * CHUNK]))

    return Transfer(len(points), move)


def _receiving_cuts(sender: str, cuts: Bytes) -> Transfer:
    def move(number: int) -> Role[None]:
        first = number * CHUNK
        part = (yield from receive(sender, MaskedByAll, CHUNK * LONGEST_CUT + HEAD)).cuts
        check_length(sender, len(part), min(CHUNK, len(cuts) - first), sender)
        if part.shape[1] != cuts.shape[1]:
            refuse(
                sender,
                f"masked keys of {part.shape[1]} bytes where {cuts.shape[1]} were due by the sizes of the lists",
            )
        cuts[first : first + len(part)] = part

    return Transfer(len(cuts), move)
