"""Two links and a wire between them that is cut at any byte: every message arrives once, in order. No socket, no clock."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.network import frames
from parties.network import link as link_module
from parties.network.frame_writer import FrameWriter
from parties.network.frames import HEAD, Type, read_opening
from parties.network.link import Link
from parties.network.transport import LinkObservers
from vsplit.protocol import ConfigError, ProtocolError

SESSION = b"0123456789abcdef"
QUEUE = 4000
CHUNK = 64


class End:
    """One end of a connection: what was written leaves when the test says so, as far as the other end is there."""

    def __init__(self) -> None:
        self.coming = bytearray()
        self.leaving = bytearray()
        self.over = False
        self.closed = False

    def recv_into(self, place: memoryview) -> int:
        count = min(len(place), len(self.coming))
        if count == 0 and not self.over:
            raise ssl.SSLWantReadError
        place[:count] = self.coming[:count]
        del self.coming[:count]
        return count

    def send(self, data: memoryview) -> int:
        if self.over:
            raise BrokenPipeError(32, "broken")
        count = min(len(data), 4096 - len(self.leaving))
        if count == 0:
            raise ssl.SSLWantWriteError
        self.leaving += data[:count]
        return count

    def pending(self) -> int:
        return 0

    def fileno(self) -> int:
        return 7

    def close(self) -> None:
        self.closed = self.over = True


class Counter:
    """Counts what the observer of a link hears."""

    def __init__(self) -> None:
        self.losses: list[str] = []
        self.returns = 0
        self.again: list[range] = []

    def lost(self, _peer: str, why: str) -> None:
        self.losses.append(why)

    def away(self, _absences: Any) -> None:
        raise AssertionError("a link by itself tells nobody who is away")

    def back(self, _peer: str) -> None:
        self.returns += 1

    def resent(self, _peer: str, first: int, last: int, size: int) -> None:
        assert size > 0
        self.again.append(range(first, last + 1))


class Pair:
    """Side 0 takes connections, side 1 dials. Each side's numbers are sent in messages of many sizes."""

    def __init__(self, *seen: Counter) -> None:
        self.now = 0.0
        self.ends = (End(), End())
        self.seen = seen or (Counter(), Counter())
        self.links = tuple(
            Link(name, end, SESSION, 0.0, LinkObservers(seen))  # type: ignore[arg-type]
            for name, end, seen in zip(("dialler", "taker"), self.ends, self.seen, strict=True)
        )
        self.sent: tuple[list[bytes], list[bytes]] = ([], [])
        self.got: tuple[list[bytes], list[bytes]] = ([], [])

    def send(self, side: int, size: int) -> None:
        if not self.links[side].full:
            data = len(self.sent[side]).to_bytes(4, "big") + bytes(size)
            self.links[side].queue([memoryview(data)])
            self.sent[side].append(data)

    def move(self, side: int, count: int) -> None:
        """Let this side write, carry `count` bytes over, and let the other side read and take."""
        self.now += 0.05
        self.links[side].write(self.now)
        here, there = self.ends[side], self.ends[1 - side]
        there.coming += here.leaving[:count]
        del here.leaving[:count]
        for end, link in zip(self.ends, self.links, strict=True):
            while end.coming and link.wants_to_read:
                link.read(self.now)
        for number, link in enumerate(self.links):
            link.beat(self.now)
            while (data := link.receive_queue.take()) is not None:
                self.got[number].append(data.tobytes())

    def cut(self) -> None:
        """The wire is cut; what was under way is gone. Each side finds out when it looks."""
        for end, link in zip(self.ends, self.links, strict=True):
            end.coming.clear()
            end.over = True
            link.read(self.now)
            link.write(self.now)

    def mend(self, heard: bool = True) -> None:
        """Side 1 dials; with `heard` false, the new wire is cut before it hears the answer."""
        self.ends = (End(), End())
        taker, dialler = self.links
        if dialler.lost is None:
            return
        first = FrameWriter(SESSION).control(Type.RESUME, dialler.received)
        taker.connect(self.ends[0], read_opening(first)[0].acknowledged, self.now, answer=True)  # type: ignore[arg-type]
        taker.write(self.now)
        answer = bytes(self.ends[0].leaving[: HEAD.size])
        del self.ends[0].leaving[: HEAD.size]
        if heard:
            opening, rest = read_opening(answer)
            assert (opening.type, opening.session, rest) == (Type.RESUME, SESSION, 0)
            dialler.connect(self.ends[1], opening.acknowledged, self.now, answer=False)  # type: ignore[arg-type]
        else:
            self.ends[0].over = True
            taker.read(self.now)

    def settle(self) -> None:
        """Mend the wire if need be, and carry all to its end."""
        if any(link.lost for link in self.links):
            self.cut()
            self.mend()
        for _ in range(2000):
            if all(link.send_queue.settled and not link.wants_to_write for link in self.links):
                break
            for side in (0, 1):
                self.move(side, 1 << 20)
        for side in (0, 1):
            assert self.links[side].failure is None
            assert self.got[1 - side] == self.sent[side]

    def farewell(self) -> None:
        for link in self.links:
            link.send_done()


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with mock.patch.object(link_module, "QUEUE", QUEUE), mock.patch.object(frames, "CHUNK", CHUNK):
        yield


sides = st.integers(0, 1)
events = st.lists(
    st.one_of(
        st.tuples(st.just("send"), sides, st.integers(0, 700)),
        st.tuples(st.just("move"), sides, st.integers(1, 900)),
        st.tuples(st.just("cut")),
        st.tuples(st.just("miss")),
        st.tuples(st.just("done"), sides),
    ),
    max_size=60,
)


@given(events)
@settings(max_examples=150, deadline=None)
def test_whatever_is_cut_every_message_arrives_once_and_in_order(happened: list[tuple[Any, ...]]) -> None:
    pair = Pair()
    done = [False, False]
    for what, *how in happened:
        if what == "send" and not done[how[0]]:
            pair.send(*how)
        elif what == "move":
            pair.move(*how)
        elif what in ("cut", "miss"):
            pair.cut()
            if what == "miss":
                pair.mend(heard=False)
            pair.mend()
        elif what == "done" and not done[how[0]]:
            done[how[0]] = True
            pair.links[how[0]].send_done()
        for side in (0, 1):
            assert pair.links[side].failure is None
            assert pair.got[1 - side] == pair.sent[side][: len(pair.got[1 - side])]
            assert pair.links[side].send_queue.size <= QUEUE + 2000
    for side in (0, 1):
        if not done[side]:
            pair.links[side].send_done()
    pair.settle()
    for side in (0, 1):
        assert pair.links[side].done and pair.links[side].finished
        assert pair.links[side].send_queue.size == 0
        for again in pair.seen[side].again:
            assert set(again) <= set(range(1, len(pair.sent[side]) + 1))


@given(st.integers(0, 1), st.integers(0, 1200))
@settings(max_examples=150, deadline=None)
def test_a_cut_at_any_byte_of_a_message_and_of_the_farewell(side: int, at: int) -> None:
    pair = Pair()
    pair.send(side, 500)
    pair.send(side, 300)
    pair.farewell()
    pair.move(side, at)
    pair.cut()
    pair.mend()
    pair.settle()
    assert all(link.done and link.finished for link in pair.links)
    assert [seen.returns for seen in pair.seen] == [1, 1]


def test_messages_that_were_under_way_are_told_as_resent_and_others_not() -> None:
    pair = Pair()
    pair.send(1, 10)
    pair.move(1, 1 << 20)
    pair.move(0, 1 << 20)  # nothing is acknowledged yet, but the message has come
    pair.send(1, 700)
    pair.send(1, 20)
    pair.send(1, 30)
    pair.move(1, 100)
    pair.cut()
    pair.send(1, 40)  # queued while the wire is cut: it never left before
    pair.mend()
    assert pair.seen[1].again == [range(2, 5)]
    assert pair.seen[0].again == []
    pair.settle()
    assert [link.retries for link in pair.links] == [1, 1]


def test_a_sender_is_held_back_by_its_bound_while_the_wire_is_cut() -> None:
    pair = Pair()
    pair.cut()
    for _ in range(100):
        pair.send(1, 700)
    assert pair.links[1].full
    assert pair.links[1].send_queue.size <= QUEUE + 2000
    pair.mend()
    pair.settle()
    assert not pair.links[1].full


@pytest.mark.parametrize("number", [0, 3, 2**64 - 1])
def test_a_peer_that_resumes_where_it_cannot_be_is_named(number: int) -> None:
    pair = Pair()
    for _ in range(2):
        pair.send(0, 10)
        for side in (0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1):
            pair.move(side, 1 << 20)
    assert pair.links[0].send_queue.settled
    pair.cut()
    taker = pair.links[0]
    taker.connect(End(), number, pair.now, answer=True)  # type: ignore[arg-type]
    assert isinstance(taker.failure, ProtocolError)
    assert taker.failure.peer == "dialler"


def test_a_connection_in_place_of_one_that_seems_alive_drops_what_had_come_in_part() -> None:
    pair = Pair()
    pair.send(1, 700)
    pair.move(1, 300)
    taker, dialler = pair.links
    assert taker.lost is None
    pair.ends[1].over = True  # only the dialler has found out
    dialler.read(pair.now)
    old = pair.ends[0]
    pair.mend()
    assert old.closed
    pair.settle()


class FullDisk(Counter):
    """An observer that cannot write down what goes again."""

    error = ConfigError("The ledger cannot be written.")

    def resent(self, _peer: str, first: int, last: int, size: int) -> None:
        raise self.error


@pytest.mark.parametrize("side", [0, 1])
def test_nothing_goes_again_that_cannot_be_put_on_record(side: int) -> None:
    """Only why the session ends may leave."""
    pair = Pair(FullDisk(), FullDisk())
    pair.send(side, 700)
    pair.move(side, 300)
    pair.cut()
    link, end = pair.links[side], End()
    link.connect(end, 0, pair.now, answer=not side)  # type: ignore[arg-type]
    link.write(pair.now)
    link.beat(pair.now + 1)
    assert link.failure is FullDisk.error
    assert not end.leaving
    link.stop("config")
    link.write(pair.now)
    head = HEAD.unpack(end.leaving[: HEAD.size])
    assert Type(head[1]) is Type.STOP and end.leaving[HEAD.size :] == b"config"


def test_a_link_that_has_nothing_to_say_again_comes_back_although_the_disk_is_full() -> None:
    pair = Pair(FullDisk(), FullDisk())
    pair.cut()
    pair.mend()
    pair.settle()
