"""Dialling the label party: the first time, and again whenever the link was lost."""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from parties.network.caller_mark import caller_mark
from parties.network.certificates import PROTOCOL, client_context, shown_identity
from parties.network.frames import HEAD, FrameError, FrameWriter, Opening, Type, read_opening
from parties.network.identity import PrivateIdentity, PublicIdentity
from parties.network.link import Link
from parties.network.listener import HANDSHAKE_SECONDS, tune
from parties.network.route import DIRECT, Route
from parties.network.transport import StartedAgain, stopped
from parties.network.wakeup import Wakeup
from vsplit.protocol import MismatchError, ProtocolError, RemoteError, VsplitError

CONNECT_SECONDS = 5.0
# Exponential backoff with full jitter: the n-th pause is drawn evenly between nothing and the least of these, so that
# parties that lost their links in the same moment do not come back in the same moment.
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 4.0
_STEADY = 10.0  # after a connection that lasted so many seconds, or carried a message, the pauses are short again
_LAST_ATTEMPT = 1.0  # seconds for which the end waits for an attempt that is under way


@dataclass(frozen=True, slots=True)
class Address:
    """Where the label party can be reached."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def pauses(after: int = 0) -> Iterator[float]:
    """Seconds before each further attempt, after so many that have failed."""
    bound = _FIRST_PAUSE
    draw = secrets.SystemRandom()
    while True:
        if after <= 0:
            yield draw.uniform(0.0, bound)
        after -= 1
        bound = min(2 * bound, _LONGEST_PAUSE)


class Target:
    """The label party, which must show `identity` at `address`, to which `route` leads."""

    def __init__(
        self, me: PrivateIdentity, name: str, identity: PublicIdentity, address: Address, route: Route = DIRECT
    ) -> None:
        self.name = name
        self.address = address
        self._identity = identity
        self._me = me.public
        self._route = route
        self._opener = "a firewall or proxy" if route.proxy is None else f"the proxy {route.proxy}"  # of TLS, perhaps
        self._context = client_context(me, identity)

    def open(self, first: bytes, timeout: float = CONNECT_SECONDS) -> tuple[ssl.SSLSocket, Opening]:
        """Connect, send the frame `first`, and return the stream, non-blocking, with the first frame that came back.

        Raises OSError where nobody answers or the connection is closed again, so that it may be tried again, and
        MismatchError or ProtocolError where the other side is somebody else or speaks otherwise.
        """
        plain = self._route.connect(self.address.host, self.address.port, timeout)
        stream = self._handshake(plain)
        try:
            with contextlib.suppress(OSError):
                stream.sendall(first)  # whoever hangs up may have said why
            opening = self._hear(stream)
        except BaseException:
            stream.close()
            raise
        stream.setblocking(False)
        return stream, opening

    def _handshake(self, plain: socket.socket) -> ssl.SSLSocket:
        try:
            plain.settimeout(HANDSHAKE_SECONDS)
            tune(plain)
            self._context.set_alpn_protocols([PROTOCOL, caller_mark(self._me, self._identity)])
            stream = self._context.wrap_socket(plain)
        except ssl.SSLCertVerificationError:
            raise self._stranger() from None
        except OSError as error:
            plain.close()
            if isinstance(error, ssl.SSLEOFError) or not isinstance(error, (ssl.SSLError, TimeoutError)):
                # A forwarder may answer for a program that has yet to start, or the label party has its hands full.
                raise ConnectionError("the connection was closed at once") from None
            if isinstance(error, TimeoutError):
                # So does a firewall or forwarder that has nobody behind it yet, or a label party that is overloaded.
                raise TimeoutError(
                    "something takes connections there and says nothing: a forwarder or firewall that has nobody behind it, or "
                    "a machine with too much to do"
                ) from None
            between = f" Perhaps {self._opener} opens TLS to inspect it: ask IT to let this address through unopened."
            raise MismatchError(
                self.name,
                f"Whoever answers at {self.address} is not {self.name} with vsplit: it does not speak TLS 1.3.{between}",
            ) from None
        if shown_identity(stream.getpeercert(binary_form=True)) != self._identity:
            stream.close()
            raise self._stranger()
        if stream.selected_alpn_protocol() != PROTOCOL:
            stream.close()
            raise MismatchError(
                self.name, f"{self.name} runs another version of vsplit: install the same at all parties."
            )
        return stream

    def _hear(self, stream: ssl.SSLSocket) -> Opening:
        try:
            opening, length = read_opening(_exactly(stream, HEAD.size))
            return Opening(opening.type, opening.session, opening.acknowledged, _exactly(stream, length))
        except FrameError as error:
            raise ProtocolError(self.name, f"{self.name} sent {error}.") from None
        except TimeoutError:
            raise TimeoutError("it took the connection and said nothing") from None
        except ssl.SSLError as error:
            # In TLS 1.3 a client that is refused learns of it only after its handshake, by an alert.
            if error.reason and "ALERT" in error.reason:
                raise MismatchError(
                    self.name,
                    f"{self.name} does not accept this party's identity: send it the line of your key again and see "
                    "that both sides use the same job file.",
                ) from None
            raise ConnectionError("the connection broke at once") from None

    def _stranger(self) -> MismatchError:
        return MismatchError(
            self.name,
            f"Do not go on. Whoever answers at {self.address} does not hold the key that the job lists for {self.name}: the "
            f"address is another machine's, the job file is out of date, {self._opener} opens TLS to inspect it and shows a "
            "certificate of its own (ask IT to let this address through unopened), or somebody stands in between. Compare the "
            f"identity line with {self.name} by telephone.",
        )


class Redialler:
    """Makes the one link of a feature party again when it was lost; it dials in a thread of its own.

    `serve` is called whenever there is time. What goes wrong in an attempt is kept in `tried`: only the wait for the
    label party, which is not counted here, puts an end to the attempts.
    """

    def __init__(self, target: Target) -> None:
        self.tried = ""
        self._target = target
        self._bell = Wakeup()
        self._failed = 0  # attempts since the last connection that was good for something
        self._moved = 0  # what the link had moved when it was last made
        self._thread: threading.Thread | None = None
        self._found: tuple[ssl.SSLSocket, Opening] | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()  # around what was found

    def fileno(self) -> int:
        """Ready to be read when `serve` has something to do."""
        return self._bell.fileno()

    def serve(self, links: Mapping[str, Link], now: float) -> None:
        """Begin to dial where the link is lost, and take what was found."""
        link = links[self._target.name]
        if link.lost is None or link.failure is not None or link.closed:
            return
        if self._thread is None:
            if link.lost.since - link.connected > _STEADY or link.moved > self._moved:
                self._failed = 0
            first = FrameWriter(link.session).control(Type.RESUME, link.received)
            self._thread = threading.Thread(target=self._dial, args=(first,), name="vsplit-dialler", daemon=True)
            self._thread.start()
        elif self._found is not None:
            self._thread = None
            stream, opening = self._found
            self._found = None
            self._bell.clear()
            self._take(link, stream, opening, now)

    def close(self) -> None:
        """Dial no more."""
        with self._lock:
            self._closing.set()
            found, self._found = self._found, None
            if found is not None:
                found[0].close()
            self._bell.close()
        if self._thread is not None:
            self._thread.join(_LAST_ATTEMPT)

    def _take(self, link: Link, stream: ssl.SSLSocket, opening: Opening, now: float) -> None:
        if opening.type is Type.RESUME and opening.session == link.session:
            self.tried = ""
            link.connect(stream, opening.acknowledged, now, answer=False)
            self._moved = link.moved
            return
        stream.close()
        link.fail(refusal(link.peer, opening, begun=True))

    def _dial(self, first: bytes) -> None:
        for pause in pauses(self._failed):
            if self._closing.wait(pause):
                return
            self._failed += 1
            try:
                found = self._target.open(first)
            except OSError as error:
                self.tried = f"the last attempt: {error.strerror or str(error) or 'no answer'}"
            except VsplitError as error:
                # Whoever stands between the parties can answer in the label party's place for a while; he must not be able to
                # end the session by it.
                self.tried = f"the last attempt: {error}"
            else:
                with self._lock:
                    if self._closing.is_set():
                        found[0].close()
                        return
                    self._found = found
                    self._bell.set()
                return


def refusal(peer: str, opening: Opening, *, begun: bool = False) -> RemoteError:
    """The error for a first frame that is not the one that was hoped for; `begun`: the parties had met before."""
    if opening.type is not Type.STOP:
        return ProtocolError(peer, f"{peer} answered as the protocol does not allow.")
    word = opening.word.decode("ascii", "replace")
    return StartedAgain(peer) if word == StartedAgain.word else stopped(peer, word, begun=begun)


def _exactly(stream: ssl.SSLSocket, count: int) -> bytes:
    """`count` bytes within HANDSHAKE_SECONDS, however slowly they come."""
    until = time.monotonic() + HANDSHAKE_SECONDS
    data = b""
    while len(data) < count:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        stream.settimeout(left)
        more = stream.recv(count - len(data))
        if not more:
            raise ConnectionError("the connection was closed at once")
        data += more
    return data
