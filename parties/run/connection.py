"""Connects to the other parties: the label party listens, and a feature party dials it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from parties.monitoring.events import NOTE, Step, away_step, back_step, waiting_step
from parties.monitoring.monitor import Monitor
from parties.network.peer_connections import PartyListener, Waiting, dial
from parties.network.tls import TlsTransport
from parties.network.transport import Absence, LinkObserver
from parties.run.contact import Contact
from parties.run.failure_notice import FirstContact
from vsplit.protocol import PeerAbsent


class _Links:
    """Passes on what the transport reports, and shows which party is away, since when, and how long this one waits."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def lost(self, peer: str, why: str) -> None:
        self._monitor.lost(peer, why)

    def away(self, absences: Sequence[Absence]) -> None:
        for absence in absences:
            since, until = (datetime.fromtimestamp(seconds) for seconds in (absence.since, absence.until))
            self._monitor.show(away_step(absence.peer, absence.why, since, until, absence.left))

    def back(self, peer: str) -> None:
        self._monitor.back(peer)
        self._monitor.show(back_step(peer))

    def resent(self, peer: str, first: int, last: int, size: int) -> None:
        self._monitor.resent(peer, last - first + 1, size)


def connect(contact: Contact, wait: float, monitor: Monitor, first: FirstContact) -> TlsTransport:
    """Listen for the feature parties, or dial the label party, with a countdown while a party is missing.

    A lost link may be away for `wait` seconds. `monitor` is also called later, from another thread, whenever a link is lost
    and restored. From now on a failure of this party is reported over the links; `first` ends, unless the wait fails.
    """
    links = _Links(monitor)

    def waiting(names: Sequence[str], left: float) -> None:
        monitor.show(waiting_step(names, left))

    first.end()  # a port that cannot be opened reaches no other party
    if contact.is_label:
        transport = _listen(contact, wait, monitor, links, first, waiting)
    else:
        label = contact.label_party
        transport = dial(
            contact.identity,
            label,
            contact.identities[label],
            contact.reached,
            wait=wait,
            first_wait=contact.first_wait,
            waiting=waiting,
            observer=links,
            route=contact.route,
        )
    monitor.connected()
    return transport


def _listen(
    contact: Contact, wait: float, monitor: Monitor, links: LinkObserver, first: FirstContact, waiting: Waiting
) -> TlsTransport:
    listed = {name: identity for name, identity in contact.identities.items() if name != contact.name}
    listener = PartyListener(contact.identity, contact.bind, listed, wait, links, first_wait=contact.first_wait)
    if listener.note:
        monitor.show(Step(NOTE, text=listener.note))
    try:
        return listener.gather(waiting)
    except BaseException as error:
        listener.close()
        # The parties that have not connected yet would dial without an answer. Where they are the reason, the wait may be over.
        first.ended, first.notified = isinstance(error, PeerAbsent), frozenset(listener.notified)
        raise
