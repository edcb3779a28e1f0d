"""What a ledger holds, as it was read. `verify` reads it; `compare`, `show` and a run that goes on work with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from parties.ledger.heads import Bond
from parties.ledger.record import NO_HASH, Begin, Direction, Head, Resent, Standing


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong: the line of the file, counted from 1 (0: the file as a whole), and a plain sentence."""

    line: int
    sentence: str


class Entry(NamedTuple):
    """One message as a ledger has it. Its place in its stream is its number."""

    line: int
    time: datetime
    kind: str
    size: int
    digest: str


@dataclass(slots=True)
class Told:
    """One session as a ledger tells it. `end` is the word in which it ended; None: it was cut off, or goes on."""

    session: str
    line: int
    began: datetime
    job: str
    identities: Mapping[str, str]
    bond: Bond
    streams: dict[tuple[Direction, str], list[Entry]] = field(default_factory=lambda: defaultdict(list))
    resent: list[Resent] = field(default_factory=list)
    heads: list[tuple[int, Head]] = field(default_factory=list)
    end: str | None = None
    end_identity: str | None = None  # of this party where it signed the end with another key than the session's

    def signed_by(self, peer: str) -> Head | None:
        """The last head that `peer` signed; what stands in the streams up to its numbers, nobody can have changed."""
        return next((head for _, head in reversed(self.heads) if head.signer == peer), None)


@dataclass(slots=True)
class Examined:
    """What a ledger holds, and what is wrong with it.

    `whole` is the length in bytes of its whole lines, and `torn` of what follows them: a line without an end.
    """

    path: Path
    begin: Begin | None = None
    sessions: dict[str, Told] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    hashes: bytearray = field(default_factory=bytearray, repr=False)
    whole: int = 0
    torn: int = 0
    cut: int = 0  # how often an earlier crash had left a line without an end
    last: str = NO_HASH
    going_on: Told | None = None  # the session that has not ended

    @property
    def lines(self) -> int:
        """The number of whole lines."""
        return len(self.hashes) // 32

    def hash_of(self, line: int) -> bytes | None:
        """The hash of this line of the file, counted from 1; None where it has fewer lines."""
        found = bytes(self.hashes[32 * (line - 1) : 32 * line])
        return found if line > 0 and len(found) == 32 else None


def standing_of(head: Head) -> Standing:
    """What the head says, as it was signed."""
    return Standing(
        head.lines,
        bytes.fromhex(head.head),
        head.sent,
        bytes.fromhex(head.sent_stream),
        head.received,
        bytes.fromhex(head.received_stream),
    )
