"""Dialling the label party: at the start, and again whenever the link was lost."""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping

from parties.network.caller_mark import caller_mark
from parties.network.certificates import PROTOCOL, client_context, shown_identity
from parties.network.frame_writer import FrameWriter
from parties.network.frames import HEAD, FrameError, Opening, Type, read_opening
from parties.network.identity import PrivateIdentity, PublicIdentity
from parties.network.link import Link
from parties.network.listener import HANDSHAKE_SECONDS
from parties.network.route import DIRECT, Address, Route
from parties.network.stop_reasons import refusal
from parties.network.tcp_connect import set_options
from parties.network.wakeup import Wakeup
from vsplit.protocol import MismatchError, ProtocolError, VsplitError

CONNECT_SECONDS = 5.0
# Exponential backoff with full jitter: each pause is drawn uniformly between zero and a bound that doubles up to the longest,
# so that parties which lost their links in the same moment do not dial again in the same moment.
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 4.0
_STEADY = 10.0  # after a connection that lasted so many seconds, or carried a message, the pauses start short again
_LAST_ATTEMPT = 1.0  # seconds that `close` waits for an attempt that is under way


def pauses(after: int = 0) -> Iterator[float]:
    """Seconds before each further attempt, where `after` attempts have failed already."""
    bound = _FIRST_PAUSE
    draw = secrets.SystemRandom()
    while True:
        if after <= 0:
            yield draw.uniform(0.0, bound)
        after -= 1
        bound = min(2 * bound, _LONGEST_PAUSE)


class Target:
    """The label party, which must show `identity` at `address`, reached by `route`."""

    def __init__(
        self, me: PrivateIdentity, name: str, identity: PublicIdentity, address: Address, route: Route = DIRECT
    ) -> None:
        self.name = name
        self.address = address
        self._identity = identity
        self._me = me.public
        self._route = route
        # What may have opened TLS, where another certificate is shown.
        self._interceptor = "a firewall or proxy" if route.proxy is None else f"the proxy {route.proxy}"
        self._context = client_context(me, identity)

    def open(self, first: bytes, timeout: float = CONNECT_SECONDS) -> tuple[ssl.SSLSocket, Opening]:
        """Connect, send the frame `first`, and return the stream, non-blocking, with the first frame that came back.

        Raises OSError where there is no answer or the connection is closed again, so that another attempt may succeed, and
        MismatchError or ProtocolError where the other side has another identity, version or protocol.
        """
        plain = self._route.connect(self.address.host, self.address.port, timeout)
        stream = self._handshake(plain)
        try:
            with contextlib.suppress(OSError):
                stream.sendall(first)  # a side that closes may have sent the reason before
            opening = self._receive_opening(stream)
        except BaseException:
            stream.close()
            raise
        stream.setblocking(False)
        return stream, opening

    def _handshake(self, plain: socket.socket) -> ssl.SSLSocket:
        try:
            plain.settimeout(HANDSHAKE_SECONDS)
            set_options(plain)
            self._context.set_alpn_protocols([PROTOCOL, caller_mark(self._me, self._identity)])
            stream = self._context.wrap_socket(plain)
        except ssl.SSLCertVerificationError:
            raise self._other_identity() from None
        except OSError as error:
            plain.close()
            if isinstance(error, ssl.SSLEOFError) or not isinstance(error, (ssl.SSLError, TimeoutError)):
                # A forwarder may answer for a program that has yet to start, or the label party is overloaded.
                raise ConnectionError("the connection was closed at once") from None
            if isinstance(error, TimeoutError):
                # The same two causes, or a firewall.
                raise TimeoutError(
                    "the connection was accepted there and no answer came: a forwarder or firewall without a running label "
                    "party behind it, or an overloaded machine"
                ) from None
            raise MismatchError(
                self.name,
                f"The program at {self.address} is not {self.name} with vsplit: it does not speak TLS 1.3. Perhaps "
                f"{self._interceptor} inspects TLS: ask IT to exempt this address from inspection.",
            ) from None
        if shown_identity(stream.getpeercert(binary_form=True)) != self._identity:
            stream.close()
            raise self._other_identity()
        if stream.selected_alpn_protocol() != PROTOCOL:
            stream.close()
            raise MismatchError(
                self.name, f"{self.name} runs another version of vsplit: install the same version at all parties."
            )
        return stream

    def _receive_opening(self, stream: ssl.SSLSocket) -> Opening:
        try:
            opening, length = read_opening(_exactly(stream, HEAD.size))
            return Opening(opening.type, opening.session, opening.acknowledged, _exactly(stream, length))
        except FrameError as error:
            raise ProtocolError(self.name, f"{self.name} sent {error}.") from None
        except TimeoutError:
            raise TimeoutError("it accepted the connection and did not answer") from None
        except ssl.SSLError as error:
            # In TLS 1.3 a client that is refused is notified only after its handshake, by an alert.
            if error.reason and "ALERT" in error.reason:
                raise MismatchError(
                    self.name,
                    f"{self.name} does not accept this party's identity: send it the identity line of your key again, and "
                    "check that both sides use the same job file.",
                ) from None
            raise ConnectionError("the connection broke after the handshake") from None

    def _other_identity(self) -> MismatchError:
        return MismatchError(
            self.name,
            f"Do not continue. The program at {self.address} does not hold the key that the job lists for {self.name}: the "
            f"address belongs to another machine, the job file is outdated, {self._interceptor} inspects TLS and shows its own "
            "certificate (ask IT to exempt this address from inspection), or an attacker intercepts the connection. Compare "
            f"the identity line with {self.name} by telephone.",
        )


class Redialler:
    """Re-establishes the one link of a feature party after it was lost; it dials in a thread of its own.

    `serve` is called whenever there is time. What goes wrong in an attempt is stored in `tried`: the attempts end only when the
    transport gives the label party up.
    """

    def __init__(self, target: Target) -> None:
        self.tried = ""
        self._target = target
        self._wakeup = Wakeup()
        self._failed = 0  # attempts since the last connection that was of use
        self._moved = 0  # messages that the link had moved when it was last made
        self._thread: threading.Thread | None = None
        self._found: tuple[ssl.SSLSocket, Opening] | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()  # around what was found

    def fileno(self) -> int:
        """A descriptor that can be read when `serve` has something to do."""
        return self._wakeup.fileno()

    def serve(self, links: Mapping[str, Link], now: float) -> None:
        """Start to dial where the link is lost, and use the connection that was found."""
        link = links[self._target.name]
        if link.lost is None or link.failure is not None or link.closed:
            return
        if self._thread is None:
            if link.lost.since - link.connected > _STEADY or _moved(link) > self._moved:
                self._failed = 0
            first = FrameWriter(link.session).control(Type.RESUME, link.received)
            self._thread = threading.Thread(target=self._dial, args=(first,), name="vsplit-dialler", daemon=True)
            self._thread.start()
        elif self._found is not None:
            self._thread = None
            stream, opening = self._found
            self._found = None
            self._wakeup.clear()
            self._take(link, stream, opening, now)

    def close(self) -> None:
        """Dial no more."""
        with self._lock:
            self._closing.set()
            found, self._found = self._found, None
            if found is not None:
                found[0].close()
            self._wakeup.close()
        if self._thread is not None:
            self._thread.join(_LAST_ATTEMPT)

    def _take(self, link: Link, stream: ssl.SSLSocket, opening: Opening, now: float) -> None:
        if opening.type is Type.RESUME and opening.session == link.session:
            self.tried = ""
            link.connect(stream, opening.acknowledged, now, answer=False)
            self._moved = _moved(link)
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
                # An attacker between the parties can answer in the label party's place for a while; this must not end the
                # session.
                self.tried = f"the last attempt: {error}"
            else:
                with self._lock:
                    if self._closing.is_set():
                        found[0].close()
                        return
                    self._found = found
                    self._wakeup.set()
                return


def _moved(link: Link) -> int:
    """How many messages have come over the link, or are known to have arrived."""
    return link.received + link.send_queue.acknowledged


def _exactly(stream: ssl.SSLSocket, count: int) -> bytes:
    """Read `count` bytes within HANDSHAKE_SECONDS in all, however slowly they come."""
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
