"""Connections that have proved nothing yet: their sources, which one ends when there are too many, and which is next.

A connection costs no more than its descriptor until a whole ClientHello has come: one that sends nothing, sends slowly or
sends something else never reaches TLS. Every choice between connections is a choice between their sources first.
"""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

_HANDSHAKE, _CLIENT_HELLO = 0x16, 0x01
_RECORD_HEAD, _LONGEST_RECORD = 5, 1 << 14

CALLS = 2
"""Most unfinished connections of one party that carry its caller mark."""

Group = dict[int, "Pending"]  # by descriptor, the oldest first


@lru_cache(maxsize=4096)
def source_of(host: str) -> bytes:
    """What counts as one source: an IPv4 address, also one mapped into IPv6; the first 64 bits of any other IPv6 address.

    A single machine can choose among all addresses of its /64 network.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return address.packed
    return address.ipv4_mapped.packed if address.ipv4_mapped else address.packed[:8]


@dataclass(slots=True, eq=False)
class Pending:
    """One connection. `stream` is its TLS stream once the handshake has begun, `name` the party once it is proved.

    `looked_at`: its first bytes were examined, if only in part.
    """

    plain: socket.socket
    source: bytes
    until: float
    descriptor: int
    stream: ssl.SSLSocket | None = None
    name: str | None = None
    looked_at: bool = False
    head: bytearray = field(default_factory=bytearray)

    def close(self, reset: bool = False) -> None:
        """Close it; with `reset` the system keeps no state of it, and the other end sees an error."""
        ended = self.stream or self.plain
        if reset:
            with contextlib.suppress(OSError):
                ended.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ended.close()


class Pace:
    """A rate limit: `rate` events a second, and up to `most` at once after a pause."""

    def __init__(self, rate: float, most: int) -> None:
        self._rate, self._most = rate, most
        self._left, self._seen = float(most), 0.0

    def take(self, now: float) -> bool:
        """Whether one more event is allowed now; if so, it is counted."""
        if self.wait(now) > 0:
            return False
        self._left -= 1
        return True

    def wait(self, now: float) -> float:
        """Seconds until one more event is allowed."""
        self._left = min(float(self._most), self._left + (now - self._seen) * self._rate)
        self._seen = now
        return max(0.0, (1 - self._left) / self._rate)


class PendingConnections:
    """At most `most` connections, by descriptor, in the order in which they came.

    A caller is a connection whose ClientHello carries a caller mark of the job. Callers are served first. Each party has at
    most `CALLS` of them, and only another call of the same party ends one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: Group = {}
        self._waiting: dict[bytes, Group] = {}  # those whose TLS has not begun, by source
        self._begun: dict[bytes, Group] = {}
        self._ready: dict[bytes, Group] = {}  # of the waiting ones, those whose ClientHello has come
        self._callers: dict[bytes, Group] = {}  # by party
        self._ready_callers: Group = {}
        self._begun_count = 0

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Pending]:
        return iter(list(self._all.values()))

    def get(self, descriptor: int) -> Pending | None:
        """The connection with this descriptor."""
        return self._all.get(descriptor)

    def oldest(self) -> Pending | None:
        """The connection that came first."""
        return next(iter(self._all.values()), None)

    @property
    def full(self) -> bool:
        """Whether one connection has to end before another is added."""
        return len(self._all) >= self._most

    @property
    def any_ready(self) -> bool:
        """Whether the TLS handshake of a connection can begin."""
        return bool(self._ready_callers or self._ready)

    def add(self, one: Pending) -> None:
        """Add a connection whose TLS has not begun."""
        self._all[one.descriptor] = one
        _put(self._waiting, one)

    def remove(self, one: Pending) -> None:
        """Remove a connection."""
        del self._all[one.descriptor]
        self._ready_callers.pop(one.descriptor, None)
        for groups in (self._callers, self._ready, self._waiting):
            _drop(groups, one)
        if _drop(self._begun, one):
            self._begun_count -= 1

    def surplus(self) -> Pending | None:
        """The connection to end when there are too many: the oldest of the source that has most of them, but no caller.

        Connections whose TLS has begun and those whose TLS has not do not displace each other below half of all: so connections
        that send nothing, however many, never end a handshake.
        """
        half = 2 * self._begun_count > self._most
        groups = self._begun if half or not self._waiting else self._waiting
        return next(iter(max(groups.values(), key=len).values())) if groups else None

    def hello_came(self, one: Pending, caller: str | None) -> Pending | None:
        """The ClientHello of a waiting connection has come. Where it shows a caller, returns an older call that has to end."""
        if caller is None:
            _put(self._ready, one)
            return None
        _drop(self._waiting, one)
        one.source = caller.encode()
        _put(self._callers, one)
        self._ready_callers[one.descriptor] = one
        group = self._callers[one.source]
        return next(iter(group.values())) if len(group) > CALLS else None

    def next_turn(self) -> Pending:
        """The next connection whose TLS begins: callers first; then the sources in turn, and within a source at random."""
        if self._ready_callers:
            return self._ready_callers.pop(next(iter(self._ready_callers)))
        source, group = next(iter(self._ready.items()))
        one = secrets.choice(list(group.values()))
        _drop(self._ready, one)
        if group:
            self._ready[source] = self._ready.pop(source)
        _drop(self._waiting, one)
        _put(self._begun, one)
        self._begun_count += 1
        return one


def client_hello(plain: socket.socket) -> bytes | None:
    """The first TLS record, a ClientHello, once it has come whole; it stays in the socket.

    Raises ConnectionError for anything else and where the other side has closed, and OSError.
    """
    try:
        came = plain.recv(_RECORD_HEAD + _LONGEST_RECORD, socket.MSG_PEEK)
    except BlockingIOError:
        return None
    if not came:
        raise ConnectionError("closed before it sent anything")
    length = int.from_bytes(came[3:_RECORD_HEAD], "big") if len(came) >= _RECORD_HEAD else 1
    begins = bytes((_HANDSHAKE, 0x03))
    if came[:2] != begins[: len(came)] or not 0 < length <= _LONGEST_RECORD:
        raise ConnectionError("no TLS")
    if len(came) > _RECORD_HEAD and came[_RECORD_HEAD] != _CLIENT_HELLO:
        raise ConnectionError("no ClientHello")
    return came if len(came) >= _RECORD_HEAD + length else None


def _put(groups: dict[bytes, Group], one: Pending) -> None:
    groups.setdefault(one.source, {})[one.descriptor] = one


def _drop(groups: dict[bytes, Group], one: Pending) -> bool:
    group = groups.get(one.source)
    if group is None or group.pop(one.descriptor, None) is None:
        return False
    if not group:
        del groups[one.source]
    return True
