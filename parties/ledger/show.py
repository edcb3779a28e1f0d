"""Sums up a ledger: messages by kind, direction and party, and which parties have signed for them. SPEC.md, section 8."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from parties.ledger.examination import Examined, SessionRecord
from parties.ledger.record import Crossed, Direction, Head, Resent

# A link retains no more messages than this that are not acknowledged (section 2: 32 MiB, and at least 512 bytes for each).
_MOST_KEPT = 1 << 16


@dataclass(slots=True)
class Sum:
    """All messages of one kind in one direction with one party: how many, their bytes, and the first and last time, in UTC.

    `resent` is how many of them were sent again over a restored link; their bytes are not counted again.
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

    `end` is the reason code with which the session ended; empty: it was cut off, or has not ended yet.
    """

    session: str
    began: datetime
    peer: str
    messages: int
    signed: int
    end: str


class Sums:
    """The sums over all sessions, computed while a ledger is read: `verify.survey` calls `add`. No message is retained."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Direction, str, str], Sum] = {}
        self._session = ""
        self._sent: dict[str, _Sent] = {}

    def add(self, session: SessionRecord, line: Crossed | Resent | Head) -> None:
        """The next line, of this session."""
        if session.session != self._session:
            self._session, self._sent = session.session, defaultdict(_Sent)
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
        """Sent messages first, then by party, in the order in which kinds first crossed."""
        order: dict[Direction, int] = {"sent": 0, "received": 1}
        found = (replace(row, first=_utc(row.first), last=_utc(row.last)) for row in self._rows.values())
        return sorted(found, key=lambda row: (order[row.direction], row.peer))


class _Sent:
    """The messages sent to one party in one session: to which sums the last ones belong, for when they are sent again."""

    def __init__(self) -> None:
        self._count = 0
        self._last: deque[Sum] = deque(maxlen=_MOST_KEPT)
        self._resent = 0  # up to this message all that was ever sent again is counted

    def add(self, row: Sum) -> None:
        self._count += 1
        self._last.append(row)

    def again(self, first: int, last: int) -> None:
        # All messages that were not acknowledged are sent again. So the range begins and ends no earlier than the last time,
        # and a message that is sent for a third time is not counted again.
        dropped = self._count - len(self._last)
        for number in range(max(first, self._resent + 1, dropped + 1), min(last, self._count) + 1):
            self._last[number - dropped - 1].resent += 1
        self._resent = max(self._resent, min(last, self._count))


def session_summaries(found: Examined) -> list[SessionSummary]:
    """Each session with each party, in the order of the ledger."""
    return [summary for session in found.sessions.values() for summary in _summaries(session)]


def _summaries(session: SessionRecord) -> Iterable[SessionSummary]:
    crossed: dict[str, int] = defaultdict(int)
    for (_, peer), count in session.counts.items():
        crossed[peer] += count
    for peer, messages in crossed.items():
        head = session.signed_by(peer)
        signed = 0 if head is None else head.sent + head.received
        yield SessionSummary(session.session, _utc(session.began), peer, messages, signed, session.end or "")


def _utc(time: datetime) -> datetime:
    """The same moment; a line may have been written with another offset."""
    return time.astimezone(UTC)
