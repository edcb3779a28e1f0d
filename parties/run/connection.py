"""From a party's files to its links with the others: connect, greet, count the meeting, agree on keys for sealed hops.

When this has gone well, all parties do the same thing for the same job, and nothing about a record has left.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from parties.config.digests import Purpose, handshake_digests
from parties.config.party import Party
from parties.config.proxy import route_to
from parties.monitoring.events import NOTE, Event, Step, away_step, back_step, waiting_step
from parties.network.identity import PrivateIdentity
from parties.network.peer_connections import PartyListener, dial
from parties.network.route import Address
from parties.network.tls import TlsTransport
from parties.network.transport import Absence
from parties.run.failure_notice import FirstContact
from parties.run.handshake import handshake_as_feature, handshake_as_label
from parties.run.quotas import count_run
from vsplit.protocol import PeerAbsent, Role
from vsplit.sealing import Credentials, Seal, exchange_keys, relay_key_exchange

Run = Callable[[Role[Any]], Any]


class Observer(Protocol):
    """Who is told what happens to the links, beside the people at home; such as `parties.monitoring.monitor.Monitor`."""

    def show(self, event: Event) -> None:
        """An event for the people at home."""

    def met(self) -> None:
        """All parties are here."""

    def lost(self, peer: str, why: str) -> None:
        """A link broke, and is being made again."""

    def back(self, peer: str) -> None:
        """A link that was lost is there again."""

    def resent(self, peer: str, messages: int, size: int) -> None:
        """Messages of `size` bytes together go again over a link that was made again."""


class _Links:
    """Passes on what the transport tells, and shows who is away, since when and until when this party waits."""

    def __init__(self, onlooker: Observer) -> None:
        self._onlooker = onlooker

    def lost(self, peer: str, why: str) -> None:
        self._onlooker.lost(peer, why)

    def away(self, absences: Sequence[Absence]) -> None:
        for absence in absences:
            since, until = (datetime.fromtimestamp(seconds) for seconds in (absence.since, absence.until))
            self._onlooker.show(away_step(absence.peer, absence.why, since, until, absence.left))

    def back(self, peer: str) -> None:
        self._onlooker.back(peer)
        self._onlooker.show(back_step(peer))

    def resent(self, peer: str, first: int, last: int, size: int) -> None:
        self._onlooker.resent(peer, last - first + 1, size)


def connect(party: Party, identity: PrivateIdentity, onlooker: Observer, first: FirstContact) -> TlsTransport:
    """Listen for the feature parties, or dial the label party, with a countdown while somebody is missing.

    `onlooker` is told later, too, from another thread, whenever a link is lost and made again. `first` ends where no failure
    from now on has to be told otherwise than over the links.
    """
    job, links = party.job, _Links(onlooker)
    wait, first_wait = party.settings.wait, party.settings.first_wait

    def waiting(names: Sequence[str], left: float) -> None:
        onlooker.show(waiting_step(names, left))

    if party.role == "label":
        listed = {name: job.identity_of(name) for name in job.feature_parties}
        first.end()  # a port that cannot be opened tells nobody
        listener = PartyListener(identity, Address(*party.bind), listed, wait, links, first_wait=first_wait)
        if listener.note:
            onlooker.show(Step(NOTE, text=listener.note))
        try:
            transport = listener.gather(waiting)
        except BaseException as error:
            listener.close()
            # Those who have not come yet would dial in vain; but for them, the wait may be over.
            first.over, first.told = isinstance(error, PeerAbsent), frozenset(listener.notified)
            raise
    else:
        first.end()
        label, address = job.label_party, Address(*job.host_and_port)
        identity_there = job.identity_of(label)
        route = route_to(*job.host_and_port, party.settings.proxy, str(party.file))
        transport = dial(
            identity,
            label,
            identity_there,
            address,
            wait=wait,
            first_wait=first_wait,
            waiting=waiting,
            observer=links,
            route=route,
        )
    onlooker.met()
    return transport


def begin_session(
    party: Party, identity: PrivateIdentity, purpose: Purpose, session: bytes, run: Run
) -> Mapping[str, Seal]:
    """Greet the others, count this meeting with each of them, and return the seals to other feature parties.

    `session` is what the transport names the session. Raises what `exchange_handshakes` and `count_run` do.
    """
    exchange_handshakes(party, purpose, run)
    count_run(party, purpose, datetime.now(UTC))
    return agree_on_seals(party, identity, purpose, session, run)


def exchange_handshakes(party: Party, purpose: Purpose, run: Run) -> None:
    """Greet the others. Raises MismatchError where another party gives another command or has another job."""
    job, digests = party.job, handshake_digests(party.job, purpose)
    if party.role == "label":
        run(handshake_as_label(party.name, job.feature_parties, digests))
    else:
        run(handshake_as_feature(party.name, job.label_party, digests))


def agree_on_seals(
    party: Party, identity: PrivateIdentity, purpose: Purpose, session: bytes, run: Run
) -> Mapping[str, Seal]:
    """The seals to other feature parties.

    The label party, which only introduces feature parties to each other, has none, and where there is one feature party
    there is nothing to seal.
    """
    job = party.job
    if len(job.feature_parties) == 1:
        return {}
    if party.role == "label":
        run(relay_key_exchange(job.feature_parties))
        return {}
    identities = {name: job.identity_of(name).key for name in job.feature_parties}
    digest = _one_digest(handshake_digests(job, purpose))
    mine = Credentials(party.name, identity.sign, identities, digest, session)
    seals: dict[str, Seal] = run(exchange_keys(job.label_party, mine, os.urandom))
    return seals


def _one_digest(digests: Mapping[str, bytes]) -> bytes:
    """32 bytes that stand for the command and the job: SHA-256 over the names and digests of all keys."""
    return hashlib.sha256(b"".join(key.encode() + b"\0" + digest for key, digest in digests.items())).digest()
