"""The few keys of a party file and its job by which the others are reached, whatever else is wrong in the two files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict

from parties.config.errors import validate
from parties.config.fields import (
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
from parties.text import beside
from vsplit.protocol import ConfigError


class _Some(Model):
    model_config = ConfigDict(extra="ignore")


class _Member(_Some):
    role: PartyRole
    identity: IdentityLine


class _Job(_Some):
    address: Address
    parties: dict[PartyName, _Member]


class _Party(_Some):
    job: Text
    party: PartyName
    identity: Text
    listen: ListenAddress | None = None
    proxy: Text | None = None
    first_wait: Wait = FIRST_WAIT


@dataclass(frozen=True, slots=True)
class ContactKeys:
    """What the two files say about how the parties reach each other; `identities` are lines, or `auto`."""

    name: str
    label_party: str
    identities: dict[str, str]
    address: str
    reached: tuple[str, int]
    bind: tuple[str, int]
    proxy: str | None
    first_wait: float
    key: Path
    output: Path | None


def read_contact_keys(path: Path) -> ContactKeys:
    """Read them, and look at no other key. Raises ConfigError where one of them cannot be used."""
    file = path.absolute()
    values = parse_yaml(read_text(file), file)
    party = validate(_Party, values, file)
    job_file = beside(file, party.job)
    job = validate(_Job, parse_yaml(read_text(job_file), job_file), job_file)
    labels = [name for name, member in job.parties.items() if member.role == "label"]
    if party.party not in job.parties or len(labels) != 1:
        raise ConfigError(f"{file} and {job_file} do not say who the parties are.")
    output = values.get("output")
    return ContactKeys(
        party.party,
        labels[0],
        {name: member.identity for name, member in job.parties.items()},
        job.address,
        split_address(job.address),
        split_listen(party.listen or job.address),
        party.proxy,
        party.first_wait,
        beside(file, party.identity),
        beside(file, output).resolve() if isinstance(output, str) else None,
    )
