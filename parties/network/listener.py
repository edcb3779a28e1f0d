"""The one open port: accepts connections and authenticates them, in a thread of its own.

Connections are accepted as fast as they come, so that the queue of the system stays short. The number of those that have proved
nothing yet is bounded, as are the share of one source (`parties.network.pending`) and the rate of handshakes. The thread pauses
three times as long as it has worked. A connection leaves the thread when it has proved a listed identity and has sent its
first frame; of each party, only the latest waits to be fetched.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from parties.network.authentication import authenticated_name, first_frame
from parties.network.caller_mark import CallerMarks
from parties.network.certificates import server_context
from parties.network.frames import FrameError, Opening
from parties.network.identity import PrivateIdentity, PublicIdentity
from parties.network.pending import Pace, Pending, PendingConnections, client_hello, source_of
from parties.network.tcp_connect import set_options
from parties.network.wakeup import Wakeup

HANDSHAKE_SECONDS = 10.0
MOST_PENDING = 128  # unfinished connections; one more ends another
# Handshakes begun in a second, and at a time. One costs about a millisecond.
_RATE = 100.0
_BATCH = 8
_MOST_ACCEPTED = 256  # connections accepted before the pending ones have their turn
_PAUSE = 3.0  # times the working time: the thread never has more than a quarter of a processor
_SHORTEST_PAUSE = 0.005  # seconds while more than a few connections are pending, so that one turn serves many
_LONGEST_PAUSE = 0.1
_FEW = 8
_LOOK_AGAIN = 0.02  # seconds until a connection is looked at again whose ClientHello has come in part
_NO_DESCRIPTORS = 1.0  # seconds without accepting, once this machine has no room for another connection
_LONGEST_WAIT = 5.0  # seconds between two looks at the clock
_GONE = select.POLLHUP | select.POLLERR


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection that has proved the identity of the party `name`, and the first frame on it."""

    name: str
    stream: ssl.SSLSocket
    opening: Opening


class Listener:
    """Accepts connections on the listening socket `port`, which it closes at the end.

    `parties` are the public identities that may connect, by name. `wakeup` is set when an arrival can be fetched.
    """

    def __init__(self, me: PrivateIdentity, parties: Mapping[str, PublicIdentity], port: socket.socket) -> None:
        self.wakeup = Wakeup()
        self.refused = 0
        self._context = server_context(me, parties.values())
        self._parties = dict(parties)
        self._marks = CallerMarks(me.public, parties)
        self._port = port
        self._pending = PendingConnections(MOST_PENDING)
        self._partial: dict[int, Pending] = {}  # part of the ClientHello has come
        self._pace = Pace(_RATE, _BATCH)  # of handshakes
        self._closes = Pace(_RATE, MOST_PENDING)  # of connections that are closed and not reset
        self._arrivals: dict[str, Arrival] = {}
        self._lock = threading.Lock()  # around the arrivals
        self._poll = select.poll()
        self._accept_again: float | None = None
        self._closing = False
        self._wake = Wakeup()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin to accept connections; until then, they wait in the system's queue."""
        if self._thread is None:
            self._poll.register(self._port, select.POLLIN)
            self._poll.register(self._wake, select.POLLIN)
            self._thread = threading.Thread(target=self._serve, name="vsplit-listener", daemon=True)
            self._thread.start()

    def fetch(self) -> list[Arrival]:
        """The connections authenticated since the last call. The caller has to close their streams."""
        with self._lock:
            # Also where there is none: it may be set for an arrival that was fetched a moment before.
            self.wakeup.clear()
            found = list(self._arrivals.values())
            self._arrivals.clear()
        return found

    def close(self) -> None:
        """Close the port and every connection that was not fetched. May be called again."""
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        for pending in self._pending:
            pending.close()
            self._pending.remove(pending)
        for arrival in self.fetch():
            arrival.stream.close()
        self._port.close()
        self.wakeup.close()
        self._wake.close()

    def _serve(self) -> None:
        while not self._closing:
            events = self._poll.poll(1000 * self._next_turn(time.monotonic()))
            began = time.thread_time()
            has_new = False
            for descriptor, what in events:
                if descriptor == self._port.fileno():
                    has_new = True
                elif (pending := self._pending.get(descriptor)) is not None:
                    self._look_at(pending, what)
            for pending in list(self._partial.values()):
                self._look_at(pending, 0)
            if has_new:
                self._accept(time.monotonic())
            self._begin_handshakes()
            pause = _PAUSE * (time.thread_time() - began)
            if len(self._pending) > _FEW:
                pause = max(pause, _SHORTEST_PAUSE)
            time.sleep(min(pause, _LONGEST_PAUSE))

    def _next_turn(self, now: float) -> float:
        """End connections that took too long, and accept again where it is time; seconds until there is more of this to do."""
        if self._accept_again is not None and now >= self._accept_again:
            self._accept_again = None
            self._poll.register(self._port, select.POLLIN)
        while (oldest := self._pending.oldest()) is not None and oldest.until <= now:
            self._refuse(oldest)
        times = [now + _LONGEST_WAIT] if self._accept_again is None else [self._accept_again]
        if oldest is not None:
            times.append(oldest.until)
        if self._partial:
            times.append(now + _LOOK_AGAIN)
        if self._pending.any_ready:
            times.append(now + self._pace.wait(now))
        return max(0.0, min(times) - now)

    def _accept(self, now: float) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_MOST_ACCEPTED):
                try:
                    plain, address = self._port.accept()
                except BlockingIOError:
                    raise
                except OSError as error:
                    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                        self._poll.unregister(self._port)
                        self._accept_again = now + _NO_DESCRIPTORS
                        return
                    continue  # the other side has closed already
                self._make_room()
                plain.setblocking(False)
                pending = Pending(plain, source_of(address[0]), now + HANDSHAKE_SECONDS, plain.fileno())
                self._pending.add(pending)
                self._poll.register(plain, select.POLLIN)

    def _make_room(self) -> None:
        """End a connection where there are too many; a new one is looked at first, since it may carry a caller mark."""
        while self._pending.full and (surplus := self._pending.surplus()) is not None:
            if surplus.looked_at:
                self._refuse(surplus)
            else:
                self._look_at(surplus, 0)

    def _look_at(self, pending: Pending, events: int) -> None:
        """Something has come on this connection, or it has ended."""
        if pending.stream is not None:
            self._advance(pending, pending.stream, events)
            return
        pending.looked_at = True
        try:
            hello = client_hello(pending.plain)
        except OSError:
            self._refuse(pending)
            return
        # What has come stays in the socket, which poll would report again and again.
        if pending.descriptor not in self._partial:
            self._poll.unregister(pending.descriptor)
        self._partial[pending.descriptor] = pending
        if hello is not None:
            del self._partial[pending.descriptor]
            older = self._pending.hello_came(pending, self._marks.caller(hello))
            if older is not None:
                self._refuse(older)

    def _begin_handshakes(self) -> None:
        while self._pending.any_ready and self._pace.take(time.monotonic()):
            pending = self._pending.next_turn()
            self._poll.register(pending.descriptor, select.POLLIN)
            try:
                set_options(pending.plain)
                stream = self._context.wrap_socket(pending.plain, server_side=True, do_handshake_on_connect=False)
            except OSError:
                self._refuse(pending)
                continue
            pending.stream = stream
            self._advance(pending, stream, 0)

    def _advance(self, pending: Pending, stream: ssl.SSLSocket, events: int) -> None:
        """Continue the handshake, or the first frame."""
        try:
            if pending.name is None:
                stream.do_handshake()
                pending.name = authenticated_name(stream, self._parties)
            opening = first_frame(stream, pending.head)
        except ssl.SSLWantWriteError:
            self._poll.modify(stream, select.POLLIN | select.POLLOUT)
            return
        except ssl.SSLWantReadError:
            self._poll.modify(stream, select.POLLIN)
            if events & _GONE:
                self._refuse(pending)
            return
        except (OSError, FrameError):
            self._refuse(pending)
            return
        self._remove(pending)
        self._deliver(Arrival(pending.name, stream, opening))

    def _deliver(self, arrival: Arrival) -> None:
        with self._lock:
            older = self._arrivals.pop(arrival.name, None)
            self._arrivals[arrival.name] = arrival
        if older is not None:
            older.stream.close()
        self.wakeup.set()

    def _refuse(self, pending: Pending) -> None:
        self._remove(pending)
        # The system keeps the state of a connection that this side closes for up to a minute; a reset, in a flood, leaves none.
        pending.close(reset=not self._closes.take(time.monotonic()))
        self.refused += 1

    def _remove(self, pending: Pending) -> None:
        with contextlib.suppress(KeyError):  # it is not polled while its ClientHello is incomplete
            self._poll.unregister(pending.descriptor)
        self._partial.pop(pending.descriptor, None)
        self._pending.remove(pending)
