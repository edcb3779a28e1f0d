"""The network transport: TLS 1.3, one link per other party, the label party in the middle of the star.

Whoever calls `send` or `receive` moves the bytes itself, so that no message waits for another thread; while the party
computes, a keeper thread that holds no protocol state writes what is left, reads what comes into bounded queues, and
keeps the heartbeat.
"""

from __future__ import annotations

import contextlib
import os
import select
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from parties.network.frames import FrameWriter, Type
from parties.network.link import Link
from parties.network.transport import checked_length
from vsplit.protocol import Bytes, PeerLost, ProtocolError, VsplitError

_STEP = 0.25  # seconds between two looks at the clock
_KEEPER_PAUSE = 0.003  # leaves the lock to the party between two steps of the keeper
_PATIENCE = 0.002  # how long a sender waits for a stream that takes no more
_SPIN = 0.005  # how long a receiver looks for an answer before it sleeps
_GONE = select.POLLHUP | select.POLLERR


class Doorkeeper(Protocol):
    """Whoever holds the open port, while the session goes on."""

    def watch(self, poll: select.poll) -> None:
        """Register all that may need `serve`."""

    def serve(self, descriptor: int) -> tuple[str, ssl.SSLSocket] | None:
        """Go on with what is at `descriptor`; when a listed party has proved itself, its name and its stream."""

    def close(self) -> None:
        """Close the port."""


class TlsTransport:
    """The transport of one party; `dial` and `Listener.gather` (both in `parties.network.sockets`) make it.

    `links` are by the other party's name. `doorkeeper` refuses whoever comes later.
    """

    def __init__(self, links: Mapping[str, Link], wait: float, doorkeeper: Doorkeeper | None = None) -> None:
        self._links = dict(links)
        self._wait = wait
        self._doorkeeper = doorkeeper
        self._lock = threading.Lock()
        self._closing = False
        self._left_over = threading.Event()
        self._by_descriptor = {link.stream.fileno(): link for link in self._links.values()}
        self._keeper = threading.Thread(target=self._keep, name="vsplit-keeper", daemon=True)
        self._keeper.start()

    @property
    def session(self) -> bytes:
        """The 16 bytes that name this session."""
        return next(iter(self._links.values())).session

    def send(self, to: str, parts: Sequence[memoryview]) -> None:
        link = self._links[to]
        with self._lock:
            if link.full:
                self._wait_for_room(link)
            self._raise_failure()
            link.queue(parts)
            self._write_patiently(link)
            if link.wants_to_write:
                self._left_over.set()

    def receive(self, sender: str, limit: int) -> Bytes:
        link = self._links[sender]
        with self._lock:
            link.expect(limit)
            spin = _SPIN
            try:
                while (data := link.take()) is None:
                    self._raise_failure()
                    if link.done:
                        raise ProtocolError(
                            sender, f"{sender} ended the session before this party had all that it needs."
                        )
                    self._step(_STEP, spin)
                    spin = 0.0
            finally:
                link.expect(0)
        return checked_length(sender, data, limit)

    def finish(self) -> list[VsplitError]:
        with self._lock:
            for link in self._links.values():
                link.say(Type.DONE)
                link.write(time.monotonic())
            self._refuse_unasked()
            until = time.monotonic() + self._wait
            while any(link.failure is None and (link.wants_to_write or not link.done) for link in self._links.values()):
                self._step(_STEP)
                self._refuse_unasked()
                self._leave_who_lingers(until)
            failures = [link.failure for link in self._links.values() if link.failure is not None]
            self._close()
        return failures

    def stop(self, word: str) -> None:
        with self._lock:
            if self._closing:
                return
            for link in self._links.values():
                link.stop(word)
            # A peer that reads gets the word within this second; one that does not must not hold us up.
            until = time.monotonic() + 1.0
            while any(link.wants_to_write for link in self._links.values()) and (now := time.monotonic()) < until:
                for link in self._links.values():
                    link.write(now)
                self._step(_STEP / 4)
            self._close()

    def _raise_failure(self) -> None:
        failures = [link.failure for link in self._links.values() if link.failure is not None]
        if failures:
            # A peer that says why is more use to a person than a link that broke because of it.
            raise min(failures, key=lambda error: isinstance(error, PeerLost))

    def _wait_for_room(self, link: Link) -> None:
        link.pressed = True
        try:
            while link.full:
                self._raise_failure()
                self._step(_STEP)
        finally:
            link.pressed = False

    def _refuse_unasked(self) -> None:
        for link in self._links.values():
            if link.unasked:
                link.fail(ProtocolError(link.peer, f"{link.peer} sent a message that this party never asked for."))

    def _leave_who_lingers(self, until: float) -> None:
        """A peer that is alive and has taken all, but does not say that it is done, must not keep this party's results."""
        for link in self._links.values():
            late = time.monotonic() - until
            # What it has not taken yet may be on a slow way; nine times the wait is enough for that.
            if not link.done and late > (9 * self._wait if link.wants_to_write else 0):
                link.fail(
                    PeerLost(
                        link.peer,
                        f"{link.peer} has not said goodbye within {self._wait:g} s; this party has all that it needs.",
                    )
                )

    def _write_patiently(self, link: Link) -> None:
        """Write while the other side takes it: what is left over would wait until this party has time again."""
        stream = select.poll()
        stream.register(link.stream, select.POLLOUT)
        until = (now := time.monotonic()) + _PATIENCE
        end = now + _STEP  # a slow link must not keep the others from their heartbeat
        while link.wants_to_write and now < until:
            if link.write(now):
                until = min(now + _PATIENCE, end)
            else:
                stream.poll(_PATIENCE * 1000)
            now = time.monotonic()

    def _step(self, seconds: float, spin: float = 0.0) -> None:
        """Wait until something can move, at most `seconds`, and move it; look for it for `spin` seconds before sleeping.
        Called with the lock held."""
        watched = select.poll()
        for descriptor, link in self._by_descriptor.items():
            watched.register(descriptor, _interest(link))
            if link.more:
                seconds = spin = 0.0
        if self._doorkeeper:
            self._doorkeeper.watch(watched)
        ready = _poll(watched, seconds, spin)
        now = time.monotonic()
        for descriptor, events in ready:
            if descriptor in self._by_descriptor:
                link = self._by_descriptor[descriptor]
                if events & _GONE:
                    link.broken = True  # otherwise a link that is not read now would be reported again and again
                link.write(now)
                link.read(now)
            elif self._doorkeeper and (arrival := self._doorkeeper.serve(descriptor)):
                turn_away(arrival[1])
        for link in self._links.values():
            if link.more:
                link.read(now)  # what TLS holds already, no poll can see
            link.beat(now)
            if link.closed or link.failure is not None:
                self._by_descriptor = {d: other for d, other in self._by_descriptor.items() if other is not link}

    def _keep(self) -> None:
        while not self._closing:
            self._left_over.wait(_STEP)
            if self._lock.acquire(blocking=False):
                with self._held():
                    if not self._closing:
                        self._step(0)
                    if not any(link.wants_to_write for link in self._links.values()):
                        self._left_over.clear()
            time.sleep(_KEEPER_PAUSE)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._lock.release()

    def _close(self) -> None:
        self._closing = True
        self._left_over.set()
        self._by_descriptor = {}
        for link in self._links.values():
            link.close()
        if self._doorkeeper:
            self._doorkeeper.close()


def _poll(watched: select.poll, seconds: float, spin: float) -> list[tuple[int, int]]:
    # An answer is often under way already. To look for it for a moment costs less than to be put to sleep and woken;
    # other processes may have the core meanwhile.
    until = time.perf_counter() + spin
    while time.perf_counter() < until:
        if ready := watched.poll(0):
            return ready
        os.sched_yield()
    return watched.poll(seconds * 1000)


def _interest(link: Link) -> int:
    return (select.POLLIN if link.wants_to_read else 0) | (select.POLLOUT if link.wants_to_write else 0)


def turn_away(stream: ssl.SSLSocket) -> None:
    """Tell a party that is connected already, in its second connection, and close that."""
    with contextlib.suppress(OSError):
        stream.send(FrameWriter().control(Type.STOP, 0, b"twice"))
    stream.close()
