"""The content of a ledger as it was read: by `verify`, for `compare`, `show` and a run that resumes."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, overload

from parties.ledger.digests import DIGEST
from parties.ledger.ledger_state import LedgerState, SignedLine
from parties.ledger.record import NO_HASH, Begin, Crossed, Direction, Head, Resent
from parties.ledger.signing import SessionBinding

Way = tuple[Direction, str]
"""A direction, and the party at the other end."""

_MOST_FAULTS = 100  # a single change may break all lines that follow


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong: the line of the file, counted from 1 (0: the file as a whole), and a plain sentence."""

    line: int
    sentence: str


class Entry(NamedTuple):
    """One message of a ledger. Its index in its stream is its number."""

    line: int
    kind: str
    size: int
    digest: str


class Messages(Sequence[Entry]):
    """The messages of one direction and pair, about 60 bytes each: ledgers of long runs have millions of them."""

    def __init__(self) -> None:
        self._kinds: dict[str, int] = {}  # each kind's number, in the order in which they first came
        self._names: list[str] = []  # and the kind of each number
        self._kind = array("L")
        self._line = array("Q")
        self._size = array("Q")
        self._digest = bytearray()

    def add(self, line: Crossed) -> None:
        """One more message."""
        number = self._kinds.setdefault(line.kind, len(self._names))
        if number == len(self._names):
            self._names.append(line.kind)
        self._kind.append(number)
        self._line.append(line.line)
        self._size.append(line.size)
        self._digest += bytes.fromhex(line.digest)

    def __len__(self) -> int:
        return len(self._line)

    @overload
    def __getitem__(self, at: int) -> Entry: ...

    @overload
    def __getitem__(self, at: slice) -> list[Entry]: ...

    def __getitem__(self, at: int | slice) -> Entry | list[Entry]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        place = range(len(self))[at]
        digest = self._digest[DIGEST * place : DIGEST * (place + 1)].hex()
        return Entry(self._line[place], self._names[self._kind[place]], self._size[place], digest)


class Hashes:
    """The hash of each line of a file, or of the last lines only."""

    def __init__(self, most: int | None = None) -> None:
        self.count = 0
        self._most = most
        self._dropped = 0
        self._stored = bytearray()

    def add(self, found: bytes) -> None:
        """One more line, 32 bytes."""
        self.count += 1
        self._stored += found
        if self._most is not None and len(self._stored) >= 64 * self._most:
            dropped = self.count - self._dropped - self._most
            del self._stored[: 32 * dropped]
            self._dropped += dropped

    def of(self, line: int) -> bytes | None:
        """The hash of this line, counted from 1; None where there is none, or it is no longer retained."""
        place = line - 1 - self._dropped
        found = bytes(self._stored[32 * place : 32 * place + 32]) if place >= 0 else b""
        return found or None


@dataclass(slots=True)
class SessionRecord:
    """One session as a ledger records it. `end` is its reason code; None: it was cut off, or has not ended yet.

    `counts` has the number of messages of each way, and `last_heads` the last head that each party signed. All of them are
    in `streams`, `resent` and `heads` where they are retained.
    """

    session: str
    line: int
    began: datetime
    job: str
    identities: Mapping[str, str]
    binding: SessionBinding
    format: int = 1
    counts: dict[Way, int] = field(default_factory=lambda: defaultdict(int))
    streams: dict[Way, Messages] = field(default_factory=lambda: defaultdict(Messages))
    resent: list[Resent] = field(default_factory=list)
    heads: list[tuple[int, Head]] = field(default_factory=list)
    last_heads: dict[str, Head] = field(default_factory=dict)
    end: str | None = None
    end_identity: str | None = None  # of this party where it signed the end with another key than the session's

    def signed_by(self, peer: str) -> Head | None:
        """The last head that `peer` signed; the messages up to its numbers cannot have been changed."""
        return self.last_heads.get(peer)


@dataclass(slots=True)
class Examined:
    """The content of a ledger, and what is wrong with it.

    `whole` is the length in bytes of its complete lines, and `torn` of what follows them: a line without an end. All `faults`
    are counted, and the first hundred are retained.
    """

    path: Path
    begin: Begin | None = None
    sessions: dict[str, SessionRecord] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    fault_count: int = 0
    hashes: Hashes = field(default_factory=Hashes, repr=False)
    whole: int = 0
    torn: int = 0
    cut: int = 0  # how often an earlier crash had left a line without an end
    last: str = NO_HASH
    open_session: SessionRecord | None = None  # the session that has not ended
    signed_lines: dict[str, SignedLine] = field(default_factory=dict)
    """By each party that has signed lines of this file: the last one that it signed."""

    @property
    def lines(self) -> int:
        """The number of complete lines."""
        return self.hashes.count

    def hash_of(self, line: int) -> bytes | None:
        """The hash of this line of the file, counted from 1; None where it has fewer lines, or it is no longer retained."""
        return self.hashes.of(line)

    def fault(self, line: int, sentence: str) -> None:
        """One more fault."""
        self.fault_count += 1
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(Fault(line, sentence))


def signed_line_of(head: Head) -> SignedLine | None:
    """What the head says of its receiver's file, as it was signed; None in format 1."""
    if head.peer_lines is None or head.peer_head is None:
        return None
    return SignedLine(head.peer_lines, bytes.fromhex(head.peer_head), head.final)


def state_in(head: Head) -> LedgerState:
    """What the head says, as it was signed."""
    return LedgerState(
        head.lines,
        bytes.fromhex(head.head),
        head.sent,
        bytes.fromhex(head.sent_stream),
        head.received,
        bytes.fromhex(head.received_stream),
    )
