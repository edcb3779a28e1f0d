"""Sums up a ledger: what left and what came, by kind, direction and party, and who has signed for it. SPEC.md, section 8."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from parties.ledger.examined import Entry, Examined, Told
from parties.ledger.record import Direction


@dataclass(slots=True)
class Sum:
    """All messages of one kind in one direction with one party: how many, their bytes, and when the first and last crossed.

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

    def add(self, entry: Entry) -> None:
        """One more message."""
        self.messages += 1
        self.bytes += entry.size
        self.last = entry.time


@dataclass(frozen=True, slots=True)
class Meeting:
    """One session with one party: how many messages crossed, for how many of them that party has signed, and its end.

    `end` is the word in which the session ended; empty: it was cut off, or still goes on.
    """

    session: str
    began: datetime
    peer: str
    messages: int
    signed: int
    end: str


def sums(found: Examined) -> list[Sum]:
    """The sums over all sessions: what left first, then by party, in the order in which kinds first crossed."""
    rows: dict[tuple[Direction, str, str], Sum] = {}
    for told in found.sessions.values():
        again = _resent(told)
        for (direction, peer), entries in told.streams.items():
            for number, entry in enumerate(entries, 1):
                row = rows.setdefault(
                    (direction, peer, entry.kind), Sum(direction, peer, entry.kind, 0, 0, entry.time, entry.time)
                )
                row.add(entry)
                row.resent += direction == "sent" and number in again.get(peer, ())
    order: dict[Direction, int] = {"sent": 0, "received": 1}
    return sorted(rows.values(), key=lambda row: (order[row.direction], row.peer))


def meetings(found: Examined) -> list[Meeting]:
    """Each session with each party, in the order of the ledger."""
    return [meeting for told in found.sessions.values() for meeting in _meetings(told)]


def _meetings(told: Told) -> Iterable[Meeting]:
    for peer in dict.fromkeys(peer for _, peer in told.streams):
        crossed = sum(len(entries) for (_, other), entries in told.streams.items() if other == peer)
        head = told.signed_by(peer)
        signed = 0 if head is None else head.sent + head.received
        yield Meeting(told.session, told.began, peer, crossed, signed, told.end or "")


def _resent(told: Told) -> dict[str, set[int]]:
    """The numbers of the messages that left more than once, by party."""
    found: dict[str, set[int]] = {}
    for again in told.resent:
        sent = len(told.streams.get(("sent", again.peer), ()))
        found.setdefault(again.peer, set()).update(range(again.first, min(again.last, sent) + 1))
    return found
