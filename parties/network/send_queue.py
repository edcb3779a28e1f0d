"""What one link has to send, and what it has sent and may have to send again.

It does no I/O: `next` returns the bytes to write next, and `wrote` takes how many of them the stream took. A message is
retained until the other side has acknowledged it; on a new connection, `rewind` starts after the last one that it has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from parties.network.frame_writer import Frame
from parties.network.frames import FrameError

# What a retained message counts besides its bytes: without it, a great many small ones would fill the memory.
_OVERHEAD = 512


@dataclass(slots=True)
class _Entry:
    sequence: int
    frames: list[Frame]
    size: int
    message: bool


@dataclass(frozen=True, slots=True)
class Resent:
    """Messages that were in flight when a connection was lost, by their numbers, and their bytes with all frames."""

    first: int
    last: int
    size: int


class SendQueue:
    """The frames to one peer. `size` is what it retains, in bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._sent: deque[_Entry] = deque()  # written whole, not acknowledged
        self._unsent: deque[_Entry] = deque()  # the first may be written in part
        self._frame = 0  # the next frame of the first unsent message
        self._controls: deque[bytes] = deque()
        self._left: deque[memoryview] = deque()  # of the pieces of the frame that is being written
        self._of: _Entry | None = None  # the message that it belongs to
        self._written = 0  # the last number that was ever written whole
        self.acknowledged = 0  # the last number that the other side has received

    @property
    def idle(self) -> bool:
        """There is nothing to write."""
        return not (self._left or self._controls or self._unsent)

    @property
    def settled(self) -> bool:
        """All messages are acknowledged."""
        return not (self._sent or self._unsent)

    def put(self, sequence: int, frames: Iterable[Frame], message: bool = True) -> None:
        """Queue the frames of the message, or of the DONE, with this number, which follows the one before."""
        entry = _Entry(sequence, list(frames), 0, message)
        entry.size = _length(entry) + _OVERHEAD
        self.size += entry.size
        self._unsent.append(entry)

    def control(self, frame: bytes) -> None:
        """Queue a frame that is not retained: it is sent between two frames of messages, as soon as possible."""
        self._controls.append(frame)

    def replace_by(self, frame: bytes) -> None:
        """Send this frame after what is left of the frame that is being written, and nothing after it."""
        self._sent.clear()
        self._unsent.clear()
        self._of = None
        self._controls = deque([frame])
        self.size = 0

    def next(self) -> memoryview:
        """The bytes to write next; empty where there are none."""
        if not self._left and self._controls:
            self._left.append(memoryview(self._controls.popleft()))
            self._of = None
        elif not self._left and self._unsent:
            self._of = self._unsent[0]
            self._left.extend(map(memoryview, self._of.frames[self._frame]))
            self._frame += 1
        return self._left[0] if self._left else memoryview(b"")

    def wrote(self, count: int) -> None:
        """The stream took `count` bytes of `next`."""
        if rest := self._left.popleft()[count:]:
            self._left.appendleft(rest)
        if not self._left and self._of is not None and self._frame == len(self._of.frames):
            self._sent.append(self._unsent.popleft())
            self._written = max(self._written, self._of.sequence)
            self._frame, self._of = 0, None

    def acknowledge(self, number: int) -> None:
        """The other side has all messages up to `number`; an older number changes nothing. Raises FrameError."""
        if number <= self.acknowledged:
            return
        if number > self._written or (self._unsent and self._unsent[0].sequence <= number):
            raise FrameError("an acknowledgement of what it was never sent")
        self.acknowledged = number
        while self._sent and self._sent[0].sequence <= number:
            self.size -= self._sent.popleft().size

    def rewind(self, number: int) -> Resent | None:
        """Start a new connection, on which the other side acknowledged all messages up to `number`, with the next one.

        Returns which messages are sent again, None where none is. Raises FrameError.
        """
        if not self.acknowledged <= number <= self._written:
            raise FrameError("an acknowledgement of what it was never sent, or one that takes an earlier one back")
        begun = [*self._sent, *([self._unsent[0]] if self._frame else [])]
        self._unsent.extendleft(reversed(self._sent))
        self._sent.clear()
        while self._unsent and self._unsent[0].sequence <= number:
            self.size -= self._unsent.popleft().size
        self.acknowledged = number
        self._of, self._frame = None, 0
        self._left.clear()
        self._controls.clear()
        again = [entry for entry in begun if entry.sequence > number and entry.message]
        if not again:
            return None
        return Resent(again[0].sequence, again[-1].sequence, sum(_length(entry) for entry in again))


def _length(entry: _Entry) -> int:
    """Bytes of a message with its frames."""
    return sum(len(piece) for frame in entry.frames for piece in frame)
