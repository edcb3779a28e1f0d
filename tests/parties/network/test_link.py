"""One link over a stream that is played by hand and a clock that is a number: no socket, no waiting."""

from __future__ import annotations

import ssl
from collections import deque

import pytest

from parties.network import frames
from parties.network import link as link_module
from parties.network.frame_writer import FrameWriter
from parties.network.frames import HEAD, MAGIC, Type
from parties.network.heartbeat import SILENT
from parties.network.link import Link
from vsplit.protocol import ProtocolError, StoppedError

SESSION = b"0123456789abcdef"
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

    def fileno(self) -> int:
        return 7

    def close(self) -> None:
        self.closed = True


class Ends:
    """A link, its stream, and a writer for the other side."""

    def __init__(self) -> None:
        self.stream = Stream()
        self.link = Link("lab", self.stream, SESSION, 0.0)  # type: ignore[arg-type]
        self.writer = FrameWriter(SESSION)

    def comes(self, *sizes: int) -> None:
        for size in sizes:
            for frame in self.writer.message([memoryview(bytes(size))], 0):
                self.stream.coming += b"".join(frame)

    def comes_control(self, kind: Type, payload: bytes = b"", acknowledged: int = 0) -> None:
        self.stream.coming += self.writer.control(kind, acknowledged, payload)

    def heads_written(self) -> list[tuple[int, ...]]:
        found, rest = [], bytes(self.stream.written)
        while rest:
            found.append(HEAD.unpack(rest[: HEAD.size]))
            rest = rest[HEAD.size + found[-1][2] :]
        return found

    def types_written(self) -> list[Type]:
        return [Type(head[1]) for head in self.heads_written()]

    def acknowledged(self) -> list[int]:
        """What each frame that was written acknowledges."""
        return [head[5] for head in self.heads_written()]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    monkeypatch.setattr(link_module, "QUEUE", QUEUE)
    return Ends()


def test_a_link_says_four_times_a_second_that_it_is_alive(ends: Ends) -> None:
    beats = []
    for tick in range(100):
        before = len(ends.stream.written)
        ends.link.beat(tick / 100)
        if len(ends.stream.written) > before:
            beats.append(tick)
    assert len(beats) == 3
    assert ends.link.failure is None


def test_a_silent_link_is_lost_and_not_before_its_time(ends: Ends) -> None:
    ends.link.beat(SILENT)
    assert ends.link.lost is None
    ends.link.beat(SILENT + 0.1)
    assert ends.link.lost is not None
    assert (ends.link.lost.how, ends.link.lost.since) == ("was silent for 5 s", SILENT + 0.1)
    assert ends.stream.closed
    assert ends.link.failure is None  # whether the peer is given up is the transport's to say
    assert not ends.link.wants_to_read and not ends.link.wants_to_write


def test_a_party_whose_queue_is_full_and_that_computes_for_long_does_not_call_its_peer_silent(ends: Ends) -> None:
    ends.comes(QUEUE, 10)
    ends.link.read(1.0)
    assert not ends.link.wants_to_read
    for now in range(2, 200, 2):
        ends.link.beat(float(now))
    assert ends.link.lost is None
    assert ends.link.receive_queue.take() is not None
    assert ends.link.wants_to_read  # now it listens again, and silence counts
    ends.link.beat(199.0)
    assert ends.link.lost is None
    ends.link.beat(199.0 + SILENT)
    assert ends.link.lost is not None


def test_a_party_that_waits_for_room_reads_on_to_find_the_acknowledgement(ends: Ends) -> None:
    ends.link.queue([memoryview(bytes(QUEUE))])
    ends.link.write(1.0)
    assert ends.link.full
    ends.comes(QUEUE, QUEUE)
    ends.comes_control(Type.BEAT, acknowledged=1)
    ends.link.read(1.0)
    assert ends.link.full and not ends.link.wants_to_read
    ends.link.waits_for_room = True
    ends.link.read(2.0)
    assert not ends.link.full
    ends.comes(QUEUE, QUEUE, QUEUE)
    ends.link.read(3.0)
    assert not ends.link.wants_to_read  # not for ever


def test_a_peer_that_is_done_still_hears_that_this_party_is_alive(ends: Ends) -> None:
    ends.comes_control(Type.DONE)
    ends.link.read(1.0)
    assert ends.link.done
    ends.link.beat(1.0)  # and at once that its DONE has come
    ends.link.beat(10.0)
    assert ends.types_written() == [Type.BEAT, Type.BEAT]


@pytest.mark.parametrize("end", ["closed", ConnectionResetError(104, "reset"), ssl.SSLError(1, "bad record")])
def test_a_peer_that_goes_without_a_word_is_lost_and_one_that_is_done_as_well(ends: Ends, end: OSError | str) -> None:
    ends.comes(5)
    ends.comes_control(Type.DONE)
    ends.stream.end = end
    ends.link.read(1.0)
    ends.link.read(1.0)
    assert ends.link.lost is not None
    assert ends.link.failure is None
    assert ends.link.receive_queue.take() is not None
    assert not ends.link.finished  # this side has not sent its DONE


def test_the_farewell_is_over_when_both_know_that_the_other_is_done(ends: Ends) -> None:
    ends.link.queue([memoryview(b"x")])
    ends.link.send_done()
    ends.link.write(1.0)
    ends.comes_control(Type.DONE, acknowledged=1)
    ends.link.read(1.0)
    assert ends.link.done and not ends.link.finished
    ends.comes_control(Type.BEAT, acknowledged=2)
    ends.link.read(1.0)
    ends.link.beat(1.0)
    assert ends.link.finished
    assert ends.types_written() == [Type.DATA, Type.DONE, Type.BEAT]
    ends.stream.end = "closed"
    ends.link.read(2.0)
    assert ends.link.finished


def test_what_is_sent_to_a_peer_that_is_done_and_gone_fills_no_queue(ends: Ends) -> None:
    ends.comes_control(Type.DONE)
    ends.stream.end = "closed"
    ends.link.read(1.0)
    for _ in range(3):
        ends.link.queue([memoryview(bytes(QUEUE))])
        assert not ends.link.full


def test_a_sender_waits_for_what_is_not_acknowledged_although_it_was_written(ends: Ends) -> None:
    for number in range(1, 4):
        ends.link.queue([memoryview(bytes(QUEUE))])
        ends.link.write(1.0)
        assert ends.link.full and not ends.link.wants_to_write
        ends.comes_control(Type.BEAT, acknowledged=number)
        ends.link.read(1.0)
        assert not ends.link.full


def test_many_small_messages_fill_the_queue_as_well(ends: Ends) -> None:
    sent = 0
    while not ends.link.full:
        ends.link.queue([memoryview(b"x")])
        sent += 1
    assert sent <= QUEUE // 500


def test_a_receiver_acknowledges_much_at_once_and_little_with_its_beat(ends: Ends) -> None:
    ends.comes(10)
    ends.link.read(0.1)
    ends.link.beat(0.1)
    assert ends.acknowledged() == []
    ends.comes(QUEUE // 8)
    ends.link.read(0.1)
    ends.link.beat(0.1)
    assert ends.acknowledged() == [2]
    ends.link.receive_queue.take()
    ends.comes(10)
    ends.link.read(0.2)
    ends.link.beat(0.2)
    ends.link.beat(0.5)
    assert ends.acknowledged() == [2, 3]


@pytest.mark.parametrize("number", [2, 2**64 - 1])
def test_an_acknowledgement_of_what_was_never_written_is_refused(ends: Ends, number: int) -> None:
    ends.link.queue([memoryview(b"one")])
    ends.link.write(1.0)
    ends.link.queue([memoryview(b"two")])
    ends.comes_control(Type.BEAT, acknowledged=number)
    ends.link.read(1.0)
    assert isinstance(ends.link.failure, ProtocolError)
    assert "what it was never sent" in str(ends.link.failure)


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
def test_a_peer_that_floods_messages_is_held_back_whatever_their_size(
    ends: Ends, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "CHUNK", QUEUE // 4)  # a frame is read to its end, and far shorter than the queue
    ends.comes(*[size] * (40_000 // size + 60))
    sent = len(ends.stream.coming)
    ends.link.read(1.0)
    assert not ends.link.wants_to_read
    assert sent - len(ends.stream.coming) < 3 * QUEUE
    assert len(ends.link.receive_queue.messages) < QUEUE // 400  # an empty message costs memory too


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


def test_a_message_is_on_its_way_from_its_head_until_its_end(ends: Ends) -> None:
    (frame,) = ends.writer.message([memoryview(bytes(100_000))], 0)
    for piece, on_its_way in zip((b"", *frame), (False, True, False), strict=True):
        ends.stream.coming += piece
        ends.link.read(0.0)
        assert ends.link.receive_queue.arriving is on_its_way


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
    assert "after its DONE" in str(ends.link.failure)


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
