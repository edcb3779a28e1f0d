"""Do two parties' ledgers tell the same story? SPEC.md, section 8. Says where they first differ, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from parties.ledger.examination import Entry, Examined, SessionRecord
from parties.ledger.record import FINISHED, Begin
from vsplit.protocol import ConfigError


@dataclass(slots=True)
class Compared:
    """What was found: `faults` are differences that no honest pair of ledgers has, `notes` what one may want to know."""

    sessions: int = 0
    messages: int = 0
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare(one: Examined, two: Examined) -> Compared:
    """Hold the ledgers of two parties against each other.

    Raises ConfigError where there is nothing to compare: two ledgers of one party, or of two feature parties, which
    exchange no message but by way of the label party.
    """
    a, b = _comparable(one, two)
    found = Compared()
    for session in {**one.sessions, **two.sessions}:
        told_a, told_b = one.sessions.get(session), two.sessions.get(session)
        if told_a is None or told_b is None:
            whole = told_a or told_b
            if whole is not None:
                mine, other = (a.party, b.party) if told_b is None else (b.party, a.party)
                _told_by_one(found, whole, mine, other)
            continue
        found.sessions += 1
        if told_a.identities != told_b.identities:
            found.faults.append(f"The two ledgers name other identities for session {_short(session)}.")
        if told_a.binding.job != told_b.binding.job:  # as the parties find at the greeting, and then part
            found.notes.append(f"In session {_short(session)} the two had different job files.")
        _compare_streams(found, a.party, told_a, b.party, told_b)
        _compare_streams(found, b.party, told_b, a.party, told_a)
    for holder, signer in ((one, two), (two, one)):
        found.faults += _broken_promises(holder, signer)
    return found


def _comparable(one: Examined, two: Examined) -> tuple[Begin, Begin]:
    a, b = one.begin, two.begin
    if a is None or b is None:
        raise ConfigError("A file without the first line of a ledger cannot be compared with another.")
    if a.party == b.party:
        raise ConfigError(f"Both are ledgers of {a.party}: give one of each of two parties.")
    if a.role == b.role:
        raise ConfigError(
            f"{a.party} and {b.party} exchange messages only by way of the label party: compare the ledger of each with that "
            "of the label party."
        )
    return a, b


def _told_by_one(found: Compared, told: SessionRecord, mine: str, other: str) -> None:
    """A session that only `mine` has on record. Nothing can have come from a party that has nothing on record."""
    came, left = told.counts.get(("received", other), 0), told.counts.get(("sent", other), 0)
    where = f"session {_short(told.session)} (line {told.line} of the ledger of {mine})"
    if came:
        found.faults.append(
            f"In {where} the ledger of {mine} has {_messages(came)} from {other}, and that of {other} knows no such session."
        )
    elif left:
        found.notes.append(
            f"In {where} {_messages(left)} of {mine} may have left, and the ledger of {other} has none of it."
        )


def _compare_streams(found: Compared, sender: str, sent: SessionRecord, receiver: str, received: SessionRecord) -> None:
    """What `sender` says it sent against what `receiver` says came."""
    left: Sequence[Entry] = sent.streams.get(("sent", receiver), [])
    came: Sequence[Entry] = received.streams.get(("received", sender), [])
    where = f"from {sender} to {receiver} in session {_short(sent.session)}"
    for number, (one, two) in enumerate(zip_longest(left, came), 1):
        if one is None:
            found.faults.append(
                f"{_messages(len(came) - len(left))} {where} came by the ledger of {receiver}, from its line "
                f"{came[len(left)].line} on, and never left by that of {sender}."
            )
            return
        if two is None:
            _not_arrived(found, where, len(left) - len(came), one, sent, received)
            return
        difference = _difference(one, two)
        if difference:
            found.faults.append(
                f"Message {number:,} {where} is not the same in both: {difference} (line {one.line} of the ledger of {sender}, "
                f"line {two.line} of that of {receiver})."
            )
            return
        found.messages += 1


def _not_arrived(
    found: Compared, where: str, count: int, first: Entry, sent: SessionRecord, received: SessionRecord
) -> None:
    sentence = f"{_messages(count)} {where} left, from line {first.line} on, and came by no line of the other ledger"
    if sent.end == received.end == FINISHED:
        found.faults.append(f"{sentence}, although the session was finished.")
    else:
        found.notes.append(f"{sentence}: under way, or not yet written down, when the session was cut off.")


def _difference(one: Entry, two: Entry) -> str:
    if one.kind != two.kind:
        return f"{one.kind} left and {two.kind} came"
    if one.size != two.size:
        return f"a {one.kind} of {one.size:,} bytes left and one of {two.size:,} bytes came"
    return f"the digests of a {one.kind} differ" if one.digest != two.digest else ""


def _broken_promises(holder: Examined, signer: Examined) -> Iterator[str]:
    """Heads in the ledger of `holder` for which the file of `signer` has another line than was signed."""
    if holder.begin is None or signer.begin is None:
        return
    me, other = holder.begin.party, signer.begin.party
    for told in holder.sessions.values():
        for line, head in told.heads:
            if head.signer != other:
                continue
            stands = signer.hash_of(head.lines)
            if stands is None:
                yield (
                    f"{other} signed for {head.lines:,} lines of its ledger (line {line} of the ledger of {me}), and it has "
                    f"{signer.lines:,}: lines at its end were removed."
                )
                return
            if stands.hex() != head.head:
                yield (
                    f"{other} signed for line {head.lines:,} of its ledger as it was (line {line} of the ledger of {me}), and "
                    "another one stands there now: this line, or one before it, was changed afterwards."
                )
                return


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count:,} messages"


def _short(session: str) -> str:
    return session[:8]
