"""The keys of a party file and its job that are needed to reach the other parties, whatever else is wrong in the two files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from parties.config.errors import validate
from parties.config.fields import (
    AUTO,
    Address,
    IdentityLine,
    ListenAddress,
    Model,
    PartyName,
    PartyRole,
    Text,
    split_address,
    split_listen,
)
from parties.config.party_file import FIRST_WAIT, Wait
from parties.config.reading import parse_yaml, read_text
from parties.local.plain_file import real_path
from parties.local.text import beside
from parties.network.identity import PrivateIdentity, PublicIdentity
from vsplit.protocol import ConfigError


class _Partial(Model):
    """Some keys of a group; the others are ignored."""

    model_config = ConfigDict(extra="ignore")


class _Member(_Partial):
    name: PartyName
    role: PartyRole
    identity: IdentityLine


class _Job(_Partial):
    address: Address
    parties: dict[str, Any]


class _Party(_Partial):
    job: Text
    identity: Text


class _Listening(_Partial):
    listen: ListenAddress | None = None


class _ProxySetting(_Partial):
    proxy: Text | None = None


class _Waiting(_Partial):
    first_wait: Wait = FIRST_WAIT


@dataclass(frozen=True, slots=True)
class ContactKeys:
    """What the two files say about how the parties connect, and this party's key.

    `bind` is where a label party listens, and None at a feature party; `proxy` is a feature party's.
    """

    name: str
    label_party: str
    identities: dict[str, PublicIdentity]
    address: str
    reached: tuple[str, int]
    bind: tuple[str, int] | None
    first_wait: float
    output: Path | None
    proxy: str | None = field(repr=False)  # it may contain a password
    identity: PrivateIdentity = field(repr=False)


def read_contact_keys(path: Path) -> ContactKeys:
    """Read these keys, and only those that this party's role needs. Raises ConfigError where one is wrong.

    What the job says about a third party may be wrong, and so may this party's name, since its key shows which party it is.
    Where `first_wait` is wrong, its default is used.
    """
    file = path.absolute()
    values = parse_yaml(read_text(file), file)
    party = validate(_Party, values, file)
    job_file = beside(file, party.job)
    job = validate(_Job, parse_yaml(read_text(job_file), job_file), job_file)
    identity = PrivateIdentity.load(beside(file, party.identity))
    members = _members(job, job_file)
    labels = [name for name, member in members.items() if member.role == "label"]
    identities = {name: PublicIdentity.parse(member.identity) for name, member in members.items()}
    named = values.get("party")
    own = [name for name, line in identities.items() if line == identity.public]
    if len(own) != 1 or len(labels) != 1 or (own != [named] and named in list(job.parties)):
        raise ConfigError(f"{file} and {job_file} do not identify the parties.")
    is_label = own == labels
    output = values.get("output")
    return ContactKeys(
        own[0],
        labels[0],
        identities,
        job.address,
        split_address(job.address),
        split_listen(validate(_Listening, values, file).listen or job.address) if is_label else None,
        _first_wait(values, file),
        real_path(beside(file, output)) if isinstance(output, str) else None,
        None if is_label else validate(_ProxySetting, values, file).proxy,
        identity,
    )


def _members(job: _Job, file: Path) -> dict[str, _Member]:
    """The parties of the job that have a valid identity line."""
    members = {}
    for name, values in job.parties.items():
        try:
            member = validate(_Member, {**values, "name": name} if isinstance(values, Mapping) else {}, file)
        except ConfigError:
            continue
        if member.identity != AUTO:
            members[name] = member
    return members


def _first_wait(values: Mapping[str, Any], file: Path) -> float:
    try:
        return validate(_Waiting, values, file).first_wait
    except ConfigError:
        return FIRST_WAIT
