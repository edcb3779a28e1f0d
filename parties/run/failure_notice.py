"""Notifies the other parties when this party fails before it is connected to them, so that they do not wait for it.

This party's error is shown first, at once. Then a feature party dials the label party, or the label party opens its port,
until every other party has received the reason code or `first_wait` has passed. After that the command ends with the error.
Nothing but the reason code leaves.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from parties.checkpoints.folder_lock import FolderInUseError, in_use
from parties.monitoring.events import FAILURE, NOTE, Show, Step, failed_by, notifying_step
from parties.network.dialling import Target
from parties.network.peer_connections import PartyListener
from parties.network.stop_notice import notify_label_party
from parties.network.stop_reasons import reason_of
from parties.run.contact import Contact
from parties.run.notice_lock import end_earlier_notice, notice_lock
from vsplit.protocol import StoppedError, VsplitError


class FirstContact:
    """Whether a failure of this party is still to be reported from here, and which parties know of it already."""

    def __init__(self) -> None:
        self.ended = False
        self.notified: frozenset[str] = frozenset()

    def end(self) -> None:
        """The parties are connected, or no party waits for this one: from now on no failure is reported from here."""
        self.ended = True


@contextlib.contextmanager
def notifying_others(contact: Callable[[], Contact | None], show: Show) -> Iterator[FirstContact]:
    """Notify the other parties of any error inside, until `FirstContact.end` is called.

    The error is raised again once they know of it, `first_wait` has passed, or the operator interrupts this. An interruption
    is not reported: a party that has not connected yet may start again.
    """
    first = FirstContact()
    try:
        yield first
    except Exception as error:
        to = None if first.ended or isinstance(error, FolderInUseError) else contact()
        if to is not None and (to.output is None or not in_use(to.output)):
            _notify(to, error, first.notified, show)
        raise


def end_earlier_start(contact: Contact) -> None:
    """End an earlier start of this command that does nothing but notify the other parties of its failure."""
    end_earlier_notice(contact.identity.public, contact.address)


def _notify(contact: Contact, error: Exception, notified: frozenset[str], show: Show) -> None:
    names = [contact.label_party]
    cause = error.peer if isinstance(error, StoppedError) else ""
    if contact.is_label:
        names = [name for name in contact.identities if name not in {contact.name, cause, *notified}]
    if not names:
        return
    show(Step(FAILURE, text=failed_by(error).sentence))
    until = time.monotonic() + contact.first_wait
    at = datetime.now() + timedelta(seconds=contact.first_wait)
    try:
        with notice_lock(contact.identity.public, contact.address) as started_again:

            def proceed(missing: Sequence[str]) -> bool:
                left = until - time.monotonic()
                if left > 0 and not started_again():
                    show(notifying_step(missing, at, left))
                    return True
                return False

            _send(contact, names, error, cause, proceed)
            if started_again():
                show(Step(NOTE, text="The command was started again, so this start stops notifying the other parties."))
    except KeyboardInterrupt:
        show(Step(NOTE, text="Interrupted: the other parties are no longer notified."))
    except (VsplitError, OSError) as other:
        show(Step(NOTE, text=f"The other parties could not be notified. {other}"))


def _send(
    contact: Contact, names: list[str], error: Exception, cause: str, proceed: Callable[[Sequence[str]], bool]
) -> None:
    if not contact.is_label:
        target = Target(
            contact.identity,
            contact.label_party,
            contact.identities[contact.label_party],
            contact.reached,
            contact.route,
        )
        notify_label_party(target, reason_of(error), proceed)
        return
    listed = {name: identity for name, identity in contact.identities.items() if name != contact.name}
    listener = PartyListener(contact.identity, contact.bind, listed, contact.first_wait)
    try:
        listener.stop_notice(names, reason_of(error), cause).serve(proceed)
    finally:
        listener.close()
