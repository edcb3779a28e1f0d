"""The network transport: TLS 1.3, one link per other party, the label party in the middle of the star.

Whoever calls `send` or `receive` moves the bytes itself, so that no message waits for another thread; while the party
computes, a keeper thread that holds no protocol state writes what is left, reads what comes into bounded queues, and
keeps the heartbeat. A link that is lost is made again by the `gate`, in whichever of the two threads has time, while
the party goes on as far as its queues reach; a peer that does not come back within `wait` is given up.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from parties.network.link import Link
from parties.network.transport import Absence, LinkObserver, LinkObservers, checked_length, given_up
from vsplit.protocol import Bytes, PeerLost, ProtocolError, VsplitError

_STEP = 0.25  # seconds between two looks at the clock
_KEEPER_PAUSE = 0.003  # leaves the lock to the party between two steps of the keeper
_PATIENCE = 0.002  # how long a sender waits for a stream that takes no more
_SPIN = 0.005  # how long a receiver looks for an answer, or for more of a message, before it sleeps
_SPINS = 32  # times that it does so for one message, so that one that trickles in does not keep this machine busy
_SERVE = 0.05  # seconds between two turns of a gate that does not ask for one
_TELL = 1.0  # seconds between two calls of the observer about the same absence
# How long a party that has all that it needs waits for a peer that has, too, and whose link was lost at the farewell.
_LINGER = 2.0
_GONE = select.POLLHUP | select.POLLERR
_LEAVING = getattr(select, "POLLRDHUP", 0)  # Linux tells of a close although what came before it has not been read


class Gate(Protocol):
    """How a link that was lost is made again."""

    tried: str  # what went wrong in the last attempt, for the error about a peer that is given up; may be empty

    def fileno(self) -> int:
        """A descriptor that can be read when `serve` has something to do."""

    def serve(self, links: dict[str, Link], now: float) -> None:
        """Go on with it, without blocking."""

    def close(self) -> None:
        """No link will be made again."""


class TlsTransport:
    """The transport of one party; `dial` and `Listener.gather` (both in `parties.network.peer_connections`) make it.

    `links` are by the other party's name. `wait` is how many seconds a peer may be away; `observers` are those of the links.
    """

    def __init__(self, links: Mapping[str, Link], wait: float, gate: Gate, observers: LinkObservers) -> None:
        self._links = dict(links)
        self._wait = wait
        self._gate = gate
        self._observers = observers
        self._told = 0.0  # when the observers were last told who is away
        self._served = 0.0  # when the gate last had its turn
        self._watch([])
        self._lock = threading.Lock()
        self._closing = False
        self._left_over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="vsplit-keeper", daemon=True)
        self._keeper.start()

    @property
    def session(self) -> bytes:
        """The 16 bytes that name this session."""
        return next(iter(self._links.values())).session

    @property
    def retries(self) -> Mapping[str, int]:
        """How often the link to each peer was made again."""
        return {name: link.retries for name, link in self._links.items()}

    def add_observer(self, observer: LinkObserver) -> None:
        """From now on, tell `observer` too what happens to the links."""
        with self._lock:
            self._observers.all.append(observer)

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
            spins = _SPINS
            try:
                while (data := link.take()) is None:
                    self._raise_failure()
                    if link.done:
                        raise ProtocolError(
                            sender, f"{sender} ended the session before this party had all that it needs."
                        )
                    self._step(_STEP, _SPIN if spins == _SPINS or (spins > 0 and link.arriving) else 0.0)
                    spins -= 1
            finally:
                link.expect(0)
        return checked_length(sender, data, limit)

    def finish(self) -> list[VsplitError]:
        with self._lock:
            for link in self._links.values():
                link.say_done()
                link.write(time.monotonic())
            self._refuse_unasked()
            until = time.monotonic() + self._wait
            while any(link.failure is None and not link.finished for link in self._links.values()):
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
                # Nothing is read any more, and no link is made again: a peer that has heard the word closes it.
                for link in self._links.values():
                    link.write(now)
                time.sleep(_KEEPER_PAUSE)
            self._close()

    def _raise_failure(self) -> None:
        if self._observers.failure is not None:
            raise self._observers.failure
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
            if not link.finished and late > (9 * self._wait if link.wants_to_write or link.lost else 0):
                link.fail(
                    PeerLost(
                        link.peer,
                        f"{link.peer} has not said goodbye within {self._wait:g} s; this party has all that it needs.",
                    )
                )

    def _write_patiently(self, link: Link) -> None:
        """Write while the other side takes it: what is left over would wait until this party has time again."""
        link.write(now := time.monotonic())
        if not link.wants_to_write or link.stream is None:
            return
        stream = select.poll()
        stream.register(link.stream, select.POLLOUT)
        until = now + _PATIENCE
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
        watched = [
            (link.descriptor, _interest(link), link)
            for link in self._links.values()
            if link.descriptor >= 0 and link.failure is None
        ]
        if watched != self._watched:
            self._watch(watched)
        if any(link.more for _, _, link in watched):
            seconds = spin = 0.0
        ready = _poll(self._poll, seconds, spin)
        now = time.monotonic()
        serve = now - self._served >= _SERVE
        for descriptor, events in ready:
            moved = self._by_descriptor.get(descriptor)
            if moved is None:
                serve = True  # it is the gate's
                continue
            if events & (_GONE | _LEAVING):
                moved.broken = True  # otherwise a link that is not read now would be reported again and again
            moved.write(now)
            moved.read(now)
        if serve:
            self._served = now
            self._gate.serve(self._links, now)
        for link in self._links.values():
            if link.more:
                link.read(now)  # what TLS holds already, no poll can see
            link.beat(now)
            if link.lost is not None:
                self._miss(now)

    def _watch(self, watched: list[tuple[int, int, Link]]) -> None:
        """Poll for these from now on: descriptor, events, link."""
        self._watched = watched
        self._by_descriptor = {descriptor: link for descriptor, _, link in watched}
        self._poll = select.poll()
        self._poll.register(self._gate, select.POLLIN)
        for descriptor, events, _ in watched:
            self._poll.register(descriptor, events)

    def _miss(self, now: float) -> None:
        """Some links are lost: give up those that have been for too long, and tell the observer of the others."""
        away = []
        for link in self._links.values():
            loss = link.lost
            if loss is None or link.failure is not None or link.finished:
                continue
            left = loss.since + self._wait - now
            if link.done:
                # It has all that it needs. So it is let go, but for a word that it may still want to hear.
                link.closed = link.saying_done and now - loss.since > min(_LINGER, self._wait)
            elif left < 0:
                link.fail(given_up(link.peer, loss.how, self._wait, self._gate.tried))
            else:
                away.append(Absence(link.peer, loss.how, loss.at, loss.at + self._wait, left))
        if away and now - self._told >= _TELL:
            self._told = now
            self._observers.away(away)

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
        # A thread that outlives the program's end may be the one that frees a tensor then, on which torch aborts.
        self._keeper.join()
        for link in self._links.values():
            link.close()
        self._gate.close()


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
    write = select.POLLOUT if link.wants_to_write else 0
    return write | (select.POLLIN if link.wants_to_read else _LEAVING)
