"""How a party gets its transport: the label party gathers the feature parties at its one open port, and they dial it.

Both return a `TlsTransport` whose links have proved the identities that the job lists.
"""

from __future__ import annotations

import math
import os
import select
import ssl
import time
from collections.abc import Callable, Mapping, Sequence

from parties.network.admission import Admission
from parties.network.dialling import CONNECT_SECONDS, Redialler, Target, pauses
from parties.network.frame_writer import FrameWriter
from parties.network.frames import NO_SESSION, Type
from parties.network.identity import PrivateIdentity, PublicIdentity
from parties.network.link import Link
from parties.network.listener import Listener
from parties.network.route import DIRECT, Address, Route
from parties.network.stop_notice import StopNotice
from parties.network.stop_reasons import StartedAgain, reason_of, refusal, stopped
from parties.network.tcp_listen import ONLY_IPV4, only_ipv4, open_port
from parties.network.tls import TlsTransport
from parties.network.transport import LinkObserver, LinkObservers
from vsplit.protocol import PeerAbsent, StoppedError

_STEP = 0.25  # seconds between two looks at the clock

Waiting = Callable[[Sequence[str], float], None]
"""Called while this party waits, with the names of the missing parties and the seconds left."""


class PartyListener:
    """The one open port of the federation. It identifies the other end of a connection before it reports it.

    `parties` are the feature parties' public identities by name. `first_wait` is how long they are awaited (None: `wait`), and
    `wait` how long a party whose link is lost. A connection that proves none of them costs one handshake and no more.
    """

    def __init__(
        self,
        me: PrivateIdentity,
        address: Address,
        parties: Mapping[str, PublicIdentity],
        wait: float,
        observer: LinkObserver | None = None,
        *,
        first_wait: float | None = None,
    ) -> None:
        self._parties = tuple(parties)
        self._wait = wait
        self._first_wait = wait if first_wait is None else first_wait
        self.notified: tuple[str, ...] = ()  # the parties that were notified that the gathering has failed
        self._observers = LinkObservers(*([observer] if observer else []))
        port = open_port(address.host, address.port)
        self.port: int = port.getsockname()[1]
        self.note = ONLY_IPV4 if only_ipv4(port, address.host) else ""
        self._listener = Listener(me, parties, port)

    @property
    def refused(self) -> int:
        """How many connections were refused so far."""
        return self._listener.refused

    def gather(self, waiting: Waiting) -> TlsTransport:
        """Wait until every party has connected and return the transport to all of them.

        Calls `waiting(names that are missing, seconds left)`. Raises PeerAbsent when the wait is over, and StoppedError
        or ProtocolError when a connected party has stopped or violates the protocol; the connected parties are notified.
        """
        links: dict[str, Link] = {}
        admission = Admission(self._listener, os.urandom(16), self._observers)
        self._listener.open()
        try:
            self._gather(links, admission, waiting)
        except BaseException as error:
            self.notified = tuple(name for name, link in links.items() if link.stream is not None)
            TlsTransport(links, self._wait, admission, self._observers).stop(reason_of(error))
            raise
        admission.gathering = False
        return TlsTransport(links, self._wait, admission, self._observers)

    def stop_notice(self, parties: Sequence[str], reason: str, failed_party: str = "") -> StopNotice:
        """For a party that has failed, instead of `gather`: answers the parties that connect with the reason."""
        return StopNotice(self._listener, parties, reason, failed_party)

    def close(self) -> None:
        """Close the port and every connection that does not belong to a transport."""
        self._listener.close()

    def _gather(self, links: dict[str, Link], admission: Admission, waiting: Waiting) -> None:
        until = time.monotonic() + self._first_wait
        reported = math.inf  # the seconds left in the last call of `waiting`
        while missing := [name for name in self._parties if name not in links or links[name].lost is not None]:
            left = until - time.monotonic()
            if left <= 0:
                raise self._absent(missing)
            if reported - left >= _STEP:
                waiting(missing, reported := left)
            watched = select.poll()
            watched.register(admission, select.POLLIN)
            for link in links.values():
                if link.stream is not None:
                    watched.register(link.stream, select.POLLIN if link.wants_to_read else 0)
            watched.poll(_STEP * 1000)
            admission.serve(links, time.monotonic())
            if admission.failure is not None:
                raise admission.failure
            for link in links.values():
                link.write(time.monotonic())
                link.read(time.monotonic())
                link.beat(time.monotonic())
                if isinstance(link.failure, StoppedError) and link.failure.why:
                    raise stopped(link.peer, link.failure.why, begun=False)
                if link.failure is not None:
                    raise link.failure

    def _absent(self, missing: Sequence[str]) -> PeerAbsent:
        names = " and ".join(missing)
        refused = (
            f" Connections that did not prove an identity of the job were refused ({self.refused}): compare the identity lines "
            "by telephone."
            if self.refused
            else ""
        )
        return PeerAbsent(
            missing[0],
            f"{names} did not connect within {self._first_wait:g} s.{refused} Check that {names} is started with the same job "
            "file and can reach this machine's port, or raise `first_wait`.",
        )


def free_port(host: str) -> int:
    """A port of this machine that is free now."""
    with open_port(host, 0) as port:
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
    observer: LinkObserver | None = None,
    route: Route = DIRECT,
    first_wait: float | None = None,
) -> TlsTransport:
    """Connect a feature party to the label party, which must show `identity`.

    Dials repeatedly for `first_wait` seconds (None: `wait`, the one for a lost link), and calls `waiting([label_party], seconds
    left)`. Raises PeerAbsent when there is no answer, MismatchError when the other side has another identity or does not
    accept that of `me`, and StoppedError when it turns this party away.
    """
    target = Target(me, label_party, identity, address, route)
    first_wait, reason = wait if first_wait is None else first_wait, "no answer"
    until = time.monotonic() + first_wait
    join = FrameWriter(os.urandom(16)).control(Type.JOIN, 0)
    for pause in pauses():
        try:
            stream, opening = target.open(join, min(CONNECT_SECONDS, first_wait))
        except OSError as error:
            reason = error.strerror or str(error) or reason
        else:
            if opening.type is Type.WELCOME and opening.session != NO_SESSION:
                return _transport(target, stream, opening.session, wait, observer)
            stream.close()
            refused = refusal(label_party, opening)
            if not isinstance(refused, StartedAgain):
                raise refused
            # Its old session has to end first, and its operator has to start it again.
            reason = "this party was started again, so it has to be started again as well"
        _pause(pause, until, lambda left: waiting([label_party], left))
        if time.monotonic() >= until:
            break
    raise _no_answer(target, first_wait, reason, route.hint)


def _transport(
    target: Target, stream: ssl.SSLSocket, session: bytes, wait: float, observer: LinkObserver | None
) -> TlsTransport:
    observers = LinkObservers(*([observer] if observer else []))
    link = Link(target.name, stream, session, time.monotonic(), observers)
    return TlsTransport({target.name: link}, wait, Redialler(target), observers)


def _no_answer(target: Target, first_wait: float, reason: str, hint: str) -> PeerAbsent:
    return PeerAbsent(
        target.name,
        f"{target.name} did not answer at {target.address} within {first_wait:g} s ({reason}): check that it is started, "
        f"that the job's address is right and that its port is open, or raise `first_wait`.{hint and f' {hint}'}",
    )


def _pause(seconds: float, until: float, waiting: Callable[[float], None]) -> None:
    """Sleep, but not beyond `until`, and report the seconds left meanwhile."""
    end = min(time.monotonic() + seconds, until)
    while True:
        waiting(max(0.0, until - time.monotonic()))
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, _STEP))
