"""The frame machine: every way to cut the bytes gives the same messages, and every lie ends in FrameError."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterable
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.network import codec, frame_writer, frames
from parties.network.frame_writer import Frame, FrameWriter
from parties.network.frames import (
    CHUNK,
    HEAD,
    MAGIC,
    Arrived,
    Control,
    FrameError,
    FrameReader,
    Opening,
    Type,
    read_opening,
)

SESSION = b"0123456789abcdef"
MOST = 1 << 30


def reader() -> FrameReader:
    return FrameReader(SESSION, MOST)


def feed(machine: FrameReader, data: bytes, cuts: Iterable[int] = ()) -> list[Control | Arrived]:
    """Give `data` to the machine in pieces of at most these sizes, over and over."""
    events: list[Control | Arrived] = []
    sizes = itertools.cycle(list(cuts) or [len(data) or 1])
    rest = memoryview(data)
    while rest:
        room = machine.room()
        count = min(len(room), len(rest), next(sizes))
        assert count > 0, "no room for what comes"
        room[:count] = rest[:count]
        rest = rest[count:]
        events += machine.filled(count)
    return events


def whole(sent: Iterable[Frame]) -> bytes:
    return b"".join(piece for frame in sent for piece in frame)


def shown(events: list[Control | Arrived]) -> list[object]:
    return [event.data.tobytes() if isinstance(event, Arrived) else (event.type, event.payload) for event in events]


def head(kind: int = Type.DATA, length: int = 10, sequence: int = 1, total: int = 10, **other: object) -> bytes:
    given = {"magic": MAGIC, "session": SESSION} | other
    return HEAD.pack(given["magic"], kind, length, given["session"], sequence, 0, total)


items = st.lists(
    st.binary(min_size=1, max_size=300) | st.tuples(st.sampled_from([Type.BEAT, Type.STOP]), st.binary(max_size=64)),
    min_size=1,
    max_size=8,
)


@given(items, st.lists(st.integers(1, 400), min_size=1, max_size=10), st.lists(st.integers(1, 50), max_size=3))
@settings(max_examples=300)
def test_every_cut_of_the_stream_gives_the_same_messages(
    sent: list[bytes | tuple[Type, bytes]], cuts: list[int], splits: list[int]
) -> None:
    writer = FrameWriter(SESSION)
    stream = b""
    expected: list[object] = []
    # So that most messages take several frames and pieces.
    with mock.patch.object(frames, "CHUNK", 64), mock.patch.object(frame_writer, "_ONE_PIECE", 30):
        for item in sent:
            if isinstance(item, tuple):
                stream += writer.control(item[0], 0, item[1])
                expected.append(item)
            else:
                places = sorted({0, len(item), *(split for split in splits if split < len(item))})
                parts = [memoryview(item)[a:b] for a, b in itertools.pairwise(places)]
                stream += whole(writer.message(parts, 0))
                expected.append(item)
        assert shown(feed(reader(), stream)) == expected
        assert shown(feed(reader(), stream, cuts)) == expected
        assert shown(feed(reader(), stream, [1])) == expected


@pytest.mark.parametrize("waited", [False, True])
@pytest.mark.parametrize("size", [CHUNK - 1, CHUNK, CHUNK + 1, (1 << 20) + 1, 5_000_000])
def test_messages_around_the_sizes_of_frames_and_buffers_arrive_whole_and_aligned(size: int, waited: bool) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    writer = FrameWriter(SESSION)
    sent = list(writer.message([memoryview(data)[:size]], 0))
    assert all(sum(map(len, frame)) <= CHUNK + HEAD.size for frame in sent)
    machine = reader()
    if waited:
        machine.expect(size)
    (event,) = feed(machine, whole(sent), [16_384, 777])
    assert isinstance(event, Arrived)
    assert event.data.tobytes() == data[:size]
    assert event.data.ctypes.data % 64 == 0
    assert event.data.flags.writeable


def test_a_control_frame_between_the_frames_of_a_message_is_seen_at_once() -> None:
    writer = FrameWriter(SESSION)
    first, second = (whole([frame]) for frame in writer.message([memoryview(bytes(CHUNK + 5))], 0))
    machine = reader()
    assert feed(machine, first) == []
    assert (machine.total, machine.pending) == (CHUNK + 5, CHUNK)
    assert shown(feed(machine, writer.control(Type.STOP, 0, b"data"))) == [(Type.STOP, b"data")]
    assert len(feed(machine, second)) == 1
    assert (machine.total, machine.pending) == (0, 0)


def test_memory_that_was_got_for_a_large_message_is_not_held_by_a_small_one() -> None:
    writer, machine = FrameWriter(SESSION), reader()
    found = []
    for _ in range(3):
        machine.expect(1 << 20)
        found += feed(machine, whole(writer.message([memoryview(bytes(100))], 0)))
    memory = [event.data.base for event in found if isinstance(event, Arrived)]
    assert len(memory) == 3 and all(isinstance(room, np.ndarray) and room.nbytes < 1000 for room in memory)


def test_what_is_awaited_twice_is_got_once_and_two_messages_share_no_memory() -> None:
    writer, machine = FrameWriter(SESSION), reader()
    found, got = [], []
    with mock.patch.object(codec, "buffer", wraps=codec.buffer) as buffer:
        machine.expect(5000)
        machine.expect(5000)
        for _ in range(2):
            found += feed(machine, whole(writer.message([memoryview(bytes(5000))], 0)))
            got.append(buffer.call_count)
    one, two = (event.data for event in found if isinstance(event, Arrived))
    assert got == [1, 2] and not np.shares_memory(one, two)


def test_a_long_frame_begins_to_travel_before_the_rest_is_read() -> None:
    short, long = bytes(1000), bytes(200_000)
    assert [len(frame) for frame in FrameWriter(SESSION).message([memoryview(short)], 0)] == [1]
    ((start, rest),) = FrameWriter(SESSION).message([memoryview(long)], 0)
    assert len(start) == HEAD.size
    assert isinstance(rest, memoryview) and rest.obj is long  # it is kept as it is, since nobody can change it


@pytest.mark.parametrize("size", [1000, 200_000, 3 * CHUNK])
def test_a_frame_that_is_kept_does_not_change_with_the_array_that_it_was_made_of(size: int) -> None:
    array = np.ones(size, np.uint8)
    frames_of_it = list(FrameWriter(SESSION).message([array.data], 0))
    before = whole(frames_of_it)
    array[:] = 2
    assert whole(frames_of_it) == before


WRONG = {
    "wrong magic": (head(magic=0x5654), "no vsplit frame"),
    "a type that is none": (head(kind=9), "no vsplit frame"),
    "type zero": (head(kind=0), "no vsplit frame"),
    "another session": (head(session=b"another session!"), "another session"),
    "no session": (head(session=bytes(16)), "another session"),
    "sequence zero": (head(sequence=0), "out of order"),
    "a sequence that was skipped": (head(sequence=2), "out of order"),
    "a last word without a number": (head(kind=Type.DONE, length=0, sequence=0), "DONE out of order"),
    "a last word after a gap": (head(kind=Type.DONE, length=0, sequence=2), "DONE out of order"),
    "a last word inside a message": (head(length=5) + bytes(5) + head(kind=Type.DONE, length=0), "inside a message"),
    "a welcome": (head(kind=Type.WELCOME, length=0), "opening of a link"),
    "a second resumption": (head(kind=Type.RESUME, length=0), "opening of a link"),
    "a frame longer than its message": (head(length=11), "longer than its message"),
    "a second frame longer than what is left": (head(length=8) + bytes(8) + head(length=3), "longer than its message"),
    "a frame longer than any": (head(length=CHUNK + 1, total=CHUNK + 1), "longer than its message"),
    "an empty frame": (head(length=0), "longer than its message"),
    "a message of nothing": (head(length=1, total=0), "of 0 bytes"),
    "a message above the bound": (head(total=MOST + 1), "at most 1,073,741,824"),
    "the longest number": (head(total=2**64 - 1), "at most 1,073,741,824"),
    "a message inside a message": (head(length=5) + bytes(5) + head(sequence=2, length=5), "inside another"),
    "a message that changes its length": (head(length=5) + bytes(5) + head(length=5, total=20), "inside another"),
    "a control frame too long": (head(kind=Type.STOP, length=65), "too long"),
    "a control frame far too long": (head(kind=Type.BEAT, length=2**32 - 1), "too long"),
}


@pytest.mark.parametrize(("data", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_what_breaks_the_rules_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(FrameError, match=sentence):
        feed(reader(), data)


def test_what_came_before_is_dropped_without_a_word_and_without_memory() -> None:
    writer = FrameWriter(SESSION)
    first, last = whole(writer.message([memoryview(bytes(3 << 20))], 0)), writer.control(Type.DONE, 0)
    machine = reader()
    assert [type(event) for event in feed(machine, first + last)] == [Arrived, Control]
    assert machine.received == 2
    tracemalloc.start()
    try:
        for _ in range(5):
            assert feed(machine, first) == []
        assert feed(machine, last) == []
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert (machine.received, machine.dropped, machine.total) == (2, 5 * (3 << 20), 0)


def test_a_message_that_was_cut_off_begins_anew_on_the_next_connection() -> None:
    frame = head(length=10) + b"0123456789"
    for cut in range(len(frame)):
        machine = reader()
        assert feed(machine, frame[:cut]) == []
        machine.restart()
        assert (machine.pending, machine.received) == (0, 0)
        assert shown(feed(machine, frame)) == [b"0123456789"]
        assert machine.received == 1


def test_an_older_acknowledgement_takes_nothing_back() -> None:
    machine = reader()
    for acknowledged in (3, 1):
        feed(machine, HEAD.pack(MAGIC, Type.BEAT, 0, SESSION, 0, acknowledged, 0))
    assert machine.acknowledged == 3


OPENINGS = {
    "wrong magic": (head(magic=0x5654, kind=Type.JOIN, length=0), "open no vsplit link"),
    "a message": (head(), "open no vsplit link"),
    "a beat": (head(kind=Type.BEAT, length=0), "open no vsplit link"),
    "a last word": (head(kind=Type.DONE, length=0), "open no vsplit link"),
    "a long welcome": (head(kind=Type.WELCOME, length=1), "too long"),
    "a long join": (head(kind=Type.JOIN, length=2**32 - 1), "too long"),
    "a long word": (head(kind=Type.STOP, length=65), "too long"),
}


@pytest.mark.parametrize(("data", "sentence"), OPENINGS.values(), ids=OPENINGS.keys())
def test_what_opens_no_link_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(FrameError, match=sentence):
        read_opening(data)


def test_the_first_frame_says_session_and_place() -> None:
    assert read_opening(head(kind=Type.STOP, length=4)) == (Opening(Type.STOP, SESSION, 0), 4)
    resume = HEAD.pack(MAGIC, Type.RESUME, 0, SESSION, 9, 7, 0)
    assert read_opening(resume) == (Opening(Type.RESUME, SESSION, 7), 0)


@given(st.binary(min_size=1, max_size=200))
@settings(max_examples=300)
def test_random_bytes_are_refused_or_wait_for_more(data: bytes) -> None:
    try:
        assert feed(reader(), data) == []
    except FrameError:
        assert len(data) >= HEAD.size


def test_memory_grows_with_what_has_come_and_not_with_what_is_claimed() -> None:
    machine = reader()
    frame = head(length=CHUNK, total=MOST) + bytes(CHUNK)
    tracemalloc.start()
    try:
        feed(machine, frame)
        assert tracemalloc.get_traced_memory()[1] < 3 << 20
        for _ in range(15):
            feed(machine, frame)
        assert machine.pending == 16 * CHUNK
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_small_frames_of_a_large_message_do_not_copy_it_again_and_again() -> None:
    machine = reader()
    feed(machine, head(length=1, total=1 << 20) + b"x")
    rooms = set()
    for _ in range(50):
        feed(machine, head(length=1, total=1 << 20) + b"x")
        rooms.add(id(machine._message))
    assert len(rooms) == 1
