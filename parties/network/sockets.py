"""All sockets of vsplit: the feature party's dialling and the label party's one open port.

Both end in a `TlsTransport` whose links have proved the identities that the job lists.
"""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from parties.identity import PrivateIdentity, PublicIdentity
from parties.network.certificates import client_context, server_context, shown_identity
from parties.network.frames import NO_SESSION, Type
from parties.network.link import Link
from parties.network.tls import TlsTransport, turn_away
from vsplit.protocol import ConfigError, MismatchError, PeerAbsent, PeerLost, RemoteError, VsplitError

HANDSHAKE_SECONDS = 10.0
# Strangers may hold this many unfinished handshakes; one more ends the oldest.
MOST_STRANGERS = 32
_STEP = 0.25  # seconds between two looks at the clock
_RETRY = 0.3  # seconds between two attempts to dial
_BREATH = 1.0  # seconds without new connections once this machine has no room for another

# Called while this party waits: the names that are missing, and the seconds left.
Waiting = Callable[[Sequence[str], float], None]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the label party can be reached."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Listener:
    """The one open port of the federation: it takes connections, and knows who is at the other end before it says so.

    `parties` are the feature parties' public identities by name. A connection that does not prove one of them costs a
    handshake and nothing more.
    """

    def __init__(self, me: PrivateIdentity, address: Address, parties: Mapping[str, PublicIdentity], wait: float):
        self._context = server_context(me, parties.values())
        self._parties = dict(parties)
        self._wait = wait
        self._port = _bind(address)
        self._strangers: dict[int, tuple[ssl.SSLSocket, float]] = {}
        self._deaf_until = 0.0
        self.refused = 0

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port: int = self._port.getsockname()[1]
        return port

    def gather(self, waiting: Waiting) -> TlsTransport:
        """Wait until every party has come and return the transport to all of them.

        Calls `waiting(names that are missing, seconds left)`. Raises PeerAbsent when the wait is over, and StoppedError
        or ProtocolError when a party that came early has stopped or misbehaves; those who came are told.
        """
        links: dict[str, Link] = {}
        try:
            self._gather(links, waiting)
        except BaseException as error:
            word = error.word if isinstance(error, VsplitError) else "error"
            TlsTransport(links, self._wait, self).stop("interrupted" if isinstance(error, KeyboardInterrupt) else word)
            raise
        return TlsTransport(links, self._wait, self)

    def _gather(self, links: dict[str, Link], waiting: Waiting) -> None:
        session = os.urandom(16)
        until = time.monotonic() + self._wait
        told = math.inf  # the seconds left that `waiting` was called with
        while missing := [name for name in self._parties if name not in links]:
            left = until - time.monotonic()
            if left <= 0:
                raise self._absent(missing)
            if told - left >= _STEP:
                waiting(missing, told := left)
            for name, stream in self._arrivals():
                if name in links:
                    turn_away(stream)
                    continue
                links[name] = Link(name, stream, session, self._wait, time.monotonic())
                links[name].say(Type.WELCOME)
            _tend(links)

    def _arrivals(self) -> Iterator[tuple[str, ssl.SSLSocket]]:
        watched = select.poll()
        self.watch(watched)
        for descriptor, _ in watched.poll(_STEP * 1000):
            if arrival := self.serve(descriptor):
                yield arrival

    def watch(self, poll: select.poll) -> None:
        """Register all that may need `serve`, and end handshakes that take too long."""
        now = time.monotonic()
        for descriptor, (stream, since) in list(self._strangers.items()):
            if now - since > HANDSHAKE_SECONDS:
                self._refuse(descriptor)
            else:
                poll.register(stream, select.POLLIN)
        if now >= self._deaf_until:
            poll.register(self._port, select.POLLIN)

    def serve(self, descriptor: int) -> tuple[str, ssl.SSLSocket] | None:
        """Go on with what is at `descriptor`; when a listed party has proved itself, its name and its stream."""
        if descriptor == self._port.fileno():
            self._accept()
            return None
        if descriptor not in self._strangers:
            return None
        stream, _ = self._strangers[descriptor]
        try:
            stream.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except OSError:
            self._refuse(descriptor)
            return None
        shown = shown_identity(stream.getpeercert(binary_form=True))
        name = next((name for name, identity in self._parties.items() if identity == shown), None)
        if name is None:
            self._refuse(descriptor)
            return None
        del self._strangers[descriptor]
        return name, stream

    def close(self) -> None:
        """Close the port and every unfinished handshake."""
        for stream, _ in self._strangers.values():
            stream.close()
        self._strangers.clear()
        self._port.close()

    def _accept(self) -> None:
        try:
            plain, _ = self._port.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self._deaf_until = time.monotonic() + _BREATH
            return  # otherwise whoever was there has gone again
        try:
            plain.setblocking(False)
            _tune(plain)
            stream = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        except OSError:
            plain.close()
            return
        if len(self._strangers) >= MOST_STRANGERS:
            self._refuse(next(iter(self._strangers)))
        self._strangers[stream.fileno()] = (stream, time.monotonic())

    def _refuse(self, descriptor: int) -> None:
        stream, _ = self._strangers.pop(descriptor)
        stream.close()
        self.refused += 1

    def _absent(self, missing: Sequence[str]) -> PeerAbsent:
        names = " and ".join(missing)
        strangers = (
            f" Connections that did not prove an identity which the job lists were refused ({self.refused}): compare the "
            "identity lines by telephone."
            if self.refused
            else ""
        )
        return PeerAbsent(
            missing[0],
            f"{names} did not connect within {self._wait:g} s.{strangers} See that {names} is started with the same "
            "job file and can reach this machine's port, or give it longer with `wait`.",
        )


def _tend(links: dict[str, Link]) -> None:
    """Keep the links of those who came early alive, and drop the dead ones: they may come again."""
    for name, link in list(links.items()):
        link.write(time.monotonic())
        link.read(time.monotonic())
        link.beat(time.monotonic())
        if isinstance(link.failure, RemoteError):
            raise link.failure
        if link.failure is not None:
            link.close()
            del links[name]


def _bind(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        port = socket.create_server((address.host, address.port), family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"Port {address.port} of this machine is in use by another program: end that program, or agree on "
                "another port in the job's `address`."
            ) from None
        if error.errno == errno.EACCES:
            raise ConfigError(
                f"This machine does not let this user listen on port {address.port}: agree on a port above 1023 in the "
                "job's `address`."
            ) from None
        raise ConfigError(
            f"This machine cannot listen at {address} ({error.strerror}): the host in the job's `address` must be one "
            "of its own, or name one with `listen` in the party file."
        ) from None
    port.setblocking(False)
    return port


def free_port(host: str) -> int:
    """A port of this machine that is free now."""
    with _bind(Address(host, 0)) as port:
        number: int = port.getsockname()[1]
        return number


def dial(
    me: PrivateIdentity,
    label_party: str,
    identity: PublicIdentity,
    address: Address,
    *,
    wait: float,
    waiting: Waiting,
) -> TlsTransport:
    """Connect a feature party to the label party, which must show `identity`.

    Tries again until `wait` seconds have passed, and calls `waiting([label_party], seconds left)` meanwhile. Raises
    PeerAbsent when nobody answers, MismatchError when the other side is somebody else or does not know `me`.
    """
    context = client_context(me, identity)
    until = time.monotonic() + wait
    while True:
        try:
            plain = socket.create_connection((address.host, address.port), timeout=min(5.0, wait))
            stream = _client_handshake(context, plain, label_party, identity, address)
            break
        except OSError as error:
            left = until - time.monotonic()
            if left <= 0:
                reason = error.strerror or str(error) or "no answer"
                raise PeerAbsent(
                    label_party,
                    f"{label_party} did not answer at {address} within {wait:g} s ({reason}): see that it is started, "
                    "that the job's address is right and that its port is open, or give it longer with `wait`.",
                ) from None
            waiting([label_party], left)
            time.sleep(min(_RETRY, left))
    stream.setblocking(False)
    link = Link(label_party, stream, NO_SESSION, wait, time.monotonic())
    _await_welcome(link, stream)
    return TlsTransport({label_party: link}, wait)


def _client_handshake(
    context: ssl.SSLContext, plain: socket.socket, label_party: str, identity: PublicIdentity, address: Address
) -> ssl.SSLSocket:
    """Raises ConnectionError where the other side hangs up: a forwarder may answer for a program that has yet to start."""
    stranger = MismatchError(
        label_party,
        f"Do not go on. Whoever answers at {address} does not hold the key that the job lists for {label_party}: the address "
        f"is another machine's, the job file is out of date, or somebody stands in between. Compare the identity line "
        f"with {label_party} by telephone.",
    )
    try:
        plain.settimeout(HANDSHAKE_SECONDS)
        _tune(plain)
        stream = context.wrap_socket(plain)
    except ssl.SSLCertVerificationError:
        raise stranger from None
    except OSError as error:
        plain.close()
        if isinstance(error, ssl.SSLEOFError) or not isinstance(error, (ssl.SSLError, TimeoutError)):
            raise ConnectionError("the connection was closed at once") from None
        detail = "it says nothing" if isinstance(error, TimeoutError) else "it does not speak TLS 1.3"
        raise MismatchError(
            label_party, f"Whoever answers at {address} is not {label_party} with vsplit: {detail}."
        ) from None
    if shown_identity(stream.getpeercert(binary_form=True)) != identity:
        stream.close()
        raise stranger
    return stream


def _await_welcome(link: Link, stream: ssl.SSLSocket) -> None:
    until = time.monotonic() + HANDSHAKE_SECONDS
    while link.session == NO_SESSION and link.failure is None and time.monotonic() < until:
        watched = select.poll()
        watched.register(stream.fileno(), select.POLLIN)
        watched.poll(_STEP * 1000)
        link.read(time.monotonic())
    if link.failure is None and link.session == NO_SESSION:
        link.fail(PeerLost(link.peer, f"{link.peer} took the connection and said nothing; start it again."))
    if link.failure is not None:
        stream.close()
        raise link.failure


def _tune(connection: socket.socket) -> None:
    # No keepalive and no TCP_USER_TIMEOUT: the links have a heartbeat of their own, and Linux would also end a
    # connection whose other side is alive, computes for long and has its queue full meanwhile.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
