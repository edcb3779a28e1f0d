"""Who comes to the label party: into the session that begins, to a link that is lost, or as one too many."""

from __future__ import annotations

import hmac

from parties.network.frames import Type
from parties.network.link import BEAT, Link
from parties.network.listener import Arrival, Listener, answer, turn_away
from parties.network.transport import LinkObservers, StartedAgain, stopped
from vsplit.protocol import StoppedError, VsplitError


class Admission:
    """Sees to those who have proved at the door which party they are; `session` is what this process calls the session.

    While it is `gathering`, a process that has just started is welcome; afterwards it ends the session of those who knew
    the process before it, if that is gone. A party whose link is there waits as a caller until the link has shown
    that it is alive, or is lost. A process that comes again because it did not hear its welcome goes on with its link.
    One that failed before it could join ends the gathering, or the session of a party whose link is lost.
    """

    def __init__(self, listener: Listener, session: bytes, observers: LinkObservers | None = None) -> None:
        self.tried = ""
        self.gathering = True
        self.failure: VsplitError | None = None  # a party that has no link will not come
        self._session = session
        self._listener = listener
        self._observers = observers
        self._processes: dict[str, bytes] = {}  # what each party's process called itself when its link began
        self._callers: dict[str, tuple[Arrival, float]] = {}

    def fileno(self) -> int:
        """Ready to be read when `serve` has something to do."""
        return self._listener.wakeup.fileno()

    def serve(self, links: dict[str, Link], now: float) -> None:
        """See to all who have come. While parties are gathered, `links` has those who are here."""
        for arrival in self._listener.fetch():
            link = links.get(arrival.name)
            if arrival.opening.type is Type.RESUME:
                self._resume(arrival, link, now)
            elif (
                arrival.opening.type is Type.JOIN and link and arrival.opening.session == self._processes[arrival.name]
            ):
                self._welcome_again(arrival, link, now)
            else:
                self._keep(arrival, now)
        for arrival, since in list(self._callers.values()):
            link = links.get(arrival.name)
            if link is None or link.lost is not None or link.closed:
                del self._callers[arrival.name]
                self._take(arrival, links, now)
            elif link.heard > since + 3 * BEAT:  # so this cannot have been on its way when the caller came
                del self._callers[arrival.name]
                turn_away(arrival.stream, "twice")

    def close(self) -> None:
        """Close the port, and send everybody away."""
        for arrival, _ in self._callers.values():
            turn_away(arrival.stream, "again")
        self._callers.clear()
        self._listener.close()

    def _resume(self, arrival: Arrival, link: Link | None, now: float) -> None:
        if link is None or not hmac.compare_digest(arrival.opening.session, self._session):
            turn_away(arrival.stream, "again")  # it knows a session of which this process knows nothing
        elif link.failure is not None or link.closed or arrival.opening.acknowledged < link.acknowledged:
            # What a party has received never becomes less. So a call that tells less was long on its way, and the party has
            # called again since: the network may have held it back, on purpose or not.
            arrival.stream.close()
        else:
            link.connect(arrival.stream, arrival.opening.acknowledged, now, answer=True)

    def _welcome_again(self, arrival: Arrival, link: Link, now: float) -> None:
        """The process that has this link has said once more that it just started."""
        link.read(now)  # what came on the connection before this one was said before it
        if link.known or link.failure is not None or link.closed:
            # It has heard the welcome since. So this was long on its way: the network may have held it back, on purpose or not.
            arrival.stream.close()
        elif self._welcome(arrival):
            link.connect(arrival.stream, 0, now, answer=False)

    def _keep(self, arrival: Arrival, now: float) -> None:
        older, since = self._callers.pop(arrival.name, (None, now))
        if older is not None and older.opening.session == arrival.opening.session:
            older.stream.close()
        elif older is not None and arrival.opening.type is Type.STOP:
            turn_away(arrival.stream, "twice")  # one that could join waits, and must not go for one that cannot
            arrival = older
        elif older is not None:
            turn_away(older.stream, "twice")
            since = now
        self._callers[arrival.name] = (arrival, since)

    def _take(self, arrival: Arrival, links: dict[str, Link], now: float) -> None:
        """The arrival has just started, and its party has no link that is alive."""
        if arrival.opening.type is Type.STOP:
            self._hear_failure(arrival, links.get(arrival.name))
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

    def _hear_failure(self, arrival: Arrival, link: Link | None) -> None:
        """A process that failed before it could join says so, and its party has no link that is alive."""
        error = stopped(arrival.name, arrival.opening.word.decode("ascii", "replace"), begun=not self.gathering)
        if link is None:
            self.failure = self.failure or error
        elif not link.done:
            link.fail(error)
        turn_away(arrival.stream, StoppedError.word)

    def _welcome(self, arrival: Arrival) -> bool:
        try:
            answer(arrival.stream, Type.WELCOME, self._session)
        except OSError:
            arrival.stream.close()
            return False
        return True
