"""What a party needs to connect to the other parties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from parties.config.contact import read_contact_keys
from parties.config.party import Party
from parties.config.proxy import route_to
from parties.network.identity import PrivateIdentity, PublicIdentity
from parties.network.route import Address, Route
from vsplit.protocol import VsplitError


@dataclass(frozen=True, slots=True)
class Contact:
    """This party's key, the job's address, where a label party listens, and the identities of all parties."""

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

    @property
    def is_label(self) -> bool:
        """Whether this party is the label party, which listens."""
        return self.name == self.label_party


def contact_of(party: Party, identity: PrivateIdentity) -> Contact:
    """The contact of a party whose files are valid."""
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
    """The contact in a party file that is wrong in another key, or whose job is; None where its keys reach no party."""
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
