"""The network transport: TLS 1.3, one link per other party, with the label party at the centre of the star.

A thread that calls `send` or `receive` moves the bytes itself, so that no message waits for another thread. While the party
computes, a keeper thread without any protocol state writes what is left, reads what comes into bounded queues, and sends the
heartbeats. The `reconnector` re-establishes a lost link, in whichever of the two threads has time, while the party continues as
far as its queues allow. A peer that does not come back within `wait` is given up.
"""

from __future__ import annotations

import contextlib
import select
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from parties.network.link import Link
from parties.network.link_poll import LinkPoll
from parties.network.reconnector import Reconnector
from parties.network.transport import Absence, LinkObserver, LinkObservers, checked_length, given_up
from vsplit.protocol import Bytes, PeerLost, ProtocolError, VsplitError

_STEP = 0.25  # seconds between two looks at the clock
_KEEPER_PAUSE = 0.003  # leaves the lock to the party between two steps of the keeper
_PATIENCE = 0.002  # seconds that a sender waits for a stream that takes no more
_SPIN = 0.005  # seconds that a receiver looks for an answer, or for more of a message, before it sleeps
_SPINS = 32  # times that it does so for one message, so that a message that comes byte by byte does not keep the machine busy
_SERVE = 0.05  # seconds between two turns of a reconnector that does not ask for one
_REPORT = 1.0  # seconds between two reports to the observers about the same absence
# Seconds that a party which has all that it needs waits for a peer that has, too, and whose link was lost while closing.
_LINGER = 2.0


class TlsTransport:
    """The transport of one party; `dial` and `PartyListener.gather` (in `parties.network.peer_connections`) make it.

    `links` are by the other party's name. `wait` is the seconds that a peer may be away; `observers` are those of the links.
    """

    def __init__(
        self, links: Mapping[str, Link], wait: float, reconnector: Reconnector, observers: LinkObservers
    ) -> None:
        self._links = dict(links)
        self._wait = wait
        self._reconnector = reconnector
        self._observers = observers
        self._poll = LinkPoll(self._links.values(), reconnector)
        self._reported = 0.0  # when absences were last reported to the observers
        self._served = 0.0  # when the reconnector last had its turn
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
        """How often the link to each peer was re-established."""
        return {name: link.retries for name, link in self._links.items()}

    def add_observer(self, observer: LinkObserver) -> None:
        """Report the events of the links to `observer` too from now on."""
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
                while (data := link.receive_queue.take()) is None:
                    self._raise_failure()
                    if link.done:
                        raise ProtocolError(
                            sender, f"{sender} ended the session before this party had all that it needs."
                        )
                    self._step(_STEP, _SPIN if spins == _SPINS or (spins > 0 and link.receive_queue.arriving) else 0.0)
                    spins -= 1
            finally:
                link.expect(0)
        return checked_length(sender, data, limit)

    def finish(self) -> list[VsplitError]:
        with self._lock:
            for link in self._links.values():
                link.send_done()
                link.write(time.monotonic())
            self._refuse_unasked()
            until = time.monotonic() + self._wait
            while any(link.failure is None and not link.finished for link in self._links.values()):
                self._step(_STEP)
                self._refuse_unasked()
                self._give_up_late_peers(until)
            failures = [link.failure for link in self._links.values() if link.failure is not None]
            self._close()
        return failures

    def stop(self, reason: str) -> None:
        with self._lock:
            if self._closing:
                return
            for link in self._links.values():
                link.stop(reason)
            # A peer that reads gets the reason within this second; one that does not must not delay this party.
            until = time.monotonic() + 1.0
            while any(link.wants_to_write for link in self._links.values()) and (now := time.monotonic()) < until:
                # Nothing is read any more, and no link is re-established: a peer that has the reason closes it.
                for link in self._links.values():
                    link.write(now)
                time.sleep(_KEEPER_PAUSE)
            self._close()

    def _raise_failure(self) -> None:
        if self._observers.failure is not None:
            raise self._observers.failure
        failures = [link.failure for link in self._links.values() if link.failure is not None]
        if failures:
            # The reason that a peer sent is more useful to a person than a link that broke because of it.
            raise min(failures, key=lambda error: isinstance(error, PeerLost))

    def _wait_for_room(self, link: Link) -> None:
        link.waits_for_room = True
        try:
            while link.full:
                self._raise_failure()
                self._step(_STEP)
        finally:
            link.waits_for_room = False

    def _refuse_unasked(self) -> None:
        for link in self._links.values():
            if link.receive_queue.unasked:
                link.fail(ProtocolError(link.peer, f"{link.peer} sent a message that no role of this party asked for."))

    def _give_up_late_peers(self, until: float) -> None:
        """A peer that is connected and has taken all, but does not close the session, must not delay this party's results."""
        late = time.monotonic() - until
        for link in self._links.values():
            # What it has not taken yet may be on a slow connection; nine times the wait is enough for that.
            if not link.finished and late > (9 * self._wait if link.wants_to_write or link.lost else 0):
                sentence = (
                    f"{link.peer} did not close the session within {self._wait:g} s; this party has all that it needs."
                )
                link.fail(PeerLost(link.peer, sentence))

    def _write_patiently(self, link: Link) -> None:
        """Write while the other side takes bytes: what is left would wait until this party has time again."""
        link.write(now := time.monotonic())
        if not link.wants_to_write or link.stream is None:
            return
        stream = select.poll()
        stream.register(link.stream, select.POLLOUT)
        until = now + _PATIENCE
        end = now + _STEP  # a slow link must not delay the heartbeats of the others
        while link.wants_to_write and now < until:
            if link.write(now):
                until = min(now + _PATIENCE, end)
            else:
                stream.poll(_PATIENCE * 1000)
            now = time.monotonic()

    def _step(self, seconds: float, spin: float = 0.0) -> None:
        """Wait until something can move, at most `seconds`, and move it; the first `spin` seconds without sleeping.
        Called with the lock held."""
        ready, serve = self._poll.wait(seconds, spin)
        now = time.monotonic()
        for link in ready:
            link.write(now)
            link.read(now)
        if serve or now - self._served >= _SERVE:
            self._served = now
            self._reconnector.serve(self._links, now)
        for link in self._links.values():
            if link.more:
                link.read(now)  # what TLS holds already is invisible to poll
            link.beat(now)
            if link.lost is not None:
                self._check_absences(now)

    def _check_absences(self, now: float) -> None:
        """Some links are lost: give up those that have been for too long, and report the others to the observers."""
        away = []
        for link in self._links.values():
            loss = link.lost
            if loss is None or link.failure is not None or link.finished:
                continue
            left = loss.since + self._wait - now
            if link.done:
                # The peer has all that it needs. It is released after a moment in which it may still fetch this side's DONE.
                link.closed = link.finishing and now - loss.since > min(_LINGER, self._wait)
            elif left < 0:
                link.fail(given_up(link.peer, loss, self._wait, self._reconnector.tried))
            else:
                away.append(Absence(link.peer, loss.how, loss.at, loss.at + self._wait, left))
        if away and now - self._reported >= _REPORT:
            self._reported = now
            self._observers.away(away)

    def _keep(self) -> None:
        while not self._closing:
            self._left_over.wait(_STEP)
            if self._lock.acquire(blocking=False):
                with self._releasing_lock():
                    if not self._closing:
                        self._step(0)
                    if not any(link.wants_to_write for link in self._links.values()):
                        self._left_over.clear()
            time.sleep(_KEEPER_PAUSE)

    @contextlib.contextmanager
    def _releasing_lock(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._lock.release()

    def _close(self) -> None:
        self._closing = True
        self._left_over.set()
        # A thread that is still running at the end of the program may be the one that frees a tensor, on which torch aborts.
        self._keeper.join()
        for link in self._links.values():
            link.close()
        self._reconnector.close()
