"""One link to one peer: frames in, frames out, both queues bounded, and a heartbeat. It never blocks.

A link lasts longer than its connections. When one is lost, the messages that the peer has not acknowledged are retained, and
`connect` continues with them over the next one. The transport calls `read`, `write` and `beat` whenever there is time; all of
them return at once.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence

from parties.network import heartbeat
from parties.network.frame_writer import FrameWriter
from parties.network.frames import FrameError, Type
from parties.network.heartbeat import Heartbeat
from parties.network.receive_queue import ReceiveQueue
from parties.network.send_queue import SendQueue
from parties.network.stop_reasons import stopped
from parties.network.tls_stream import discard_unread
from parties.network.transport import QUEUE, LinkObservers, Loss, too_long
from vsplit.protocol import ProtocolError, VsplitError


class Link:
    """The link to `peer` in the session of 16 bytes, over `stream`, a non-blocking TLS stream on which it was opened.

    `now` is in seconds of a monotonic clock. `failure` is why the link can no longer be used, if so; `lost` is set while it has
    no connection.
    """

    def __init__(
        self, peer: str, stream: ssl.SSLSocket, session: bytes, now: float, observers: LinkObservers | None = None
    ) -> None:
        self.peer = peer
        self.session = session
        self.stream: ssl.SSLSocket | None = stream
        self.descriptor = stream.fileno()  # of the stream; -1 where there is none
        self.send_queue = SendQueue()
        self.receive_queue = ReceiveQueue(session)
        self.heartbeat = Heartbeat(now)
        self.lost: Loss | None = None
        self.failure: VsplitError | None = None
        self.finishing = False  # this side has announced the same, or is about to
        self.closed = False  # and no connection will be made again
        self.waits_for_room = False  # a role waits for room in the queue to the peer
        self.broken = False  # the other side has closed: nothing comes but what is in the stream already
        self.more = True  # `read` returned although there may be more, or was never called
        self.connected = now  # when the connection was made
        self.retries = 0  # how often it was re-established
        self._observers = observers or LinkObservers()
        self._writer = FrameWriter(session)
        self._sends_stop = False  # a STOP is written although the link has failed
        self._resumed = False  # the peer has asked to resume this link

    @property
    def wants_to_read(self) -> bool:
        """There is room for more that no role has asked for, or a role waits."""
        if self.failure is not None or self.stream is None:
            return False
        # A role that waits for room needs the acknowledgements, which may come after all that the peer may have sent.
        most = 3 * QUEUE if self.waits_for_room else QUEUE
        return self.broken or self.receive_queue.size < most or not self.receive_queue.satisfied

    @property
    def wants_to_write(self) -> bool:
        """Something is queued, and the other side may take it."""
        takes = self.stream is not None and not self.broken and (self.failure is None or self._sends_stop)
        return takes and not self.send_queue.idle

    @property
    def full(self) -> bool:
        """The queue to the peer holds all that it may."""
        return self.send_queue.size >= QUEUE and not self._needs_no_more

    @property
    def done(self) -> bool:
        """The peer has announced that no more messages follow."""
        return self.receive_queue.done

    @property
    def finished(self) -> bool:
        """Both sides have announced that no more messages follow, and both know it."""
        return self.closed or (self.done and self.finishing and self.send_queue.settled and not self.wants_to_write)

    @property
    def received(self) -> int:
        """The number of the last message that has come whole."""
        return self.receive_queue.reader.received

    @property
    def known(self) -> bool:
        """The peer has shown that it knows the session."""
        return self._resumed or self.receive_queue.reader.in_session

    @property
    def _needs_no_more(self) -> bool:
        return self.closed or (self.done and self.stream is None)

    def connect(self, stream: ssl.SSLSocket, acknowledged: int, now: float, answer: bool) -> None:
        """Continue over `stream`, on which the peer acknowledged all messages up to the number `acknowledged`.

        With `answer`, this side has yet to send the same. Where an observer cannot record what is sent again, nothing is sent.
        """
        self._drop()
        self.stream, self.descriptor, self.lost = stream, stream.fileno(), None
        self.connected = now
        self.heartbeat.restart(now)
        self.more = True  # TLS may hold what came after the first frame
        self.retries += 1
        try:
            again = self.send_queue.rewind(acknowledged)
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
            self._send_control(Type.RESUME)
        self.write(now)

    def queue(self, parts: Sequence[memoryview]) -> None:
        """Queue one message. The transport asks `full` first."""
        if self._needs_no_more:
            return  # the peer has announced that it has all that it needs, and has disconnected
        self.send_queue.put(self._writer.sequence + 1, self._writer.message(parts, self.received))
        self.receive_queue.unacknowledged = 0

    def send_done(self) -> None:
        """Queue the announcement that no message follows; it is retained like a message until it is acknowledged."""
        self.finishing = True
        frame = self._writer.control(Type.DONE, self.received)
        self.send_queue.put(self._writer.sequence, [(frame,)], message=False)

    def stop(self, reason: str) -> None:
        """Send the reason for which this side ends the session, ahead of all that has not begun to leave."""
        # It is sent as well to a peer that violated the protocol, and where this side cannot record what it sends again.
        ours = self.failure is not None and self.failure is self._observers.failure
        self._sends_stop = ours or isinstance(self.failure, ProtocolError)
        self.send_queue.replace_by(self._writer.control(Type.STOP, self.received, reason.encode("ascii")))

    def expect(self, limit: int) -> None:
        """A role waits for a message of at most `limit` bytes; 0: none waits any more."""
        self.receive_queue.expect(limit)
        self._check_length()

    def read(self, now: float) -> bool:
        """Read all that has come, as far as there is room; True if anything came."""
        queue = self.receive_queue
        came = self.more = False
        queue.begin_turn()
        try:
            while self.wants_to_read and self.stream is not None:
                if not queue.read_from(self.stream):
                    self._lose("was closed by the other side", now)
                    return True
                came = True
                self.heartbeat.received = now
                if queue.stop_reason is not None:
                    self.fail(stopped(self.peer, queue.stop_reason, begun=True))
                if queue.reader.acknowledged > self.send_queue.acknowledged:
                    self.send_queue.acknowledge(queue.reader.acknowledged)
                self._check_length()
                if queue.has_answer and not self.broken and not self.stream.pending():
                    return True  # the role has its message; TLS holds nothing back that the next poll would not see
                if queue.turn_is_over:
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
                count = self.stream.send(self.send_queue.next())
                wrote = True
                self.heartbeat.sent = now
                self.send_queue.wrote(count)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return wrote
        except OSError:
            # What the peer sent before the link broke matters more than the break: read it first.
            self.broken = True
            self.read(now)
            if not self.more:
                self._lose("broke while this party was sending", now)
        return wrote

    def beat(self, now: float) -> None:
        """Send a heartbeat and acknowledgements where they are due, and check that the other side sends its own."""
        if self.failure is not None or self.stream is None:
            return
        # A peer whose queue fills up waits for an acknowledgement, and so does one that has sent its DONE.
        unacknowledged = self.receive_queue.unacknowledged
        due = unacknowledged >= QUEUE // 8 or (unacknowledged > 0 and self.done)
        if due or (self.heartbeat.due(now) and self.send_queue.idle):
            self._send_control(Type.BEAT)
            self.write(now)
        if not self.wants_to_read and not self.waits_for_room:
            self.heartbeat.paused = now
        elif self.heartbeat.silent(now):
            self._lose(f"was silent for {heartbeat.SILENT:g} s", now)

    def fail(self, error: VsplitError) -> None:
        """The link can no longer be used because of `error`; the first error counts."""
        self.failure = self.failure or error

    def close(self) -> None:
        """Close the stream, after reading what is left in it."""
        self.closed = True
        if self.stream is not None:
            discard_unread(self.stream)
            self._drop()

    def _send_control(self, kind: Type) -> None:
        self.send_queue.control(self._writer.control(kind, self.received))
        self.receive_queue.unacknowledged = 0

    def _check_length(self) -> None:
        if excess := self.receive_queue.excess:
            self.fail(too_long(self.peer, excess, self.receive_queue.limit))

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
        self.receive_queue.reader.restart()
