"""How a party comes to its transport: the label party gathers the others at its one open port, the others dial it.

Both end in a `TlsTransport` whose links have proved the identities that the job lists.
"""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Callable, Mapping, Sequence

from parties.network.admission import Admission
from parties.network.dialling import CONNECT_SECONDS, Address, Redialler, Target, pauses, refusal
from parties.network.frames import NO_SESSION, FrameWriter, Type
from parties.network.identity import PrivateIdentity, PublicIdentity
from parties.network.link import Link
from parties.network.listener import Listener
from parties.network.route import DIRECT, Route
from parties.network.stop_notice import StopNotice
from parties.network.tcp_listen import ONLY_IPV4, only_ipv4, open_port
from parties.network.tls import TlsTransport
from parties.network.transport import LinkObserver, LinkObservers, StartedAgain, reason_of, stopped
from vsplit.protocol import PeerAbsent, StoppedError

__all__ = ["Address", "Listener", "Waiting", "dial", "free_port"]

_STEP = 0.25  # seconds between two looks at the clock

# Called while this party waits: the names that are missing, and the seconds left.
Waiting = Callable[[Sequence[str], float], None]


class PartyListener:
    """The one open port of the federation: it takes connections, and knows who is at the other end before it says so.

    `parties` are the feature parties' public identities by name; `first_wait` is how long they are awaited (None: `wait`), and
    `wait` how long one whose link is lost. A connection that does not prove one of them costs a
    handshake and nothing more.
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
        self.told: tuple[str, ...] = ()  # those who know that the gathering has failed
        self._observers = LinkObservers(*([observer] if observer else []))
        port = open_port(address.host, address.port)
        self.port: int = port.getsockname()[1]
        self.note = ONLY_IPV4 if only_ipv4(port, address.host) else ""
        self._listener = Listener(me, parties, port)

    @property
    def refused(self) -> int:
        """Connections that were refused so far."""
        return self._listener.refused

    def gather(self, waiting: Waiting) -> TlsTransport:
        """Wait until every party has come and return the transport to all of them.

        Calls `waiting(names that are missing, seconds left)`. Raises PeerAbsent when the wait is over, and StoppedError
        or ProtocolError when a party that came early has stopped or misbehaves; those who came are told.
        """
        links: dict[str, Link] = {}
        admission = Admission(self._listener, os.urandom(16), self._observers)
        self._listener.open()
        try:
            self._gather(links, admission, waiting)
        except BaseException as error:
            self.told = tuple(name for name, link in links.items() if link.stream is not None)
            TlsTransport(links, self._wait, admission, self._observers).stop(reason_of(error))
            raise
        admission.gathering = False
        return TlsTransport(links, self._wait, admission, self._observers)

    def stop_notice(self, parties: Sequence[str], reason: str, cause: str = "") -> StopNotice:
        """For a party that has failed, in place of `gather`: those who come are told why no run begins."""
        return StopNotice(self._listener, parties, reason, cause)

    def close(self) -> None:
        """Close the port and every connection that no transport has."""
        self._listener.close()

    def _gather(self, links: dict[str, Link], admission: Admission, waiting: Waiting) -> None:
        until = time.monotonic() + self._first_wait
        told = math.inf  # the seconds left that `waiting` was called with
        while missing := [name for name in self._parties if name not in links or links[name].lost is not None]:
            left = until - time.monotonic()
            if left <= 0:
                raise self._absent(missing)
            if told - left >= _STEP:
                waiting(missing, told := left)
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
        strangers = (
            f" Connections that did not prove an identity which the job lists were refused ({self.refused}): compare the "
            "identity lines by telephone."
            if self.refused
            else ""
        )
        return PeerAbsent(
            missing[0],
            f"{names} did not connect within {self._first_wait:g} s.{strangers} See that {names} is started with the same "
            "job file and can reach this machine's port, or give it longer with `first_wait`.",
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

    Tries again until `first_wait` seconds (None: `wait`, the one for a lost link) have passed, and calls
    `waiting([label_party], seconds left)` meanwhile. Raises
    PeerAbsent when nobody answers, MismatchError when the other side is somebody else or does not know `me`, and
    StoppedError when it turns this party away.
    """
    target = Target(me, label_party, identity, address, route)
    first_wait = wait if first_wait is None else first_wait
    until = time.monotonic() + first_wait
    reason = "no answer"
    join = FrameWriter(os.urandom(16)).control(Type.JOIN, 0)
    for pause in pauses():
        try:
            stream, opening = target.open(join, min(CONNECT_SECONDS, first_wait))
        except OSError as error:
            reason = error.strerror or str(error) or reason
        else:
            if opening.type is Type.WELCOME and opening.session != NO_SESSION:
                observers = LinkObservers(*([observer] if observer else []))
                link = Link(label_party, stream, opening.session, time.monotonic(), observers)
                return TlsTransport({label_party: link}, wait, Redialler(target), observers)
            stream.close()
            refused = refusal(label_party, opening)
            if not isinstance(refused, StartedAgain):
                raise refused
            # Its old session has to end first; its people will start it again, as they did this party.
            reason = "it has just learnt that this party was started again, and has to be started again as well"
        _pause(pause, until, lambda left: waiting([label_party], left))
        if time.monotonic() >= until:
            break
    raise PeerAbsent(
        label_party,
        f"{label_party} did not answer at {address} within {first_wait:g} s ({reason}): see that it is started, "
        "that the job's address is right and that its port is open, or give it longer with `first_wait`."
        + (route.hint and f" {route.hint}"),
    )


def _pause(seconds: float, until: float, waiting: Callable[[float], None]) -> None:
    """Sleep, but not beyond `until`, and tell the seconds left meanwhile."""
    end = min(time.monotonic() + seconds, until)
    while True:
        waiting(max(0.0, until - time.monotonic()))
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, _STEP))
