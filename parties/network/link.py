"""One TLS link to one peer: frames in, frames out, both queues bounded, and a heartbeat. It never blocks.

The transport calls `read`, `write` and `beat` whenever there is time; all of them return at once.
"""

from __future__ import annotations

import contextlib
import ssl
from collections import deque
from collections.abc import Sequence

from parties.network.frames import NO_SESSION, Arrived, Control, FrameError, FrameReader, FrameWriter, Type
from parties.network.transport import MOST_MESSAGE, QUEUE, stop_sentence, too_long
from vsplit.protocol import Bytes, MismatchError, PeerLost, ProtocolError, StoppedError, VsplitError

# What a message that waits costs beside its bytes: without it, a flood of empty messages would fill the memory.
_OVERHEAD = 512
# So many control frames are read at a time: a peer that sends nothing else must not hold up the other links.
_MOST_CONTROLS = 256
# Seconds between two signs of life. It does not follow from this party's wait, since the other side has a wait of its own.
BEAT = 0.25
_MOST_LEFTOVERS = 512  # reads, each of a TLS record, that empty a stream before it is closed


class Link:
    """The link to `peer` over `stream`, a non-blocking TLS stream after its handshake.

    `wait` is how many seconds the peer may be silent; `now` is in seconds of a clock that never goes back.
    `failure` is why the link is of no more use, once it is not.
    """

    def __init__(self, peer: str, stream: ssl.SSLSocket, session: bytes, wait: float, now: float) -> None:
        self.peer = peer
        self.stream = stream
        self.inbox: deque[Bytes] = deque()
        self.failure: VsplitError | None = None
        self.done = False  # the peer said that no more will come
        self.closed = False  # and then it closed the link
        self.limit = 0  # what a role takes that waits right now
        self.pressed = False  # a role waits for room in the queue to the peer
        self.broken = False  # the other side is gone, so no more will come than what is here
        self.more = False  # `read` left off although there may be more
        self._reader = FrameReader(MOST_MESSAGE)
        self._reader.session = session
        self._writer = FrameWriter(session)
        self._received = 0
        self._controls = 0
        self._last_words = False
        self._inbox_bytes = 0
        self._outbox: deque[memoryview] = deque()
        self._outbox_bytes = 0
        self._wait = wait
        self._heard = now
        self._spoke = now

    @property
    def session(self) -> bytes:
        """The session's 16 bytes; all zero until a feature party has been told."""
        return self._reader.session

    @property
    def wants_to_read(self) -> bool:
        """There is room for more that the role has not asked for, or the role waits."""
        if self.failure is not None or self.closed:
            return False
        return self.broken or self._inbox_bytes + self._reader.pending < QUEUE or not self._enough

    @property
    def wants_to_write(self) -> bool:
        """Something is queued, and the other side may take it."""
        return bool(self._outbox) and not self.closed and (self.failure is None or self._last_words)

    @property
    def full(self) -> bool:
        """The queue to the peer holds all that it may."""
        return self._outbox_bytes >= QUEUE and not self.closed

    @property
    def unasked(self) -> bool:
        """A message, or a part of one, has come that no role has asked for."""
        return bool(self.inbox) or self._reader.total > 0

    @property
    def _enough(self) -> bool:
        return bool(self.inbox) or self.limit <= self._reader.pending

    def queue(self, parts: Sequence[memoryview]) -> None:
        """Queue one message. The transport asks `full` first."""
        if self.closed:
            return  # the peer said that it has all that it needs, and has gone
        for frame in self._writer.message(parts, self._received):
            self._put(frame)

    def say(self, kind: Type, payload: bytes = b"") -> None:
        """Queue one control frame."""
        self._put(self._writer.control(kind, self._received, payload))

    def stop(self, word: str) -> None:
        """Say why this side ends the session, ahead of all that has not begun to leave."""
        # Whoever broke the protocol is told so as well.
        self._last_words = isinstance(self.failure, ProtocolError)
        while len(self._outbox) > 1:
            self._outbox_bytes -= len(self._outbox.pop())
        self.say(Type.STOP, word.encode("ascii"))

    def take(self) -> Bytes | None:
        """The next message that has come, if any."""
        if not self.inbox:
            return None
        data = self.inbox.popleft()
        self._inbox_bytes -= len(data) + _OVERHEAD
        return data

    def expect(self, limit: int) -> None:
        """A role waits for a message of at most `limit` bytes; 0: none waits any more."""
        self.limit = limit
        self._check_length()

    def read(self, now: float) -> bool:
        """Read all that has come, as far as there is room; True if anything came."""
        came = self.more = False
        self._controls = 0
        try:
            while self.wants_to_read:
                count = self.stream.recv_into(self._reader.room())
                if count == 0:
                    self._lose("was closed by the other side")
                    return True
                came = True
                self._heard = now
                for event in self._reader.filled(count):
                    self._handle(event)
                self._check_length()
                if self.limit and self.inbox and not self.broken and not self.stream.pending():
                    return True  # the role has its message; TLS holds nothing back that the next poll would not see
                if self._controls >= _MOST_CONTROLS:
                    self.more = True
                    return True
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return came
        except FrameError as error:
            self._end(ProtocolError(self.peer, f"{self.peer} sent {error}."))
        except ssl.SSLError as error:
            self._refuse(error)
        except OSError as error:
            self._lose(f"broke ({error.strerror or 'no reason given'})")
        return True

    def write(self, now: float) -> bool:
        """Write what the stream takes now; True if it took anything."""
        wrote = False
        try:
            while self.wants_to_write:
                first = self._outbox[0]
                count = self.stream.send(first)
                wrote = True
                self._spoke = now
                self._outbox_bytes -= count
                if count == len(first):
                    self._outbox.popleft()
                else:
                    self._outbox[0] = first[count:]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return wrote
        except OSError:
            # What the peer said before the link broke counts for more than the break: look for it first.
            self._outbox.clear()
            self._outbox_bytes = 0
            self.broken = True
            self.read(now)
            if not self.more:
                self._lose("broke while this party was sending")
        return wrote

    def beat(self, now: float) -> None:
        """Show that this side is alive, and see whether the other is."""
        if self.failure is not None or self.closed:
            return
        if now - self._spoke > BEAT and not self._outbox:
            self.say(Type.BEAT)
            self.write(now)
        if not self.wants_to_read and not self.pressed:
            self._heard = now  # this side does not listen, as its queue is full: it cannot call the other side silent
        elif now - self._heard > self._wait:
            self._lose(f"has been silent for {self._wait:g} s")

    def fail(self, error: VsplitError) -> None:
        """The link is of no more use because of `error`."""
        self._end(error)

    def close(self) -> None:
        """Close the stream. What came and nobody read is read first: it would turn the close into a reset, and a
        reset may overtake the last words of this side."""
        with contextlib.suppress(OSError):
            for _ in range(_MOST_LEFTOVERS):
                if not self.stream.recv(1 << 14):
                    break
        self.stream.close()

    def _put(self, frame: bytes) -> None:
        self._outbox.append(memoryview(frame))
        self._outbox_bytes += len(frame)

    def _handle(self, event: Control | Arrived) -> None:
        if isinstance(event, Arrived):
            if self.done:
                raise FrameError("a message after its last")
            self.inbox.append(event.data)
            self._inbox_bytes += len(event.data) + _OVERHEAD
            self._received = event.sequence
            return
        self._controls += 1
        if event.type is Type.STOP:
            word = event.payload.decode("ascii", "replace")
            self._end(StoppedError(self.peer, stop_sentence(self.peer, word)))
        elif event.type is Type.DONE:
            self.done = True
        elif event.type is Type.WELCOME:
            if self.session != NO_SESSION or event.session == NO_SESSION:
                raise FrameError("a second welcome")
            self._reader.session = self._writer.session = event.session

    def _check_length(self) -> None:
        if self.limit and not self.inbox and self._reader.total > self.limit:
            self._end(too_long(self.peer, self._reader.total, self.limit))

    def _refuse(self, error: ssl.SSLError) -> None:
        # In TLS 1.3 a client that is refused learns of it only after its handshake, by an alert.
        if self.session == NO_SESSION and error.reason and "ALERT" in error.reason:
            self._end(
                MismatchError(
                    self.peer,
                    f"{self.peer} does not accept this party's identity: send it the line of your key again and see "
                    "that both sides use the same job file.",
                )
            )
        else:
            self._lose("broke in its encryption layer")

    def _lose(self, how: str) -> None:
        # Whoever has said that no more will come may go: this party has all that it was to have.
        self.closed = True
        if not self.done:
            self._end(
                PeerLost(
                    self.peer,
                    f"The link to {self.peer} {how}: its program was ended, its machine or the network failed. "
                    "Start all parties again when it is back.",
                )
            )

    def _end(self, error: VsplitError) -> None:
        if self.failure is None:
            self.failure = error
