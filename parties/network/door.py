"""The one open port: who comes, and who it is, in a thread of its own.

Handshakes with strangers cost the session nothing but processor time, and of that a bounded amount: so many connections
are taken a second, and so many may be unfinished. A connection leaves the thread when it has proved a listed identity
and has sent its first frame; of each party, only the latest waits to be fetched.
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
from dataclasses import dataclass, field, replace

from parties.identity import PrivateIdentity, PublicIdentity
from parties.network.certificates import PROTOCOL, server_context, shown_identity
from parties.network.frames import HEAD, NO_SESSION, FrameError, FrameWriter, Opening, Type, read_opening

HANDSHAKE_SECONDS = 10.0
# So many connections may be unfinished; one more ends the oldest.
MOST_STRANGERS = 128
# So many connections are taken a second, and so many at a time. A handshake costs about a millisecond.
_RATE = 100.0
_BATCH = 8
_BREATH = 1.0  # seconds without new connections once this machine has no room for another
_LONGEST = 5.0  # seconds between two looks at the clock
_GONE = select.POLLHUP | select.POLLERR


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection that has proved the identity of the party `name`, and the first frame on it."""

    name: str
    stream: ssl.SSLSocket
    opening: Opening


@dataclass(slots=True)
class _Stranger:
    stream: ssl.SSLSocket
    until: float
    name: str | None = None  # once it is proved
    head: bytearray = field(default_factory=bytearray)


class Bell:
    """Wakes a thread that polls: `ring` from any thread, `hush` in the one that heard it."""

    def __init__(self) -> None:
        self._ear, self._rope = socket.socketpair()
        self._ear.setblocking(False)
        self._rope.setblocking(False)

    def fileno(self) -> int:
        """The descriptor to be polled for POLLIN; -1 once it is closed."""
        return self._ear.fileno()

    def ring(self) -> None:
        """Wake whoever polls; a bell that is closed or rings already stays as it is."""
        with contextlib.suppress(OSError):
            self._rope.send(b"!")

    def hush(self) -> None:
        """Take the ringing back."""
        with contextlib.suppress(OSError):
            self._ear.recv(4096)

    def close(self) -> None:
        """Free both ends."""
        self._ear.close()
        self._rope.close()


class Door:
    """Takes connections on the listening socket `port`, which becomes its own.

    `parties` are the public identities that may come, by name. `bell` rings when somebody can be fetched.
    """

    def __init__(self, me: PrivateIdentity, parties: Mapping[str, PublicIdentity], port: socket.socket) -> None:
        self.bell = Bell()
        self.refused = 0
        self._context = server_context(me, parties.values())
        self._parties = dict(parties)
        self._port = port
        self._strangers: dict[int, _Stranger] = {}
        self._arrivals: dict[str, Arrival] = {}
        self._lock = threading.Lock()  # around the arrivals
        self._poll = select.poll()
        self._deaf_until: float | None = None
        self._closing = False
        self._wake = Bell()
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
            self.bell.hush()
            found = list(self._arrivals.values())
            self._arrivals.clear()
        return found

    def close(self) -> None:
        """Close the port and every connection that nobody has fetched. May be called again."""
        if self._closing:
            return
        self._closing = True
        self._wake.ring()
        if self._thread is not None:
            self._thread.join()
        for stranger in self._strangers.values():
            stranger.stream.close()
        self._strangers.clear()
        for arrival in self.fetch():
            arrival.stream.close()
        self._port.close()
        self.bell.close()
        self._wake.close()

    def _serve(self) -> None:
        while not self._closing:
            for descriptor, events in self._poll.poll(1000 * self._pause(time.monotonic())):
                if descriptor == self._port.fileno():
                    self._accept(time.monotonic())
                elif descriptor in self._strangers:
                    self._advance(descriptor, events)

    def _pause(self, now: float) -> float:
        """End what took too long, listen again where it is time; seconds until there is more of this to do."""
        if self._deaf_until is not None and now >= self._deaf_until:
            self._deaf_until = None
            self._poll.register(self._port, select.POLLIN)
        while self._strangers and (first := next(iter(self._strangers.values()))).until <= now:
            self._refuse(first)
        times = [now + _LONGEST] if self._deaf_until is None else [self._deaf_until]
        if self._strangers:
            times.append(next(iter(self._strangers.values())).until)
        return max(0.0, min(times) - now)

    def _accept(self, now: float) -> None:
        taken, breath = 0, 0.0
        with contextlib.suppress(BlockingIOError):
            while taken < _BATCH:
                taken += 1
                try:
                    plain, _ = self._port.accept()
                except BlockingIOError:
                    raise
                except OSError as error:
                    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                        breath = _BREATH
                        break
                    continue  # whoever was there has gone again
                self._admit(plain, now)
        # A rest after each batch keeps a flood of connections from taking more than its share of the processor.
        self._poll.unregister(self._port)
        self._deaf_until = now + max(breath, taken / _RATE)

    def _admit(self, plain: socket.socket, now: float) -> None:
        try:
            plain.setblocking(False)
            tune(plain)
            stream = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        except OSError:
            plain.close()
            return
        if len(self._strangers) >= MOST_STRANGERS:
            self._refuse(next(iter(self._strangers.values())))
        self._strangers[stream.fileno()] = _Stranger(stream, now + HANDSHAKE_SECONDS)
        self._poll.register(stream, select.POLLIN)

    def _advance(self, descriptor: int, events: int) -> None:
        """Go on with the handshake, or with the first frame, of the connection at `descriptor`."""
        stranger = self._strangers[descriptor]
        try:
            if stranger.name is None:
                stranger.stream.do_handshake()
                stranger.name = self._prove(stranger.stream)
            opening = self._hear(stranger)
        except ssl.SSLWantWriteError:
            self._poll.modify(descriptor, select.POLLIN | select.POLLOUT)
            return
        except ssl.SSLWantReadError:
            self._poll.modify(descriptor, select.POLLIN)
            if events & _GONE:
                self._refuse(stranger)
            return
        except (OSError, FrameError):
            self._refuse(stranger)
            return
        self._forget(descriptor)
        self._deliver(Arrival(stranger.name, stranger.stream, opening))

    def _prove(self, stream: ssl.SSLSocket) -> str:
        shown = shown_identity(stream.getpeercert(binary_form=True))
        name = next((name for name, identity in self._parties.items() if identity == shown), None)
        if name is None:
            raise ConnectionError("an identity that the job does not list")
        if stream.selected_alpn_protocol() != PROTOCOL:
            with contextlib.suppress(OSError):
                stream.send(FrameWriter().control(Type.STOP, 0, b"mismatch"))
            raise ConnectionError("a program of another version")
        return name

    def _hear(self, stranger: _Stranger) -> Opening:
        while len(stranger.head) < HEAD.size:
            more = stranger.stream.recv(HEAD.size - len(stranger.head))
            if not more:
                raise ConnectionError("gone before its first frame")
            stranger.head += more
        opening, length = read_opening(bytes(stranger.head[: HEAD.size]))
        if opening.type is Type.WELCOME:
            raise FrameError("a first frame that is the label party's")
        while len(stranger.head) < HEAD.size + length:  # the word of a STOP
            more = stranger.stream.recv(HEAD.size + length - len(stranger.head))
            if not more:
                raise ConnectionError("gone within its first frame")
            stranger.head += more
        return replace(opening, word=bytes(stranger.head[HEAD.size :]))

    def _deliver(self, arrival: Arrival) -> None:
        with self._lock:
            older = self._arrivals.pop(arrival.name, None)
            self._arrivals[arrival.name] = arrival
        if older is not None:
            older.stream.close()
        self.bell.ring()

    def _refuse(self, stranger: _Stranger) -> None:
        self._forget(stranger.stream.fileno())
        stranger.stream.close()
        self.refused += 1

    def _forget(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._strangers[descriptor]


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
