"""One link to one peer: frames in, frames out, both queues bounded, and a heartbeat. It never blocks.

A link outlives its connections. When one is lost, what the peer has not acknowledged is kept, and `connect` goes on with
it over the next one. The transport calls `read`, `write` and `beat` whenever there is time; all of them return at once.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from parties.network.frames import Arrived, Control, FrameError, FrameReader, FrameWriter, Type
from parties.network.send_queue import SendQueue
from parties.network.transport import MOST_MESSAGE, QUEUE, LinkObservers, stopped, too_long
from vsplit.protocol import Bytes, ProtocolError, VsplitError

# What a message that waits costs beside its bytes: without it, a flood of empty messages would fill the memory.
_OVERHEAD = 512
# So many control frames are read at a time, and so many bytes of messages that came before: a peer that sends nothing
# else must not hold up the other links.
_MOST_CONTROLS = 256
_MOST_DROPPED = 4 << 20
# Seconds between two signs of life.
BEAT = 0.25
# A connection without a sign of life for this many seconds is dead. A long call that keeps Python's lock, or a machine that
# swaps, can hold up the beats for a second or two; to be wrong costs one more handshake, since only the wait of the party
# file gives a peer up.
SILENT = 5.0
_MOST_LEFTOVERS = 512  # reads, each of a TLS record, that empty a stream before it is closed


@dataclass(frozen=True, slots=True)
class Loss:
    """How a connection was lost (it goes on from "the link ..."), and when: by the transport's clock and by the epoch's."""

    how: str
    since: float
    at: float


class Link:
    """The link to `peer` in the session of 16 bytes, over `stream`, a non-blocking TLS stream on which it was opened.

    `now` is in seconds of a clock that never goes back. `failure` is why the link is of no more use, once it is not;
    `lost` is set while it has no connection.
    """

    def __init__(
        self, peer: str, stream: ssl.SSLSocket, session: bytes, now: float, observers: LinkObservers | None = None
    ) -> None:
        self.peer = peer
        self.session = session
        self.stream: ssl.SSLSocket | None = stream
        self.descriptor = stream.fileno()  # of the stream; -1 where there is none
        self.lost: Loss | None = None
        self.inbox: deque[Bytes] = deque()
        self.failure: VsplitError | None = None
        self.done = False  # the peer said that no more will come
        self.saying_done = False  # this side has said so as well, or tries to
        self.closed = False  # and no connection will be made again
        self.limit = 0  # what a role takes that waits right now
        self.pressed = False  # a role waits for room in the queue to the peer
        self.broken = False  # the other side has closed, so no more will come than what is here
        self.more = True  # `read` left off although there may be more, or never was there
        self.heard = now  # when the last sign of life came
        self.connected = now  # when the connection was made
        self.retries = 0  # how often it was made again
        self._observers = observers or LinkObservers()
        self._reader = FrameReader(session, MOST_MESSAGE)
        self._writer = FrameWriter(session)
        self._outbox = SendQueue()
        self._inbox_bytes = 0
        self._controls = 0
        self._unsaid = 0  # bytes that came and that no frame of this side has acknowledged
        self._last_words = False
        self._resumed = False  # the peer has asked to go on with this link
        self._spoke = self._deaf = now

    @property
    def wants_to_read(self) -> bool:
        """There is room for more that the role has not asked for, or the role waits."""
        if self.failure is not None or self.stream is None:
            return False
        # A role that waits for room needs the acknowledgements, which may stand behind all that the peer may have sent.
        most = 3 * QUEUE if self.pressed else QUEUE
        enough = bool(self.inbox) or self.limit <= self._reader.pending
        return self.broken or self._inbox_bytes + self._reader.pending < most or not enough

    @property
    def wants_to_write(self) -> bool:
        """Something is queued, and the other side may take it."""
        takes = self.stream is not None and not self.broken and (self.failure is None or self._last_words)
        return takes and not self._outbox.idle

    @property
    def full(self) -> bool:
        """The queue to the peer holds all that it may."""
        return self._outbox.size >= QUEUE and not self._needs_no_more

    @property
    def arriving(self) -> bool:
        """A message is on its way: at least its head has come."""
        return self._reader.total > 0

    @property
    def unasked(self) -> bool:
        """A message, or a part of one, has come that no role has asked for."""
        return bool(self.inbox) or self._reader.total > 0

    @property
    def finished(self) -> bool:
        """Both sides have said that no more will come, and both know it."""
        return self.closed or (self.done and self.saying_done and self._outbox.settled and not self.wants_to_write)

    @property
    def received(self) -> int:
        """The number of the last message that has come whole."""
        return self._reader.received

    @property
    def acknowledged(self) -> int:
        """The number of the last message that the peer is known to have received whole."""
        return self._outbox.acknowledged

    @property
    def known(self) -> bool:
        """The peer has shown that it knows the session."""
        return self._resumed or self._reader.heard

    @property
    def moved(self) -> int:
        """How many messages have come, or are known to have arrived."""
        return self._reader.received + self._outbox.acknowledged

    @property
    def _needs_no_more(self) -> bool:
        return self.closed or (self.done and self.stream is None)

    def connect(self, stream: ssl.SSLSocket, acknowledged: int, now: float, answer: bool) -> None:
        """Go on over `stream`, on which the peer said that it has all messages up to `acknowledged`.

        With `answer`, this side has yet to say the same. Where an observer cannot take note of what goes again, nothing goes.
        """
        self._drop()
        self.stream, self.descriptor, self.lost = stream, stream.fileno(), None
        self.heard = self.connected = self._spoke = now
        self.more = True  # TLS may hold what came behind the first frame
        self.retries += 1
        try:
            again = self._outbox.rewind(acknowledged)
        except FrameError as error:
            self.fail(ProtocolError(self.peer, f"{self.peer} sent {error}."))
            return
        self._observers.back(self.peer)
        if again is not None:
            self._observers.resent(self.peer, again.first, again.last, again.size)
        if self._observers.failure is not None:
            self.fail(self._observers.failure)
            return
        if answer:
            self._resumed = True
            self.say(Type.RESUME)
        self.write(now)

    def queue(self, parts: Sequence[memoryview]) -> None:
        """Queue one message. The transport asks `full` first."""
        if self._needs_no_more:
            return  # the peer said that it has all that it needs, and has gone
        self._outbox.put(self._writer.sequence + 1, self._writer.message(parts, self.received))
        self._unsaid = 0

    def say(self, kind: Type, payload: bytes = b"") -> None:
        """Queue one control frame."""
        self._outbox.control(self._writer.control(kind, self.received, payload))
        self._unsaid = 0

    def say_done(self) -> None:
        """Queue the word that no message will follow; it is kept like a message until it is acknowledged."""
        self.saying_done = True
        frame = self._writer.control(Type.DONE, self.received)
        self._outbox.put(self._writer.sequence, [(frame,)], message=False)

    def stop(self, word: str) -> None:
        """Say why this side ends the session, ahead of all that has not begun to leave."""
        # Whoever broke the protocol is told so as well, and who only misses what this side cannot put on record.
        ours = self.failure is not None and self.failure is self._observers.failure
        self._last_words = ours or isinstance(self.failure, ProtocolError)
        self._outbox.last_word(self._writer.control(Type.STOP, self.received, word.encode("ascii")))

    def take(self) -> Bytes | None:
        """The next message that has come, if any."""
        if not self.inbox:
            return None
        data = self.inbox.popleft()
        self._inbox_bytes -= len(data) + _OVERHEAD
        return data

    def expect(self, limit: int) -> None:
        """A role waits for a message of at most `limit` bytes, for which there is memory at once; 0: none waits any more."""
        if limit and not self.inbox:
            self._reader.expect(limit)
        self.limit = limit
        self._check_length()

    def read(self, now: float) -> bool:
        """Read all that has come, as far as there is room; True if anything came."""
        came = self.more = False
        self._controls, dropped = 0, self._reader.dropped
        try:
            while self.wants_to_read and self.stream is not None:
                count = _fill(self.stream, self._reader.room())
                if count == 0:
                    self._lose("was closed by the other side", now)
                    return True
                came = True
                self.heard = now
                for event in self._reader.filled(count):
                    self._handle(event)
                if self._reader.acknowledged > self._outbox.acknowledged:
                    self._outbox.acknowledge(self._reader.acknowledged)
                self._check_length()
                if self.limit and self.inbox and not self.broken and not self.stream.pending():
                    return True  # the role has its message; TLS holds nothing back that the next poll would not see
                if self._controls >= _MOST_CONTROLS or self._reader.dropped - dropped > _MOST_DROPPED:
                    self.more = True
                    return True
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return came
        except FrameError as error:
            self.fail(ProtocolError(self.peer, f"{self.peer} sent {error}."))
        except ssl.SSLError:
            self._lose("broke in its encryption layer", now)
        except OSError as error:
            self._lose(f"broke ({error.strerror or 'no reason given'})", now)
        return True

    def write(self, now: float) -> bool:
        """Write what the stream takes now; True if it took anything."""
        wrote = False
        try:
            while self.wants_to_write and self.stream is not None:
                count = self.stream.send(self._outbox.next())
                wrote = True
                self._spoke = now
                self._outbox.wrote(count)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return wrote
        except OSError:
            # What the peer said before the link broke counts for more than the break: look for it first.
            self.broken = True
            self.read(now)
            if not self.more:
                self._lose("broke while this party was sending", now)
        return wrote

    def beat(self, now: float) -> None:
        """Show that this side is alive, acknowledge what has come, and see whether the other side is alive."""
        if self.failure is not None or self.stream is None:
            return
        # A peer whose queue fills up waits for an acknowledgement, and one that has said its last word for that.
        due = self._unsaid >= QUEUE // 8 or (self._unsaid > 0 and self.done)
        if due or (now - self._spoke > BEAT and self._outbox.idle):
            self.say(Type.BEAT)
            self.write(now)
        if not self.wants_to_read and not self.pressed:
            self._deaf = now  # this side does not listen, as its queue is full: it cannot call the other side silent
        elif now - max(self.heard, self._deaf) > SILENT:
            self._lose(f"was silent for {SILENT:g} s", now)

    def fail(self, error: VsplitError) -> None:
        """The link is of no more use because of `error`, unless it was of none before."""
        self.failure = self.failure or error

    def close(self) -> None:
        """Close the stream. What came and nobody read is read first: it would turn the close into a reset, and a
        reset may overtake the last words of this side."""
        self.closed = True
        if self.stream is None:
            return
        with contextlib.suppress(OSError):
            for _ in range(_MOST_LEFTOVERS):
                if not self.stream.recv(1 << 14):
                    break
        self._drop()

    def _handle(self, event: Control | Arrived) -> None:
        if isinstance(event, Arrived):
            if self.done:
                raise FrameError("a message after its last")
            self.inbox.append(event.data)
            self._inbox_bytes += len(event.data) + _OVERHEAD
            self._unsaid += len(event.data) + _OVERHEAD
            return
        self._controls += 1
        if event.type is Type.STOP:
            word = event.payload.decode("ascii", "replace")
            self.fail(stopped(self.peer, word, begun=True))
        elif event.type is Type.DONE:
            if self.done:
                raise FrameError("its last word twice")
            self.done = True
            self._unsaid += 1

    def _check_length(self) -> None:
        if self.limit and not self.inbox and self._reader.total > self.limit:
            self.fail(too_long(self.peer, self._reader.total, self.limit))

    def _lose(self, how: str, now: float) -> None:
        self._drop()
        if self.lost is None and not self.closed:
            self.lost = Loss(how, now, time.time())
            if self.failure is None and not self.finished:
                self._observers.lost(self.peer, how)

    def _drop(self) -> None:
        if self.stream is not None:
            self.stream.close()
        self.stream, self.descriptor, self.broken, self.more = None, -1, False, False
        self._reader.restart()


def _fill(stream: ssl.SSLSocket, room: memoryview) -> int:
    """How many bytes came into `room`, which ends where a frame ends at the latest; 0: the stream has ended.

    A TLS record holds 16 KiB and a frame sixteen of them, between which there is nothing to decide. Raises as `recv_into`
    does where nothing came at all.
    """
    count = came = stream.recv_into(room)
    while came and count < len(room):
        try:
            came = stream.recv_into(room[count:])
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            break
        count += came
    return count
