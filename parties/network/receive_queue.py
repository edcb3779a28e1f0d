"""What has arrived over one link and waits for a role: whole messages, the message that is arriving, and the peer's DONE."""

from __future__ import annotations

import ssl
from collections import deque

from parties.network.frames import Arrived, FrameError, FrameReader, Type
from parties.network.tls_stream import read_into
from parties.network.transport import MOST_MESSAGE
from vsplit.protocol import Bytes

_OVERHEAD = 512  # what a queued message counts besides its bytes: else a flood of empty messages would fill the memory
# Control frames read in one turn, and bytes of messages that had come before: a peer that sends nothing else must not hold up
# the other links.
_MOST_CONTROLS = 256
_MOST_DROPPED = 4 << 20


class ReceiveQueue:
    """The messages of one peer that no role has asked for yet, in their order; `reader` has the one that is arriving."""

    def __init__(self, session: bytes) -> None:
        self.reader = FrameReader(session, MOST_MESSAGE)
        self.messages: deque[Bytes] = deque()
        self.limit = 0  # bytes of the longest message that the waiting role accepts; 0: no role waits
        self.unacknowledged = 0  # bytes received that no frame of this side has acknowledged
        self.done = False  # the peer has announced that no more messages follow
        self.stop_reason: str | None = None  # why the peer has stopped, once it has
        self._bytes = 0
        self._controls = self._dropped = 0  # control frames of this turn; bytes dropped before it

    @property
    def size(self) -> int:
        """Bytes held, those of the arriving message included."""
        return self._bytes + self.reader.pending

    @property
    def unasked(self) -> bool:
        """A message, or a part of one, has come that no role has asked for."""
        return bool(self.messages) or self.arriving

    @property
    def arriving(self) -> bool:
        """At least the head of a message has come, and not yet its end."""
        return self.reader.total > 0

    @property
    def satisfied(self) -> bool:
        """No role waits, or the one that does needs no further bytes."""
        return bool(self.messages) or self.limit <= self.reader.pending

    @property
    def has_answer(self) -> bool:
        """A role waits, and its message is here."""
        return self.limit > 0 and bool(self.messages)

    @property
    def excess(self) -> int:
        """Length of the arriving message where it is longer than the waiting role accepts; otherwise 0."""
        too_long = self.limit and not self.messages and self.reader.total > self.limit
        return self.reader.total if too_long else 0

    @property
    def turn_is_over(self) -> bool:
        """This link has read as many control frames, or dropped as many bytes, as it may before the other links read."""
        return self._controls >= _MOST_CONTROLS or self.reader.dropped - self._dropped > _MOST_DROPPED

    def begin_turn(self) -> None:
        """Count what is read from now on for `turn_is_over`."""
        self._controls, self._dropped = 0, self.reader.dropped

    def expect(self, limit: int) -> None:
        """A role waits for a message of at most `limit` bytes, for which memory is allocated now; 0: none waits any more."""
        if limit and not self.messages:
            self.reader.expect(limit)
        self.limit = limit

    def read_from(self, stream: ssl.SSLSocket) -> bool:
        """Read once, at most to the end of a frame; False where the stream has ended. Raises OSError and FrameError."""
        count = read_into(stream, self.reader.room())
        for event in self.reader.filled(count) if count else ():
            if isinstance(event, Arrived):
                self._put(event.data)
                continue
            self._controls += 1
            if event.type is Type.STOP:
                self.stop_reason = event.payload.decode("ascii", "replace")
            elif event.type is Type.DONE:
                if self.done:
                    raise FrameError("a second DONE")
                self.done = True
                self.unacknowledged += 1
        return count > 0

    def take(self) -> Bytes | None:
        """The next message, if there is one."""
        if not self.messages:
            return None
        data = self.messages.popleft()
        self._bytes -= len(data) + _OVERHEAD
        return data

    def _put(self, data: Bytes) -> None:
        if self.done:
            raise FrameError("a message after its DONE")
        self.messages.append(data)
        self._bytes += len(data) + _OVERHEAD
        self.unacknowledged += len(data) + _OVERHEAD
