"""One TLS link to one peer: frames in, frames out, both queues bounded, and a heartbeat. It never blocks.

The transport calls `read`, `write` and `beat` whenever there is time; all of them return at once.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Sequence

from parties.network.frames import NO_SESSION, Arrived, Control, FrameError, FrameReader, FrameWriter, Type
from parties.network.transport import QUEUE, stop_sentence
from vsplit.protocol import Bytes, MismatchError, PeerLost, ProtocolError, StoppedError, VsplitError

# No single message may be longer, whatever a role would take.
MOST_MESSAGE = 1 << 30


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
        self._reader = FrameReader(MOST_MESSAGE)
        self._reader.session = session
        self._writer = FrameWriter(session)
        self._received = 0
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
        return self._inbox_bytes + self._reader.pending < QUEUE or not self._enough

    @property
    def wants_to_write(self) -> bool:
        """Something is queued."""
        return bool(self._outbox) and self.failure is None and not self.closed

    @property
    def full(self) -> bool:
        """The queue to the peer holds all that it may."""
        return self._outbox_bytes >= QUEUE

    @property
    def _enough(self) -> bool:
        return bool(self.inbox) or self.limit <= self._reader.pending

    def queue(self, parts: Sequence[memoryview]) -> None:
        """Queue one message. The transport asks `full` first."""
        for frame in self._writer.message(parts, self._received):
            self._put(frame)

    def say(self, kind: Type, payload: bytes = b"") -> None:
        """Queue one control frame."""
        self._put(self._writer.control(kind, self._received, payload))

    def take(self) -> Bytes | None:
        """The next message that has come, if any."""
        if not self.inbox:
            return None
        data = self.inbox.popleft()
        self._inbox_bytes -= len(data)
        return data

    def read(self, now: float) -> bool:
        """Read all that has come, as far as there is room; True if anything came."""
        came = False
        try:
            while self.wants_to_read:
                count = self.stream.recv_into(self._reader.room())
                if count == 0:
                    self._closed()
                    return True
                came = True
                self._heard = now
                for event in self._reader.filled(count):
                    self._handle(event)
                self._check_length()
                if self.inbox and not self.stream.pending():
                    return True  # TLS holds nothing back, so the next poll sees whatever comes
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return came
        except FrameError as error:
            self._end(ProtocolError(self.peer, f"{self.peer} sent {error}."))
        except ssl.SSLError as error:
            self._end(self._refusal(error))
        except OSError as error:
            self._end(PeerLost(self.peer, self._lost(f"broke ({error.strerror or 'no reason given'})")))
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
            self.read(now)
            self._end(PeerLost(self.peer, self._lost("broke while this party was sending")))
        return wrote

    def beat(self, now: float) -> None:
        """Show that this side is alive, and see whether the other is."""
        if self.failure is not None or self.done:
            return
        if now - self._spoke > self._wait / 4 and not self._outbox:
            self.say(Type.BEAT)
            self.write(now)
        if now - self._heard > self._wait:
            self._end(PeerLost(self.peer, self._lost(f"has been silent for {self._wait:g} s")))

    def fail(self, error: VsplitError) -> None:
        """The link is of no more use because of `error`."""
        self._end(error)

    def _put(self, frame: bytes) -> None:
        self._outbox.append(memoryview(frame))
        self._outbox_bytes += len(frame)

    def _handle(self, event: Control | Arrived) -> None:
        if isinstance(event, Arrived):
            if self.done:
                raise FrameError("a message after its last")
            self.inbox.append(event.data)
            self._inbox_bytes += len(event.data)
            self._received = event.sequence
        elif event.type is Type.STOP:
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
            raise FrameError(
                f"a message of {self._reader.total:,} bytes where at most {self.limit:,} are allowed",
            )

    def _refusal(self, error: ssl.SSLError) -> VsplitError:
        # In TLS 1.3 a client that is refused learns of it only now, by an alert.
        if error.reason and "ALERT" in error.reason:
            return MismatchError(
                self.peer,
                f"{self.peer} does not accept this party's identity: send it the line of your key again and see that "
                "both sides use the same job file.",
            )
        return PeerLost(self.peer, self._lost("broke in its encryption layer"))

    def _lost(self, how: str) -> str:
        return (
            f"The link to {self.peer} {how}: its program was ended, its machine or the network failed. "
            "Start all parties again when it is back."
        )

    def _closed(self) -> None:
        self.closed = True
        if not self.done:
            self._end(PeerLost(self.peer, self._lost("was closed by the other side")))

    def _end(self, error: VsplitError) -> None:
        if self.failure is None:
            self.failure = error
