"""One link over a stream that is played by hand and a clock that is a number: no socket, no waiting."""

from __future__ import annotations

import ssl
from collections import deque

import pytest

from parties.network import link as link_module
from parties.network.frames import HEAD, MAGIC, FrameWriter, Type
from parties.network.link import Link
from vsplit.protocol import MismatchError, PeerLost, ProtocolError, StoppedError

SESSION = b"0123456789abcdef"
WAIT = 20.0
QUEUE = 10_000


class Stream:
    """What TLS would be: bytes to read, then `end` (None: nothing yet), and what was written, as far as there is room."""

    def __init__(self) -> None:
        self.coming = bytearray()
        self.end: OSError | str | None = None
        self.written = bytearray()
        self.room = 1 << 40
        self.broken: OSError | None = None
        self.closed = False

    def recv_into(self, place: memoryview) -> int:
        count = min(len(place), len(self.coming), 1 << 14)
        if count == 0:
            if self.end == "closed":
                return 0
            raise self.end if isinstance(self.end, OSError) else ssl.SSLWantReadError()
        place[:count] = self.coming[:count]
        del self.coming[:count]
        return count

    def recv(self, size: int) -> bytes:
        place = bytearray(size)
        return bytes(place[: self.recv_into(memoryview(place))])

    def send(self, data: memoryview) -> int:
        if self.broken:
            raise self.broken
        count = min(len(data), self.room)
        if count == 0:
            raise ssl.SSLWantWriteError()
        self.written += data[:count]
        self.room -= count
        return count

    def pending(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True


class Ends:
    """A link, its stream, and a writer for the other side."""

    def __init__(self, session: bytes = SESSION) -> None:
        self.stream = Stream()
        self.link = Link("lab", self.stream, session, WAIT, 0.0)  # type: ignore[arg-type]
        self.writer = FrameWriter(SESSION)

    def comes(self, *sizes: int) -> None:
        for size in sizes:
            self.stream.coming += b"".join(self.writer.message([memoryview(bytes(size))], 0))

    def comes_control(self, kind: Type, payload: bytes = b"") -> None:
        self.stream.coming += self.writer.control(kind, 0, payload)

    def types_written(self) -> list[Type]:
        found, rest = [], bytes(self.stream.written)
        while rest:
            _, kind, length, *_ = HEAD.unpack(rest[: HEAD.size])
            found.append(Type(kind))
            rest = rest[HEAD.size + length :]
        return found


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    monkeypatch.setattr(link_module, "QUEUE", QUEUE)
    return Ends()


@pytest.mark.parametrize("wait", [1.0, 604_800.0])
def test_a_link_says_that_it_is_alive_often_enough_for_the_shortest_wait_of_another(wait: float) -> None:
    stream = Stream()
    link = Link("lab", stream, SESSION, wait, 0.0)  # type: ignore[arg-type]
    beats = []
    for tick in range(100):
        before = len(stream.written)
        link.beat(tick / 100)
        if len(stream.written) > before:
            beats.append(tick)
    assert len(beats) == 3
    assert link.failure is None


def test_a_silent_peer_is_lost_after_the_wait_and_not_before(ends: Ends) -> None:
    ends.link.beat(WAIT)
    assert ends.link.failure is None
    ends.link.beat(WAIT + 0.1)
    assert isinstance(ends.link.failure, PeerLost)
    assert "silent for 20 s" in str(ends.link.failure)


def test_a_party_whose_queue_is_full_and_that_computes_for_long_does_not_call_its_peer_silent(ends: Ends) -> None:
    ends.comes(QUEUE, 10)
    ends.link.read(1.0)
    assert not ends.link.wants_to_read
    for now in range(2, 200, 2):
        ends.link.beat(float(now))
    assert ends.link.failure is None
    assert ends.link.take() is not None
    assert ends.link.wants_to_read  # now it listens again, and the wait begins
    ends.link.beat(199.0)
    assert ends.link.failure is None
    ends.link.beat(199.0 + WAIT)
    assert isinstance(ends.link.failure, PeerLost)


def test_two_parties_that_both_wait_for_room_do_not_wait_for_ever(ends: Ends) -> None:
    ends.comes(QUEUE)
    ends.link.read(1.0)
    ends.link.pressed = True
    ends.link.beat(2.0)
    assert ends.link.failure is None
    ends.link.beat(2.0 + WAIT)
    assert isinstance(ends.link.failure, PeerLost)


def test_a_peer_that_is_done_still_hears_that_this_party_is_alive(ends: Ends) -> None:
    ends.comes_control(Type.DONE)
    ends.link.read(1.0)
    assert ends.link.done
    ends.link.beat(10.0)
    assert ends.types_written() == [Type.BEAT]


@pytest.mark.parametrize("end", ["closed", ConnectionResetError(104, "reset"), ssl.SSLError(1, "bad record")])
def test_a_peer_that_is_done_may_go(ends: Ends, end: OSError | str) -> None:
    ends.comes(5)
    ends.comes_control(Type.DONE)
    ends.stream.end = end
    ends.link.read(1.0)
    ends.link.read(1.0)
    assert ends.link.closed
    assert ends.link.failure is None
    assert ends.link.take() is not None


def test_a_peer_that_is_done_and_falls_silent_is_waited_for_no_longer(ends: Ends) -> None:
    ends.comes_control(Type.DONE)
    ends.link.read(1.0)
    ends.stream.room = 0
    ends.link.queue([memoryview(b"x")])
    assert ends.link.wants_to_write
    ends.link.beat(2.0 + WAIT)
    assert ends.link.closed
    assert not ends.link.wants_to_write
    assert ends.link.failure is None


def test_what_is_sent_to_a_peer_that_is_done_and_gone_fills_no_queue(ends: Ends) -> None:
    ends.comes_control(Type.DONE)
    ends.stream.end = "closed"
    ends.link.read(1.0)
    for _ in range(3):
        ends.link.queue([memoryview(bytes(QUEUE))])
        assert not ends.link.full


@pytest.mark.parametrize("end", ["closed", ConnectionResetError(104, "reset"), ssl.SSLError(1, "bad record")])
def test_a_peer_that_goes_without_a_word_is_lost(ends: Ends, end: OSError | str) -> None:
    ends.stream.end = end
    ends.link.read(1.0)
    assert isinstance(ends.link.failure, PeerLost)
    assert ends.link.failure.peer == "lab"


def test_an_alert_in_the_middle_of_a_session_does_not_blame_the_identity(ends: Ends) -> None:
    alert = ssl.SSLError(1, "alert")
    alert.reason = "SSLV3_ALERT_BAD_RECORD_MAC"
    ends.stream.end = alert
    ends.link.read(1.0)
    assert isinstance(ends.link.failure, PeerLost)
    before = Ends(bytes(16))
    before.stream.end = alert
    before.link.read(1.0)
    assert isinstance(before.link.failure, MismatchError)


def test_what_a_peer_said_before_the_link_broke_counts_for_more_than_the_break(ends: Ends) -> None:
    ends.comes(QUEUE, QUEUE)  # the queue is full, so that the word behind it would not be read
    ends.comes_control(Type.STOP, b"data")
    ends.link.read(1.0)
    assert not ends.link.wants_to_read
    ends.stream.broken = BrokenPipeError(32, "broken")
    ends.link.queue([memoryview(b"x")])
    ends.link.write(2.0)
    while ends.link.failure is None:
        assert ends.link.wants_to_read
        ends.link.read(2.0)
    assert isinstance(ends.link.failure, StoppedError)
    assert "cannot use its data" in str(ends.link.failure)


def test_an_unknown_word_of_a_peer_is_not_repeated(ends: Ends) -> None:
    ends.comes_control(Type.STOP, b"\x1b[31mcanary")
    ends.link.read(1.0)
    assert isinstance(ends.link.failure, StoppedError)
    assert "canary" not in str(ends.link.failure)


@pytest.mark.parametrize("size", [1, 700, QUEUE * 3])
def test_a_peer_that_floods_messages_is_held_back_whatever_their_size(ends: Ends, size: int) -> None:
    ends.comes(*[size] * (40_000 // size + 60))
    sent = len(ends.stream.coming)
    ends.link.read(1.0)
    assert not ends.link.wants_to_read
    assert sent - len(ends.stream.coming) < 3 * QUEUE
    assert len(ends.link.inbox) < QUEUE // 400  # an empty message costs memory too


def test_a_flood_of_control_frames_is_read_in_portions(ends: Ends) -> None:
    for _ in range(1000):
        ends.comes_control(Type.BEAT)
    portions = 0
    while ends.stream.coming:
        ends.link.read(1.0)
        portions += 1
        assert ends.link.more == bool(ends.stream.coming)
    assert 3 <= portions <= 5


def test_a_message_longer_than_the_role_takes_is_refused_at_its_first_frame(ends: Ends) -> None:
    ends.link.expect(1000)
    ends.stream.coming += HEAD.pack(MAGIC, Type.DATA, 10, SESSION, 1, 0, 1001) + bytes(10)
    ends.link.read(1.0)
    assert isinstance(ends.link.failure, ProtocolError)
    assert "1,001 bytes where at most 1,000" in str(ends.link.failure)


def test_a_message_that_began_before_the_role_asked_is_measured_when_it_asks(ends: Ends) -> None:
    ends.stream.coming += HEAD.pack(MAGIC, Type.DATA, 2 * QUEUE, SESSION, 1, 0, 4 * QUEUE) + bytes(2 * QUEUE)
    ends.link.read(1.0)
    assert not ends.link.wants_to_read
    ends.link.expect(QUEUE)  # less than has come: nothing more would be read
    assert isinstance(ends.link.failure, ProtocolError)


def test_a_message_after_the_last_is_refused(ends: Ends) -> None:
    ends.comes_control(Type.DONE)
    ends.comes(5)
    ends.link.read(1.0)
    assert isinstance(ends.link.failure, ProtocolError)
    assert "after its last" in str(ends.link.failure)


def test_a_second_welcome_is_refused(ends: Ends) -> None:
    ends.comes_control(Type.WELCOME)
    ends.link.read(1.0)
    assert isinstance(ends.link.failure, ProtocolError)


def test_the_word_of_a_party_that_stops_leaves_ahead_of_what_has_not_begun(ends: Ends) -> None:
    ends.stream.room = 100
    ends.link.queue([memoryview(bytes(1_000_000))])  # four frames
    ends.link.write(1.0)
    ends.link.queue([memoryview(bytes(1_000_000))])
    ends.link.stop("data")
    ends.stream.room = 1 << 40
    ends.link.write(1.0)
    assert ends.types_written() == [Type.DATA, Type.STOP]
    assert bytes(ends.stream.written).endswith(b"data")


def test_a_partly_written_frame_goes_on_where_it_was(ends: Ends) -> None:
    data = bytes(range(256)) * 20
    ends.link.queue([memoryview(data)])
    chunks: deque[int] = deque([1, 47, 5, 1000])
    while ends.link.wants_to_write:
        ends.stream.room = chunks.popleft() if chunks else 1 << 40
        ends.link.write(1.0)
    assert bytes(ends.stream.written[HEAD.size :]) == data
    assert not ends.link.full


def test_to_close_reads_what_nobody_read(ends: Ends) -> None:
    ends.comes(QUEUE, QUEUE)
    ends.link.close()
    assert not ends.stream.coming
    assert ends.stream.closed
