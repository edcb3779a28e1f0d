"""`vsplit identity`: making keys and showing their lines; and checking a party's own key against its job."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from parties.config.fields import AUTO
from parties.config.party import Party
from parties.local.command_line import quoted_command
from parties.local.permissions import check_permissions
from parties.local.text import beside
from parties.network.identity import PrivateIdentity
from vsplit.protocol import ConfigError

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


def make_identity(name: str) -> int:
    """Write NAME.key into the current folder and print the line for the job file."""
    if not _NAME.fullmatch(name):
        raise ConfigError("A name has 1 to 32 letters, digits, - or _, as in the job file.")
    file = Path(f"{name}.key")
    identity = PrivateIdentity.generate()
    identity.save(file)
    print(f"The private key is in {file.absolute()}. Keep it there and share it with nobody.", file=sys.stderr)
    print("The identity line, for the job file and for the other parties:", file=sys.stderr)
    print(identity.public.line)
    return 0


def show_identity(key: Path) -> int:
    """Print the identity line of an existing key."""
    print(PrivateIdentity.load(key).public.line)
    return 0


def load_identity(party: Party) -> PrivateIdentity:
    """The party's own key, which must be the one that the job lists. Raises ConfigError."""
    if party.job.needs_launch or party.identity is None:
        raise ConfigError(
            f"The job {party.job_file} says `identity: auto` or port 0, which works only with "
            f"{quoted_command('launch', party.file.parent)} on one machine; create a key with "
            f"{quoted_command('identity', 'new', party.name)} and put its line into the job."
        )
    identity = PrivateIdentity.load(party.identity)
    check_identity(party, identity)
    return identity


def check_identity(party: Party, identity: PrivateIdentity) -> None:
    """Raise ConfigError unless this is the key that the job lists for this party, and no other user of this machine can replace
    the key or the file that counts the runs."""
    for key, written in (("identity", party.settings.identity), ("partners", party.settings.partners)):
        if written is not None:
            check_permissions(beside(party.file, written), f"In {party.file}, the key {key}")
    listed = {name: member.identity for name, member in party.job.parties.items()}
    if listed[party.name] in (AUTO, identity.public.line):
        return
    owner = next((name for name, line in listed.items() if line == identity.public.line), None)
    whose = f"it belongs to {owner}" if owner else "the job does not list it"
    raise ConfigError(
        f"The key that {party.file} names is not the one that the job lists for {party.name}; {whose}. Name the right key "
        "file, or put this line into the job file of every party: " + identity.public.line
    )
