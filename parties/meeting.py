"""From a party's files to its links with the others: connect, greet, count the meeting, agree on keys for sealed hops.

When this has gone well, all parties do the same thing for the same job, and nothing about a record has left.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from parties.config.digests import Purpose, meeting_digests
from parties.config.party import Party
from parties.events import Show, waiting_step
from parties.greeting import greet_features, greet_label
from parties.identity import PrivateIdentity
from parties.network.sockets import Address, Listener, dial
from parties.network.tls import TlsTransport
from parties.partners import count_meeting
from vsplit.protocol import Role, VsplitError
from vsplit.sealing import Credentials, Seal, introduce, meet

Run = Callable[[Role[Any]], Any]


def connect(party: Party, identity: PrivateIdentity, show: Show) -> TlsTransport:
    """Listen for the feature parties, or dial the label party, with a countdown while somebody is missing."""
    job, wait = party.job, party.settings.wait

    def waiting(names: Sequence[str], left: float) -> None:
        show(waiting_step(names, left))

    if party.role == "label":
        listed = {name: job.identity_of(name) for name in job.feature_parties}
        listener = Listener(identity, Address(*party.bind), listed, wait)
        try:
            return listener.gather(waiting)
        except BaseException:
            listener.close()
            raise
    address = Address(*job.host_and_port)
    return dial(identity, job.label_party, job.identity_of(job.label_party), address, wait=wait, waiting=waiting)


def join(party: Party, identity: PrivateIdentity, purpose: Purpose, session: bytes, run: Run) -> Mapping[str, Seal]:
    """Greet the others, count this meeting with each of them, and return the seals to other feature parties.

    `session` is what the transport names the session. The label party, which only introduces feature parties to each
    other, has no seals, and where there is one feature party there is nothing to seal. Raises MismatchError where
    another party gives another command or has another job, RefusedError where there were too many meetings.
    """
    job, digests = party.job, meeting_digests(party.job, purpose)
    if party.role == "label":
        run(greet_features(party.name, job.feature_parties, digests))
    else:
        run(greet_label(party.name, job.label_party, digests))
    count_meeting(party, purpose, datetime.now(UTC))
    if len(job.feature_parties) == 1:
        return {}
    if party.role == "label":
        run(introduce(job.feature_parties))
        return {}
    identities = {name: job.identity_of(name).key for name in job.feature_parties}
    mine = Credentials(party.name, identity.sign, identities, _one_digest(digests), session)
    seals: dict[str, Seal] = run(meet(job.label_party, mine, os.urandom))
    return seals


def stop_word(error: BaseException) -> str:
    """The one word that the others are told of what ended this party's life."""
    if isinstance(error, VsplitError):
        return error.word
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "error"


def _one_digest(digests: Mapping[str, bytes]) -> bytes:
    """32 bytes that stand for the command and the job: SHA-256 over the names and digests of all keys."""
    return hashlib.sha256(b"".join(key.encode() + b"\0" + digest for key, digest in digests.items())).digest()
