"""What becomes of an authenticated connection at the label party: it joins, resumes a lost link, or is turned away."""

from __future__ import annotations

import hmac

from parties.network.authentication import answer, turn_away
from parties.network.frames import Type
from parties.network.heartbeat import BEAT
from parties.network.link import Link
from parties.network.listener import Arrival, Listener
from parties.network.stop_reasons import StartedAgain, stopped
from parties.network.transport import LinkObservers
from vsplit.protocol import StoppedError, VsplitError


class Admission:
    """Handles the connections that the listener has authenticated; `session` is the name of this process's session.

    While `gathering`, a process that has just started may join. Afterwards it means that its party was started again, which
    ends the session if the link of the earlier process is lost. Where the party still has a link, the new connection waits as a
    caller until the link has received something, or is lost. A process that connects again because its WELCOME was lost
    continues with its link. One that failed before it could join ends the gathering, or the session if its link is lost.
    """

    def __init__(self, listener: Listener, session: bytes, observers: LinkObservers | None = None) -> None:
        self.tried = ""
        self.gathering = True
        self.failure: VsplitError | None = None  # a party without a link has failed and will not join
        self._session = session
        self._listener = listener
        self._observers = observers
        self._processes: dict[str, bytes] = {}  # the random bytes in the JOIN of each party's process
        self._callers: dict[str, tuple[Arrival, float]] = {}

    def fileno(self) -> int:
        """A descriptor that can be read when `serve` has something to do."""
        return self._listener.wakeup.fileno()

    def serve(self, links: dict[str, Link], now: float) -> None:
        """Handle all arrivals. While parties are gathered, `links` has those that have joined."""
        for arrival in self._listener.fetch():
            link = links.get(arrival.name)
            if arrival.opening.type is Type.RESUME:
                self._resume(arrival, link, now)
            elif (
                arrival.opening.type is Type.JOIN and link and arrival.opening.session == self._processes[arrival.name]
            ):
                self._welcome_again(arrival, link, now)
            else:
                self._hold(arrival, now)
        for arrival, since in list(self._callers.values()):
            link = links.get(arrival.name)
            if link is None or link.lost is not None or link.closed:
                del self._callers[arrival.name]
                self._take(arrival, links, now)
            elif link.heartbeat.received > since + 3 * BEAT:  # too late to have been in transit when the caller came
                del self._callers[arrival.name]
                turn_away(arrival.stream, "twice")

    def close(self) -> None:
        """Close the port, and turn all callers away."""
        for arrival, _ in self._callers.values():
            turn_away(arrival.stream, "again")
        self._callers.clear()
        self._listener.close()

    def _resume(self, arrival: Arrival, link: Link | None, now: float) -> None:
        if link is None or not hmac.compare_digest(arrival.opening.session, self._session):
            turn_away(arrival.stream, "again")  # a session that this process does not know
        elif link.failure is not None or link.closed or arrival.opening.acknowledged < link.send_queue.acknowledged:
            # What a party has received never becomes less. So a call with a lower number was delayed by the network, on purpose
            # or not, and the party has called again since.
            arrival.stream.close()
        else:
            link.connect(arrival.stream, arrival.opening.acknowledged, now, answer=True)

    def _welcome_again(self, arrival: Arrival, link: Link, now: float) -> None:
        """The process that has this link has sent its JOIN once more."""
        link.read(now)  # what came on the connection before this one was sent before it
        if link.known or link.failure is not None or link.closed:
            # It has received the WELCOME since. So this call was delayed by the network, on purpose or not.
            arrival.stream.close()
        elif self._welcome(arrival):
            link.connect(arrival.stream, 0, now, answer=False)

    def _hold(self, arrival: Arrival, now: float) -> None:
        older, since = self._callers.pop(arrival.name, (None, now))
        if older is not None and older.opening.session == arrival.opening.session:
            older.stream.close()
        elif older is not None and arrival.opening.type is Type.STOP:
            turn_away(arrival.stream, "twice")  # a caller that can join must not give way to one that cannot
            arrival = older
        elif older is not None:
            turn_away(older.stream, "twice")
            since = now
        self._callers[arrival.name] = (arrival, since)

    def _take(self, arrival: Arrival, links: dict[str, Link], now: float) -> None:
        """The arrival has just started, and its party has no link, or a lost one."""
        if arrival.opening.type is Type.STOP:
            self._handle_failure(arrival, links.get(arrival.name))
            return
        if not self.gathering:
            link = links[arrival.name]
            if not link.done:  # otherwise the session has all that it needs of that party
                link.fail(StartedAgain(link.peer))
            turn_away(arrival.stream, "again")
            return
        if self._welcome(arrival):
            self._processes[arrival.name] = arrival.opening.session
            links[arrival.name] = Link(arrival.name, arrival.stream, self._session, now, self._observers)

    def _handle_failure(self, arrival: Arrival, link: Link | None) -> None:
        """A process failed before it could join, and its party has no link, or a lost one."""
        error = stopped(arrival.name, arrival.opening.reason.decode("ascii", "replace"), begun=not self.gathering)
        if link is None:
            self.failure = self.failure or error
        elif not link.done:
            link.fail(error)
        turn_away(arrival.stream, StoppedError.reason_code)

    def _welcome(self, arrival: Arrival) -> bool:
        try:
            answer(arrival.stream, Type.WELCOME, self._session)
        except OSError:
            arrival.stream.close()
            return False
        return True
