"""A star on loopback whose other side is a puppet: real TLS with a party's key, and below it whatever a test sends."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from parties.network.certificates import client_context, server_context
from parties.network.frame_writer import FrameWriter
from parties.network.frames import HEAD, MAGIC, Type
from parties.network.identity import PrivateIdentity
from parties.network.peer_connections import PartyListener, dial
from parties.network.route import Address
from parties.network.tls import TlsTransport
from parties.network.transport import Absence

# Test files do not import each other, and the proxy is of use outside of them too.
_file = importlib.util.spec_from_file_location("vsplit_bad_proxy", Path(__file__).with_name("proxy.py"))
assert _file is not None and _file.loader is not None
_module = importlib.util.module_from_spec(_file)
_file.loader.exec_module(_module)
Proxy = _module.Proxy

SAFETY = 20.0  # seconds after which something that should have ended counts as a hang


class Puppet:
    """The other end of a link, frame by frame, over a blocking TLS stream."""

    def __init__(self, stream: ssl.SSLSocket) -> None:
        self.stream = stream
        self.writer = FrameWriter(os.urandom(16))
        self.heard = 0  # the number of the last message, or last word, that was heard whole
        self._got = 0
        stream.settimeout(SAFETY)

    def hear(self) -> tuple[Type, bytes]:
        """The next frame that is no beat: its type and its payload. EOFError when the stream has ended."""
        while True:
            head = HEAD.unpack(self._exactly(HEAD.size))
            _, kind, length, self.heard_session, sequence, self.acknowledged, total = head
            payload = self._exactly(length)
            if kind == Type.DATA:
                self._got = (self._got + length) % total
            if kind in (Type.DATA, Type.DONE) and self._got == 0:
                self.heard = sequence
            if kind != Type.BEAT:
                return Type(kind), payload

    def take_welcome(self) -> Puppet:
        """Say that this is a new process, hear the welcome, and go on in its session."""
        self.say(Type.JOIN)
        assert self.hear()[0] is Type.WELCOME
        self.writer.session = self.heard_session
        return self

    def say(self, kind: Type, payload: bytes = b"") -> None:
        """Send one control frame, which acknowledges all that was heard."""
        self.stream.sendall(self.writer.control(kind, self.heard, payload))

    def message(self, data: bytes) -> None:
        """Send one whole message."""
        for frame in self.writer.message([memoryview(data)], 0):
            for piece in frame:
                self.stream.sendall(piece)

    def raw_head(
        self, kind: int, length: int, sequence: int, total: int, session: bytes | None = None, acknowledged: int = 0
    ) -> None:
        """Send a head with any claims."""
        session = session or self.writer.session
        self.stream.sendall(HEAD.pack(MAGIC, kind, length, session, sequence, acknowledged, total))

    def reset(self) -> None:
        """Close as a machine does whose program was killed with bytes unread."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.stream.close()

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.stream.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data


class Seen:
    """An observer that writes down what it hears."""

    def __init__(self) -> None:
        self.losses: list[tuple[str, str]] = []
        self.absences: list[Absence] = []
        self.returns: list[str] = []
        self.again: list[tuple[str, int, int]] = []

    def lost(self, peer: str, why: str) -> None:
        self.losses.append((peer, why))

    def away(self, absences: Sequence[Absence]) -> None:
        self.absences.extend(absences)

    def back(self, peer: str) -> None:
        self.returns.append(peer)

    def resent(self, peer: str, first: int, last: int, size: int) -> None:
        assert size > 0
        self.again.append((peer, first, last))


class Star:
    """The clinic, which is the label party, and any feature parties, each with a key; all on loopback."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._threads = stack.enter_context(ThreadPoolExecutor(8))
        self.keys = {name: PrivateIdentity.generate() for name in ("clinic", "lab", "bank", "stranger")}
        self.told: list[tuple[tuple[str, ...], float]] = []  # every call of `waiting`
        self.seen = {name: Seen() for name in self.keys}  # what the observer of each party has heard

    def waiting(self, names: Sequence[str], left: float) -> None:
        self.told.append((tuple(names), left))

    def later(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run in a thread of its own."""
        return self._threads.submit(function, *arguments)

    def listen(self, *features: str, wait: float = 10.0, port: int = 0, host: str = "127.0.0.1") -> PartyListener:
        """The clinic's port, which awaits these feature parties."""
        identities = {name: self.keys[name].public for name in features or ("lab",)}
        listener = PartyListener(self.keys["clinic"], Address(host, port), identities, wait, self.seen["clinic"])
        self._stack.callback(listener.close)
        return listener

    def gather(self, listener: PartyListener) -> Future[TlsTransport]:
        """The clinic's transport, once all have come."""

        def gather() -> TlsTransport:
            transport = listener.gather(self.waiting)
            self._stack.callback(transport.stop, "interrupted")
            return transport

        return self.later(gather)

    def dial(self, name: str, port: int, wait: float = 10.0, host: str = "127.0.0.1") -> TlsTransport:
        """The transport of a feature party."""
        transport = dial(
            self.keys[name],
            "clinic",
            self.keys["clinic"].public,
            Address(host, port),
            wait=wait,
            waiting=self.waiting,
            observer=self.seen[name],
        )
        self._stack.callback(transport.stop, "interrupted")
        return transport

    def clinic_and_labs(self, proxy: Callable[[int], Any], *names: str, wait: float = 30.0) -> tuple[Any, ...]:
        """The clinic's transport, those of these feature parties, and the proxy between them."""
        listener = self.listen(*names, wait=wait)
        between = proxy(listener.port)
        gathering = self.gather(listener)
        others = [self.dial(name, between.port, wait) for name in names]
        return gathering.result(SAFETY), *others, between

    def connect(self, port: int) -> socket.socket:
        """A bare connection, without TLS."""
        plain = socket.create_connection(("127.0.0.1", port), timeout=SAFETY)
        self._stack.callback(plain.close)
        return plain

    def secure(self, port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
        """A TLS connection with any context."""
        stream = context.wrap_socket(self.connect(port))
        self._stack.callback(stream.close)
        return stream

    def puppet(self, name: str, port: int) -> Puppet:
        """A puppet with a feature party's key."""
        return Puppet(self.secure(port, client_context(self.keys[name], self.keys["clinic"].public)))

    def serve(self, context: ssl.SSLContext | None = None) -> tuple[int, Callable[[], Puppet]]:
        """A port on which a puppet plays the label party, and how to take one connection there."""
        context = context or server_context(self.keys["clinic"], [self.keys["lab"].public])
        port = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port.settimeout(SAFETY)

        def take() -> Puppet:
            plain, _ = port.accept()
            plain.settimeout(SAFETY)
            self._stack.callback(plain.close)
            stream = context.wrap_socket(plain, server_side=True)
            self._stack.callback(stream.close)
            return Puppet(stream)

        return port.getsockname()[1], take

    def clinic_and_puppet(self, wait: float = 10.0) -> tuple[TlsTransport, Puppet]:
        """The clinic's real transport, and a puppet that plays the lab."""
        listener = self.listen("lab", wait=wait)
        gathering = self.gather(listener)
        puppet = self.puppet("lab", listener.port).take_welcome()
        return gathering.result(SAFETY), puppet

    def clinic_bank_and_puppet(self, wait: float = 10.0) -> tuple[TlsTransport, TlsTransport, Puppet]:
        """The clinic's and the bank's real transports, and a puppet that plays the lab."""
        listener = self.listen("lab", "bank", wait=wait)
        gathering = self.gather(listener)
        puppet = self.puppet("lab", listener.port).take_welcome()
        bank = self.dial("bank", listener.port, wait)
        return gathering.result(SAFETY), bank, puppet

    def lab_and_puppet(self, wait: float = 10.0) -> tuple[TlsTransport, Puppet]:
        """The lab's real transport, and a puppet that plays the clinic."""
        port, take = self.serve()
        dialling = self.later(self.dial, "lab", port, wait)
        puppet = take()
        assert puppet.hear()[0] is Type.JOIN
        puppet.writer.session = b"a session of 16."
        puppet.say(Type.WELCOME)
        return dialling.result(SAFETY), puppet


@pytest.fixture
def proxies() -> Iterator[Callable[[int], Any]]:
    """Makes proxies in front of a port, and closes them at the end."""
    with contextlib.ExitStack() as stack:

        def make(to: int) -> Any:
            proxy = Proxy(to)
            stack.callback(proxy.close)
            return proxy

        yield make


@pytest.fixture
def star() -> Iterator[Star]:
    """Everything that a test opens with it is closed at the end."""
    with contextlib.ExitStack() as stack:
        yield Star(stack)
