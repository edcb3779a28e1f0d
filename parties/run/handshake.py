"""The handshake: compares protocol, command and job with every other party, before anything about a record is sent.

SPEC.md, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from parties.config.digests import COMMAND, DIGEST_BYTES, Purpose, first_difference, handshake_digests, purpose_in
from parties.config.job import Job
from parties.config.party_names import PartyNames
from vsplit import __version__
from vsplit.protocol import Message, MismatchError, Role, Send, receive

# Raised whenever messages or their sequence change, so that two versions never start a run that they cannot finish.
PROTOCOL = 5
MOST_KEYS = 4096
_LIMIT = 1 << 20
# The other side may show both on its screen, so they hold only harmless characters.
_VERSION = re.compile(r"[0-9A-Za-z.+!_-]{1,40}")
_KEY = re.compile(r"[0-9A-Za-z._-]{1,200}")


class Handshake(Message, frozen=True, kw_only=True, eq=False):
    """In both directions, once: the protocol number, the program's version, and the digests of `handshake_digests`."""

    reveals: ClassVar[str] = (
        "fingerprints of the command and of the job's settings, which all parties hold, and the program's version"
    )

    protocol: int
    version: str
    keys: dict[str, bytes]

    def check(self) -> None:
        if not _VERSION.fullmatch(self.version):
            raise ValueError("a version has at most 40 characters, those of Python versions")
        if len(self.keys) > MOST_KEYS or any(len(digest) != DIGEST_BYTES for digest in self.keys.values()):
            raise ValueError("a job has fewer keys, and digests of another length")
        if not all(_KEY.fullmatch(key) for key in self.keys):
            raise ValueError("a key of a job is a short dotted name")


def exchange_handshakes(names: PartyNames, job: Job, purpose: Purpose, run: Callable[[Role[Any]], Any]) -> None:
    """Run this party's side. Raises MismatchError where another party runs another command or has another job."""
    digests = handshake_digests(job, purpose)
    if names.is_label:
        run(handshake_as_label(names.me, names.feature_parties, digests))
    else:
        run(handshake_as_feature(names.me, names.label_party, digests))


def handshake_as_label(me: str, feature_parties: Sequence[str], keys: Mapping[str, bytes]) -> Role[None]:
    """The label party's side. It receives all and answers all before it compares, so that every side can name what differs.

    `keys` are this party's `handshake_digests`. Learns and reveals: the versions, and whether the commands and the jobs are
    the same. Raises MismatchError.
    """
    theirs = {}
    for party in feature_parties:
        theirs[party] = yield from receive(party, Handshake, _LIMIT)
    for party in feature_parties:
        yield Send(party, _handshake(keys))
    for party, handshake in theirs.items():
        _compare(me, party, keys, handshake)


def handshake_as_feature(me: str, label_party: str, keys: Mapping[str, bytes]) -> Role[None]:
    """A feature party's side. Raises MismatchError."""
    yield Send(label_party, _handshake(keys))
    theirs = yield from receive(label_party, Handshake, _LIMIT)
    _compare(me, label_party, keys, theirs)


def _handshake(keys: Mapping[str, bytes]) -> Handshake:
    return Handshake(protocol=PROTOCOL, version=__version__, keys=dict(keys))


def _compare(me: str, other: str, mine: Mapping[str, bytes], theirs: Handshake) -> None:
    if theirs.protocol != PROTOCOL:
        raise MismatchError(
            other,
            f"{other} runs vsplit {theirs.version} and {me} runs {__version__}, which do not speak the same protocol: "
            "install the same version at all parties.",
        )
    key = first_difference(mine, theirs.keys)
    if key == COMMAND:
        here, there = (_command(keys) for keys in (mine, theirs.keys))
        raise MismatchError(
            other,
            f"{me} was started with {here} and {other} with {there}; nothing was compared. Agree on one command, and give "
            "it at every party.",
        )
    if key is not None:
        raise MismatchError(
            other,
            f"{me} and {other} have different job files: the first key that differs is {key}. "
            "Agree on one file and give every party the same.",
        )


def _command(keys: Mapping[str, bytes]) -> str:
    purpose = purpose_in(keys)
    return "another command" if purpose is None else f"`vsplit {purpose}`"
