"""Reads a ledger and proves that it is unbroken, or says in a sentence for each fault what is wrong in which line.

SPEC.md, section 8. It needs nothing but the file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from parties.identity import PublicIdentity
from parties.ledger.examined import Entry, Examined, Fault, Told, standing_of
from parties.ledger.heads import Bond, is_signed
from parties.ledger.record import (
    MOST_LINE,
    AnyLine,
    Begin,
    Crossed,
    Direction,
    End,
    Head,
    NewSession,
    Resent,
    Stream,
    Torn,
    chained,
    decode,
    encode,
)
from vsplit.protocol import ConfigError

# Heads come after what they cover, by as many messages as heads themselves are.
_RECENT = 64


def examine(path: Path, *, unfinished: bool = False) -> Examined:
    """Read the ledger at `path` and look for faults. Raises ConfigError where there is none, or it cannot be read.

    `unfinished`: the run may go on, so that the last session need not have ended, and a torn last line is no fault.
    """
    examination = _Examination(path)
    try:
        with path.open("rb") as file:
            while raw := file.readline(MOST_LINE + 1):
                if not raw.endswith(b"\n"):
                    examination.found.torn = len(raw) + len(file.read())
                    break
                examination.take(raw[:-1])
    except OSError as error:
        raise ConfigError(f"The ledger {path} cannot be read: {error.strerror}.") from None
    examination.end(unfinished)
    return examination.found


class _Examination:
    def __init__(self, path: Path) -> None:
        self.found = Examined(path)
        self._at = 0  # the line of the file that is looked at
        self._due = 1  # the number that it should carry
        self._doubted = False  # the line before had a fault, so that what follows need not fit it
        self._streams: dict[tuple[Direction, str], Stream] = {}
        self._numbers: dict[tuple[Direction, str], int] = {}

    def take(self, raw: bytes) -> None:
        """The next line."""
        self._at += 1
        before, count = self.found.last, len(self.found.faults)
        self.found.last = chained(raw)
        self.found.hashes += bytes.fromhex(self.found.last)
        self.found.whole += len(raw) + 1
        try:
            line = decode(raw)
            if encode(line) != raw:
                raise ValueError("another spelling")
        except ValueError:
            self._fault("is no line as vsplit writes them: it was changed, or is damaged")
            self._due += 1
        else:
            self._check_chain(line, before)
            self._look_at(line)
        self._doubted = len(self.found.faults) > count

    def end(self, unfinished: bool) -> None:
        """There are no more lines."""
        found = self.found
        if found.begin is None and not found.faults and not unfinished:
            found.faults.append(Fault(0, "The file has no line that begins a ledger."))
        if unfinished:
            return
        if found.torn:
            found.faults.append(
                Fault(
                    self._at + 1,
                    f"Line {self._at + 1} has no end: the file was cut in the middle of a line, or by a crash.",
                )
            )
        if found.begin is not None and (found.going_on is not None or not found.sessions):
            found.faults.append(
                Fault(
                    self._at,
                    f"No closing line follows on line {self._at}, as it does where a session has ended: lines were cut off "
                    "at the end, or the run was killed, or still goes on.",
                )
            )

    def _fault(self, what: str) -> None:
        self.found.faults.append(Fault(self._at, f"Line {self._at} {what}."))

    def _check_chain(self, line: AnyLine, before: str) -> None:
        due = self._due
        if line.line > due:
            missing = f"line {due} is" if line.line == due + 1 else f"lines {due} to {line.line - 1} are"
            self._fault(f"carries the number {line.line}, so {missing} missing before it, or lines were exchanged")
        elif line.line < due:
            self._fault(f"carries the number {line.line} where {due} is due: a line was put in, repeated or moved")
        elif line.before != before and not self._doubted:
            self._fault(
                f"does not follow on line {self._at - 1}, which was changed after it had been written, or is another one"
                if self._at > 1
                else "says that a line stood before it, which is missing"
            )
        self._due = max(due, line.line + 1)

    def _look_at(self, line: AnyLine) -> None:
        if isinstance(line, Begin):
            self._begin(line)
        elif self.found.begin is None:
            if self._at == 1:
                self._fault("is not the line that begins a ledger, so lines are missing before it")
        elif isinstance(line, NewSession):
            self._session(line)
        elif isinstance(line, Torn):
            self.found.cut += 1
        elif self.found.going_on is None or line.session != self.found.going_on.session:
            self._fault("belongs to a session that does not go on here")
        else:
            self._look_inside(self.found.begin.party, self.found.going_on, line)

    def _look_inside(self, me: str, now: Told, line: Crossed | Resent | Head | End) -> None:
        if isinstance(line, Crossed):
            self._message(now, line)
        elif isinstance(line, Resent):
            self._resent(now, line)
        elif isinstance(line, Head):
            self._head(me, now, line)
        else:
            self._ended(me, now, line)

    def _begin(self, line: Begin) -> None:
        if self._at > 1:
            self._fault("begins another ledger inside this one")
        else:
            self.found.begin = line

    def _session(self, line: NewSession) -> None:
        identities = _keys_in(line.identities)
        if not identities:
            self._fault("names an identity that is none")
        if line.session in self.found.sessions:
            self._fault("begins a session that was there before")
        if self.found.going_on is not None:
            self._fault("begins a session before the one before it was ended")
        bond = Bond(bytes.fromhex(line.digest), bytes.fromhex(line.session), identities)
        now = Told(line.session, self._at, line.time, line.job, line.identities, bond)
        self.found.sessions[line.session] = self.found.going_on = now
        self._streams, self._numbers = defaultdict(lambda: Stream(_RECENT)), defaultdict(int)

    def _message(self, now: Told, line: Crossed) -> None:
        way = line.direction, line.peer
        if line.peer not in self._others(now):
            self._fault("names a party with which this one exchanges no messages")
        if line.number != self._numbers[way] + 1:
            which = f"message {line.number:,} {_words(way)}, where number {self._numbers[way] + 1:,} is due"
            self._fault(f"is {which}: a message is missing, or was put in")
        self._numbers[way] = line.number
        self._streams[way].add(line.kind, line.size, bytes.fromhex(line.digest))
        now.streams[way].append(Entry(self._at, line.time, line.kind, line.size, line.digest))

    def _resent(self, now: Told, line: Resent) -> None:
        if not line.first <= line.last <= self._numbers["sent", line.peer]:
            self._fault(f"says that messages to {line.peer} left once more which this ledger does not have")
        now.resent.append(line)

    def _head(self, me: str, now: Told, line: Head) -> None:
        peer = line.receiver if line.signer == me else line.signer
        if {line.signer, line.receiver} != {me, peer} or not {me, peer} <= now.bond.identities.keys() or me == peer:
            self._fault("is a head between other parties")
            return
        standing = standing_of(line)
        if not now.bond.is_signed(line.signer, now.bond.statement(line.signer, line.receiver, standing), _raw(line)):
            self._fault(
                f"holds a head that {line.signer} has not signed: the signature does not fit what it says, or the "
                f"identity of {line.signer} in line {now.line}"
            )
        elif not self._is_told(me, peer, line):
            self._fault(
                f"holds a head in which {line.signer} signed for other messages than this ledger has between {me} and "
                f"{peer}: messages before it were changed, left out or put in"
            )
        elif line.signer == me and self.found.hash_of(line.lines) != standing.head:
            self._fault(
                f"holds a head in which {me} signed for another line {line.lines} than the one that stands here"
            )
        now.heads.append((self._at, line))

    def _is_told(self, me: str, peer: str, line: Head) -> bool:
        ways: tuple[Direction, Direction] = ("sent", "received") if line.signer == me else ("received", "sent")
        signed = (line.sent, line.sent_stream), (line.received, line.received_stream)
        for way, (count, value) in zip(ways, signed, strict=True):
            told = self._streams[way, peer].value_at(count)
            if told is None or told.hex() != value:
                return False
        return True

    def _ended(self, me: str, now: Told, line: End) -> None:
        statement = now.bond.end_statement(me, line.word, line.line, bytes.fromhex(line.before))
        key = now.bond.identities.get(me, b"")
        if line.identity is not None:
            key = _keys_in({me: line.identity}).get(me, b"")
        if not is_signed(key, statement, bytes.fromhex(line.signature)):
            self._fault(f"ends the session without the signature of {me}: it or a line before it was changed")
        now.end, now.end_identity, self.found.going_on = line.word, line.identity, None

    def _others(self, now: Told) -> Iterator[str]:
        return (name for name in now.identities if self.found.begin is None or name != self.found.begin.party)


def _keys_in(identities: Mapping[str, str]) -> dict[str, bytes]:
    """The keys that identity lines spell; none, with which no signature fits, where one of them spells none."""
    try:
        return {name: PublicIdentity.parse(line).key for name, line in identities.items()}
    except ConfigError:
        return {}


def _raw(head: Head) -> bytes:
    return bytes.fromhex(head.signature)


def _words(way: tuple[Direction, str]) -> str:
    direction, peer = way
    return f"to {peer}" if direction == "sent" else f"from {peer}"
