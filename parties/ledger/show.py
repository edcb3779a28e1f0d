"""Sums up a ledger: what left and what came, by kind, direction and party, and who has signed for it. SPEC.md, section 8."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from parties.ledger.examination import Examined, SessionRecord
from parties.ledger.record import Crossed, Direction, Head, Resent

# A link keeps no more messages than this that are not acknowledged (section 2: 32 MiB, and at least 512 bytes for each).
_MOST_KEPT = 1 << 16


@dataclass(slots=True)
class Sum:
    """All messages of one kind in one direction with one party: how many, their bytes, and the first and last time, in UTC.

    `resent` is how many of them left once more after a link was made again; their bytes are not counted again.
    """

    direction: Direction
    peer: str
    kind: str
    messages: int
    bytes: int
    first: datetime
    last: datetime
    resent: int = 0

    def add(self, line: Crossed) -> None:
        """One more message."""
        self.messages += 1
        self.bytes += line.size
        self.last = line.time


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One session with one party: how many messages crossed, for how many of them that party has signed, and its end.

    `end` is the word in which the session ended; empty: it was cut off, or still goes on.
    """

    session: str
    began: datetime
    peer: str
    messages: int
    signed: int
    end: str


class Sums:
    """The sums over all sessions, made up while a ledger is read: `verify.survey` calls `take`. No message is kept."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Direction, str, str], Sum] = {}
        self._session = ""
        self._sent: dict[str, _Sent] = {}

    def take(self, told: SessionRecord, line: Crossed | Resent | Head) -> None:
        """The next line, of this session."""
        if told.session != self._session:
            self._session, self._sent = told.session, defaultdict(_Sent)
        if isinstance(line, Crossed):
            key = line.direction, line.peer, line.kind
            row = self._rows.get(key)
            if row is None:
                row = self._rows[key] = Sum(*key, 0, 0, line.time, line.time)
            row.add(line)
            if line.direction == "sent":
                self._sent[line.peer].add(row)
        elif isinstance(line, Resent):
            self._sent[line.peer].again(line.first, line.last)

    def rows(self) -> list[Sum]:
        """What left first, then by party, in the order in which kinds first crossed."""
        order: dict[Direction, int] = {"sent": 0, "received": 1}
        found = (replace(row, first=_utc(row.first), last=_utc(row.last)) for row in self._rows.values())
        return sorted(found, key=lambda row: (order[row.direction], row.peer))


class _Sent:
    """What was sent to one party in one session: to which sums the last messages belong, so that they can be sent again."""

    def __init__(self) -> None:
        self._count = 0
        self._last: deque[Sum] = deque(maxlen=_MOST_KEPT)
        self._resent = 0  # up to this message all that was ever sent again is counted

    def add(self, row: Sum) -> None:
        self._count += 1
        self._last.append(row)

    def again(self, first: int, last: int) -> None:
        # What is sent again is all that was not acknowledged. So it begins and ends no earlier than the last time, and what
        # goes for a third time is not counted again.
        gone = self._count - len(self._last)
        for number in range(max(first, self._resent + 1, gone + 1), min(last, self._count) + 1):
            self._last[number - gone - 1].resent += 1
        self._resent = max(self._resent, min(last, self._count))


def session_summaries(found: Examined) -> list[SessionSummary]:
    """Each session with each party, in the order of the ledger."""
    return [summary for told in found.sessions.values() for summary in _summaries(told)]


def _summaries(told: SessionRecord) -> Iterable[SessionSummary]:
    crossed: dict[str, int] = defaultdict(int)
    for (_, peer), count in told.counts.items():
        crossed[peer] += count
    for peer, messages in crossed.items():
        head = told.signed_by(peer)
        signed = 0 if head is None else head.sent + head.received
        yield SessionSummary(told.session, _utc(told.began), peer, messages, signed, told.end or "")


def _utc(time: datetime) -> datetime:
    """The same moment; a line may have been written with another offset."""
    return time.astimezone(UTC)
