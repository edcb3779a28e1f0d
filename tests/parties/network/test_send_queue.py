"""The outbox by itself: what goes next, what is kept, and what goes again."""

from __future__ import annotations

import pytest

from parties.network.frames import FrameError
from parties.network.send_queue import Resent, SendQueue


def filled(*sizes: int) -> SendQueue:
    """Messages 1, 2, ... of frames of ten bytes each, in two pieces."""
    outbox = SendQueue()
    for number, frames in enumerate(sizes, 1):
        outbox.put(number, [(bytes([number]) * 4, bytes([number]) * 6)] * frames)
    return outbox


def write(outbox: SendQueue, count: int) -> bytes:
    """Write `count` bytes, and return them."""
    written = b""
    while count and (rest := outbox.next()):
        piece = bytes(rest[: min(count, 7)])
        outbox.wrote(len(piece))
        written += piece
        count -= len(piece)
    return written


def test_what_is_written_is_kept_until_it_is_acknowledged() -> None:
    outbox = filled(2, 1)
    full = outbox.size
    assert write(outbox, 100) == b"\1" * 20 + b"\2" * 10
    assert outbox.idle and not outbox.settled and outbox.size == full
    outbox.acknowledge(1)
    assert 0 < outbox.size < full
    outbox.acknowledge(0)  # an older number, as in a message that goes again, says nothing
    outbox.acknowledge(2)
    assert outbox.settled and outbox.size == 0


def test_what_was_never_queued_cannot_be_acknowledged() -> None:
    outbox = filled(1)
    write(outbox, 100)
    with pytest.raises(FrameError, match="never sent"):
        outbox.acknowledge(2)


@pytest.mark.parametrize("written", [1, 3, 4, 5, 10])
def test_a_control_frame_goes_between_two_frames_and_never_between_the_pieces_of_one(written: int) -> None:
    outbox = filled(2)
    write(outbox, written)
    outbox.control(b"beat")
    assert write(outbox, 100) == b"\1" * (10 - written) + b"beat" + b"\1" * 10
    outbox.acknowledge(1)
    assert outbox.settled


@pytest.mark.parametrize("written", [0, 9, 10, 19])
def test_a_message_that_is_not_wholly_written_cannot_be_acknowledged(written: int) -> None:
    outbox = filled(2)
    write(outbox, written)
    for number in (1, 2):
        with pytest.raises(FrameError, match="never sent"):
            outbox.acknowledge(number)
        with pytest.raises(FrameError, match="never sent"):
            outbox.rewind(number)


@pytest.mark.parametrize(
    ("written", "has", "again", "rest"),
    [
        (0, 0, None, (1, 2, 3)),
        (4, 0, Resent(1, 1, 10), (1, 2, 3)),
        (5, 0, Resent(1, 1, 10), (1, 2, 3)),
        (15, 0, Resent(1, 2, 20), (1, 2, 3)),
        (15, 1, Resent(2, 2, 10), (2, 3)),
        (20, 1, Resent(2, 2, 10), (2, 3)),
        (20, 2, None, (3,)),
        (30, 0, Resent(1, 3, 30), (1, 2, 3)),
        (30, 3, None, ()),
    ],
)
def test_a_new_connection_begins_behind_what_the_other_side_has(
    written: int, has: int, again: Resent | None, rest: tuple[int, ...]
) -> None:
    outbox = filled(1, 1, 1)
    write(outbox, written)
    outbox.control(b"beat")
    assert outbox.rewind(has) == again
    assert write(outbox, 100) == b"".join(bytes([number]) * 10 for number in rest)
    with pytest.raises(FrameError):
        outbox.rewind(has - 1)


def test_a_connection_that_is_lost_at_once_takes_nothing_from_the_next() -> None:
    outbox = filled(1, 1)
    write(outbox, 20)
    assert outbox.rewind(0) == Resent(1, 2, 20)
    assert outbox.rewind(1) is None  # nothing of it was written on the connection between
    assert write(outbox, 100) == b"\2" * 10
    with pytest.raises(FrameError):
        outbox.rewind(3)


def test_a_last_word_is_no_message_that_goes_again() -> None:
    outbox = filled(1)
    outbox.put(2, [(b"done",)], message=False)
    write(outbox, 100)
    assert outbox.rewind(0) == Resent(1, 1, 10)
    assert outbox.rewind(1) is None
    assert write(outbox, 100) == b"done"


@pytest.mark.parametrize(("written", "left"), [(12, 8), (14, 6), (16, 4), (20, 0)])
def test_nothing_follows_a_word_that_stops_but_the_rest_of_a_frame(written: int, left: int) -> None:
    outbox = filled(3, 3)
    write(outbox, written)
    outbox.replace_by(b"stop")
    assert write(outbox, 100) == b"\1" * left + b"stop"
    assert outbox.idle and outbox.settled and outbox.size == 0
