"""A party that fails at home, before the others are there, tells them; so that nobody waits for it in vain.

Its own error is shown first, at once. Then a feature party dials the label party, and a label party opens its port, until all
have heard one word, as long as `first_wait` says; and only then the command ends, with that error. Nothing but the word leaves.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from parties.checkpoints.folder import FolderInUseError, in_use
from parties.config.contact import read_contact_keys
from parties.config.party import Party
from parties.config.proxy import route_to
from parties.monitoring.events import FAILURE, NOTE, Show, Step, failed_by, telling_step
from parties.network.dialling import Target
from parties.network.identity import PrivateIdentity, PublicIdentity
from parties.network.peer_connections import PartyListener
from parties.network.route import Address, Route
from parties.network.stop_notice import notify_label_party
from parties.network.stop_reasons import reason_of
from parties.run.notice_lock import end_earlier_notice, notice_lock
from vsplit.protocol import StoppedError, VsplitError


@dataclass(frozen=True, slots=True)
class Contact:
    """What a party needs to reach the others: its key, the address, where a label party listens, everybody's identity."""

    name: str
    label_party: str
    identities: Mapping[str, PublicIdentity]
    address: str
    reached: Address
    bind: Address
    route: Route
    first_wait: float
    output: Path | None
    identity: PrivateIdentity = field(repr=False)


def contact_of(party: Party, identity: PrivateIdentity) -> Contact:
    """The contact of a party whose files are as they should be."""
    job = party.job
    return Contact(
        party.name,
        job.label_party,
        {name: job.identity_of(name) for name in job.parties},
        job.address,
        Address(*job.host_and_port),
        Address(*party.bind),
        route_to(*job.host_and_port, party.settings.proxy, str(party.file)),
        party.settings.first_wait,
        party.output,
        identity,
    )


def contact_in(file: Path) -> Contact | None:
    """The same of a party file that is wrong in another key, or whose job is; None where nobody can be reached by them."""
    try:
        keys = read_contact_keys(file)
        route = route_to(*keys.reached, keys.proxy, str(file))
    except VsplitError:
        return None
    if 0 in (keys.reached[1], keys.bind and keys.bind[1]):
        return None
    return Contact(
        keys.name,
        keys.label_party,
        keys.identities,
        keys.address,
        Address(*keys.reached),
        Address(*(keys.bind or keys.reached)),
        route,
        keys.first_wait,
        keys.output,
        keys.identity,
    )


class FirstContact:
    """Whether the others still have to be told where this party fails, and who of them knows already."""

    def __init__(self) -> None:
        self.over = False
        self.told: frozenset[str] = frozenset()

    def end(self) -> None:
        """The parties are connected, or nobody waits for this one: no failure is told from here any more."""
        self.over = True


@contextlib.contextmanager
def notifying_others(contact: Callable[[], Contact | None], show: Show) -> Iterator[FirstContact]:
    """Whatever ends this party's life in here, the others are told of it, until it is over.

    The error goes on its way once they know, or `first_wait` has passed, or a person interrupts the telling. An interruption
    is not told: who has not met anybody may come again.
    """
    first = FirstContact()
    try:
        yield first
    except Exception as error:
        to = None if first.over or isinstance(error, FolderInUseError) else contact()
        if to is not None and (to.output is None or not in_use(to.output)):
            _notify(to, error, first.told, show)
        raise


def end_earlier_start(contact: Contact) -> None:
    """An earlier start of this command that only tells the others of its failure ends now."""
    end_earlier_notice(contact.identity.public, contact.address)


def _notify(contact: Contact, error: Exception, told: frozenset[str], show: Show) -> None:
    names = [contact.label_party]
    cause = error.peer if isinstance(error, StoppedError) else ""
    if contact.name == contact.label_party:
        names = [name for name in contact.identities if name not in {contact.name, cause, *told}]
    if not names:
        return
    show(Step(FAILURE, text=failed_by(error).sentence))
    until = time.monotonic() + contact.first_wait
    at = datetime.now() + timedelta(seconds=contact.first_wait)
    try:
        with notice_lock(contact.identity.public, contact.address) as started_again:

            def go(missing: Sequence[str]) -> bool:
                left = until - time.monotonic()
                if left > 0 and not started_again():
                    show(telling_step(missing, at, left))
                    return True
                return False

            _send(contact, names, error, cause, go)
            if started_again():
                show(Step(NOTE, text="The command was given again, so this start of it tells the others no more."))
    except KeyboardInterrupt:
        show(Step(NOTE, text="Interrupted: the others are told no more."))
    except (VsplitError, OSError) as other:
        show(Step(NOTE, text=f"The others could not be told. {other}"))


def _send(
    contact: Contact, names: list[str], error: Exception, cause: str, go: Callable[[Sequence[str]], bool]
) -> None:
    if contact.name != contact.label_party:
        target = Target(
            contact.identity,
            contact.label_party,
            contact.identities[contact.label_party],
            contact.reached,
            contact.route,
        )
        notify_label_party(target, reason_of(error), go)
        return
    listed = {name: identity for name, identity in contact.identities.items() if name != contact.name}
    listener = PartyListener(contact.identity, contact.bind, listed, contact.first_wait)
    try:
        listener.stop_notice(names, reason_of(error), cause).serve(go)
    finally:
        listener.close()
