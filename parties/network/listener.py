"""The one open port: who comes, and who it is, in a thread of its own.

Connections are taken as fast as they come, and the queue of the system stays short. Those that have proved nothing yet are few,
and a share of them is all that one source can have (`parties.network.pending`). So many handshakes are begun a second, and
the thread rests three times as long as it has worked. A connection leaves the thread when it has proved a listed
identity and has sent its first frame; of each party, only the latest waits to be fetched.
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
from parties.network.frames import NO_SESSION, FrameError, FrameWriter, Opening, Type
from parties.network.identity import PrivateIdentity, PublicIdentity
from parties.network.pending import Pace, Pending, PendingConnections, client_hello, source_of
from parties.network.wakeup import Wakeup

HANDSHAKE_SECONDS = 10.0
# So many connections may be unfinished; one more ends another.
MOST_STRANGERS = 128
# So many handshakes are begun a second, and so many at a time. One costs about a millisecond.
_RATE = 100.0
_BATCH = 8
_MOST_TAKEN = 256  # connections before the others have their turn
_REST = 3.0  # of this many times what was worked: the thread never has more than a quarter of a processor
_SHORTEST_REST = 0.005  # seconds while more than a few are unfinished, so that one waking serves many
_LONGEST_REST = 0.1
_FEW = 8
_LOOK_AGAIN = 0.02  # seconds until a connection is looked at again whose ClientHello has come in part
_BREATH = 1.0  # seconds without new connections once this machine has no room for another
_LONGEST = 5.0  # seconds between two looks at the clock
_GONE = select.POLLHUP | select.POLLERR


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection that has proved the identity of the party `name`, and the first frame on it."""

    name: str
    stream: ssl.SSLSocket
    opening: Opening


class Listener:
    """Takes connections on the listening socket `port`, which becomes its own.

    `parties` are the public identities that may come, by name. `wakeup` rings when somebody can be fetched.
    """

    def __init__(self, me: PrivateIdentity, parties: Mapping[str, PublicIdentity], port: socket.socket) -> None:
        self.wakeup = Wakeup()
        self.refused = 0
        self._context = server_context(me, parties.values())
        self._parties = dict(parties)
        self._marks = CallerMarks(me.public, parties)
        self._port = port
        self._strangers = PendingConnections(MOST_STRANGERS)
        self._partial: dict[int, Pending] = {}  # part of the ClientHello has come
        self._pace = Pace(_RATE, _BATCH)  # of handshakes
        self._closes = Pace(_RATE, MOST_STRANGERS)  # of connections that are closed and not reset
        self._arrivals: dict[str, Arrival] = {}
        self._lock = threading.Lock()  # around the arrivals
        self._poll = select.poll()
        self._deaf_until: float | None = None
        self._closing = False
        self._wake = Wakeup()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin to take connections; until then, they wait in the system's queue."""
        if self._thread is None:
            self._poll.register(self._port, select.POLLIN)
            self._poll.register(self._wake, select.POLLIN)
            self._thread = threading.Thread(target=self._serve, name="vsplit-door", daemon=True)
            self._thread.start()

    def fetch(self) -> list[Arrival]:
        """Those who have proved themselves since the last call. Their streams are the caller's to close."""
        with self._lock:
            # Also where nobody stands there: the bell may ring for somebody who was fetched a moment before it did.
            self.wakeup.clear()
            found = list(self._arrivals.values())
            self._arrivals.clear()
        return found

    def close(self) -> None:
        """Close the port and every connection that nobody has fetched. May be called again."""
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        for stranger in self._strangers:
            stranger.close()
            self._strangers.remove(stranger)
        for arrival in self.fetch():
            arrival.stream.close()
        self._port.close()
        self.wakeup.close()
        self._wake.close()

    def _serve(self) -> None:
        while not self._closing:
            events = self._poll.poll(1000 * self._pause(time.monotonic()))
            began = time.thread_time()
            knocked = False
            for descriptor, what in events:
                if descriptor == self._port.fileno():
                    knocked = True
                elif (stranger := self._strangers.get(descriptor)) is not None:
                    self._look_at(stranger, what)
            self._look_again()
            if knocked:
                self._accept(time.monotonic())
            self._begin_handshakes()
            rest = _REST * (time.thread_time() - began)
            if len(self._strangers) > _FEW:
                rest = max(rest, _SHORTEST_REST)
            time.sleep(min(rest, _LONGEST_REST))

    def _pause(self, now: float) -> float:
        """End what took too long, listen again where it is time; seconds until there is more of this to do."""
        if self._deaf_until is not None and now >= self._deaf_until:
            self._deaf_until = None
            self._poll.register(self._port, select.POLLIN)
        while (oldest := self._strangers.oldest()) is not None and oldest.until <= now:
            self._refuse(oldest)
        times = [now + _LONGEST] if self._deaf_until is None else [self._deaf_until]
        if oldest is not None:
            times.append(oldest.until)
        if self._partial:
            times.append(now + _LOOK_AGAIN)
        if self._strangers.any_ready:
            times.append(now + self._pace.wait(now))
        return max(0.0, min(times) - now)

    def _accept(self, now: float) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_MOST_TAKEN):
                try:
                    plain, address = self._port.accept()
                except BlockingIOError:
                    raise
                except OSError as error:
                    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                        self._poll.unregister(self._port)
                        self._deaf_until = now + _BREATH
                        return
                    continue  # whoever was there has gone again
                self._make_room()
                plain.setblocking(False)
                stranger = Pending(plain, source_of(address[0]), now + HANDSHAKE_SECONDS, plain.fileno())
                self._strangers.add(stranger)
                self._poll.register(plain, select.POLLIN)

    def _make_room(self) -> None:
        """End a connection, where there are too many; one that just came is looked at first, since it may be a caller."""
        while self._strangers.full and (surplus := self._strangers.surplus()) is not None:
            if surplus.looked_at:
                self._refuse(surplus)
            else:
                self._look_at(surplus, 0)

    def _look_at(self, stranger: Pending, events: int) -> None:
        """Something has come on this connection, or it is over."""
        if stranger.stream is not None:
            self._advance(stranger, stranger.stream, events)
            return
        stranger.looked_at = True
        try:
            hello = client_hello(stranger.plain)
        except OSError:
            self._refuse(stranger)
            return
        # What has come stays in the socket, which would be ready without end.
        if stranger.descriptor not in self._partial:
            self._poll.unregister(stranger.descriptor)
        self._partial[stranger.descriptor] = stranger
        if hello is not None:
            del self._partial[stranger.descriptor]
            older = self._strangers.hello_came(stranger, self._marks.caller(hello))
            if older is not None:
                self._refuse(older)

    def _look_again(self) -> None:
        for stranger in list(self._partial.values()):
            self._look_at(stranger, 0)

    def _begin_handshakes(self) -> None:
        while self._strangers.any_ready and self._pace.take(time.monotonic()):
            stranger = self._strangers.next_turn()
            self._poll.register(stranger.descriptor, select.POLLIN)
            try:
                tune(stranger.plain)
                stream = self._context.wrap_socket(stranger.plain, server_side=True, do_handshake_on_connect=False)
            except OSError:
                self._refuse(stranger)
                continue
            stranger.stream = stream
            self._advance(stranger, stream, 0)

    def _advance(self, stranger: Pending, stream: ssl.SSLSocket, events: int) -> None:
        """Go on with the handshake, or with the first frame."""
        try:
            if stranger.name is None:
                stream.do_handshake()
                stranger.name = authenticated_name(stream, self._parties)
            opening = first_frame(stream, stranger.head)
        except ssl.SSLWantWriteError:
            self._poll.modify(stream, select.POLLIN | select.POLLOUT)
            return
        except ssl.SSLWantReadError:
            self._poll.modify(stream, select.POLLIN)
            if events & _GONE:
                self._refuse(stranger)
            return
        except (OSError, FrameError):
            self._refuse(stranger)
            return
        self._forget(stranger)
        self._deliver(Arrival(stranger.name, stream, opening))

    def _deliver(self, arrival: Arrival) -> None:
        with self._lock:
            older = self._arrivals.pop(arrival.name, None)
            self._arrivals[arrival.name] = arrival
        if older is not None:
            older.stream.close()
        self.wakeup.set()

    def _refuse(self, stranger: Pending) -> None:
        self._forget(stranger)
        # Of what this side closes the system keeps something for up to a minute. A flood is reset, which leaves nothing.
        stranger.close(reset=not self._closes.take(time.monotonic()))
        self.refused += 1

    def _forget(self, stranger: Pending) -> None:
        with contextlib.suppress(KeyError):  # it is not watched while its ClientHello is looked at
            self._poll.unregister(stranger.descriptor)
        self._partial.pop(stranger.descriptor, None)
        self._strangers.remove(stranger)


def tune(connection: socket.socket) -> None:
    """Settings of every connection, dialled or taken."""
    # No keepalive and no TCP_USER_TIMEOUT: the links have a heartbeat of their own, and Linux would also end a
    # connection whose other side is alive, computes for long and has its queue full meanwhile.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def answer(stream: ssl.SSLSocket, kind: Type, session: bytes = NO_SESSION, payload: bytes = b"") -> None:
    """Send the first frame back, which a new connection has room for; raises OSError."""
    stream.send(FrameWriter(session).control(kind, 0, payload))


def turn_away(stream: ssl.SSLSocket, word: str) -> None:
    """Answer with a word that says why, and close."""
    with contextlib.suppress(OSError):
        answer(stream, Type.STOP, payload=word.encode("ascii"))
    stream.close()
