"""Compares the ledgers of two parties, and reports in a sentence where they first differ. SPEC.md, section 8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from parties.ledger.examination import Entry, Examined, SessionRecord
from parties.ledger.record import FINISHED, Begin
from vsplit.protocol import ConfigError


@dataclass(slots=True)
class Compared:
    """The result: `faults` are differences that no honest pair of ledgers has, `notes` are further information."""

    sessions: int = 0
    messages: int = 0
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare(one: Examined, two: Examined) -> Compared:
    """Compare the ledgers of two parties.

    Raises ConfigError where there is nothing to compare: two ledgers of one party, or of two feature parties, which
    exchange messages through the label party only.
    """
    a, b = _comparable(one, two)
    result = Compared()
    if one.sessions and two.sessions and not one.sessions.keys() & two.sessions.keys():
        result.faults.append(
            f"The ledgers of {a.party} and {b.party} have no session in common: they are of two different runs, or sessions "
            "were removed from one of them. Compare the ledgers of the same run."
        )
        return result
    for name in {**one.sessions, **two.sessions}:
        in_a, in_b = one.sessions.get(name), two.sessions.get(name)
        if in_a is not None and in_b is not None:
            _compare_session(result, a.party, in_a, b.party, in_b)
        elif in_a is not None:
            _recorded_by_one(result, in_a, a.party, b.party)
        elif in_b is not None:
            _recorded_by_one(result, in_b, b.party, a.party)
    for holder, signer in ((one, two), (two, one)):
        result.faults += _broken_signatures(holder, signer)
    return result


def _comparable(one: Examined, two: Examined) -> tuple[Begin, Begin]:
    a, b = one.begin, two.begin
    if a is None or b is None:
        raise ConfigError("A file without the first line of a ledger cannot be compared with another.")
    if a.party == b.party:
        raise ConfigError(f"Both are ledgers of {a.party}: give one of each of two parties.")
    if a.role == b.role:
        raise ConfigError(
            f"{a.party} and {b.party} exchange messages through the label party only: compare the ledger of each with that "
            "of the label party."
        )
    return a, b


def _recorded_by_one(result: Compared, session: SessionRecord, party: str, other: str) -> None:
    """A session that only `party` has recorded. It cannot have received a message from a party that recorded none."""
    received, sent = session.counts.get(("received", other), 0), session.counts.get(("sent", other), 0)
    where = f"session {_short(session.session)} (line {session.line} of the ledger of {party})"
    if received:
        result.faults.append(
            f"In {where} the ledger of {party} has {_messages(received)} from {other}, and that of {other} has no such session."
        )
    elif sent:
        result.notes.append(
            f"In {where} {_messages(sent)} of {party} may have been sent, and the ledger of {other} has no such session."
        )


def _compare_session(result: Compared, a: str, in_a: SessionRecord, b: str, in_b: SessionRecord) -> None:
    """A session that both have recorded."""
    result.sessions += 1
    if in_a.identities != in_b.identities:
        result.faults.append(f"The two ledgers name other identities for session {_short(in_a.session)}.")
    if in_a.binding.job != in_b.binding.job:  # as the parties find in the handshake, which then ends the session
        result.notes.append(f"In session {_short(in_a.session)} the two had different job files.")
    _compare_streams(result, a, in_a, b, in_b)
    _compare_streams(result, b, in_b, a, in_a)


def _compare_streams(
    result: Compared, sender: str, at_sender: SessionRecord, receiver: str, at_receiver: SessionRecord
) -> None:
    """What `sender` has recorded as sent against what `receiver` has recorded as received."""
    sent: Sequence[Entry] = at_sender.streams.get(("sent", receiver), [])
    received: Sequence[Entry] = at_receiver.streams.get(("received", sender), [])
    where = f"from {sender} to {receiver} in session {_short(at_sender.session)}"
    for number, (one, two) in enumerate(zip_longest(sent, received), 1):
        if one is None:
            result.faults.append(
                f"{_messages(len(received) - len(sent))} {where}, from line {received[len(sent)].line} of the ledger of "
                f"{receiver} on, {_is(len(received) - len(sent))} recorded as received and missing in the ledger of {sender}."
            )
            return
        if two is None:
            missing = len(sent) - len(received)
            sentence = (
                f"{_messages(missing)} {where}, from line {one.line} of the ledger of {sender} on, {_is(missing)} recorded as "
                f"sent and missing in the ledger of {receiver}"
            )
            if at_sender.end == at_receiver.end == FINISHED:
                result.faults.append(f"{sentence}, although the session was finished.")
            else:
                result.notes.append(f"{sentence}: in flight, or not yet recorded, when the session was cut off.")
            return
        difference = _difference(one, two)
        if difference:
            result.faults.append(
                f"Message {number:,} {where} is not the same in both: {difference} (line {one.line} of the ledger of {sender}, "
                f"line {two.line} of that of {receiver})."
            )
            return
        result.messages += 1


def _difference(one: Entry, two: Entry) -> str:
    if one.kind != two.kind:
        return f"{one.kind} was sent and {two.kind} received"
    if one.size != two.size:
        return f"a {one.kind} of {one.size:,} bytes was sent and one of {two.size:,} bytes received"
    return f"the digests of a {one.kind} differ" if one.digest != two.digest else ""


def _broken_signatures(holder: Examined, signer: Examined) -> Iterator[str]:
    """Heads in the ledger of `holder` for which the file of `signer` has another line than the signed one."""
    if holder.begin is None or signer.begin is None:
        return
    me, other = holder.begin.party, signer.begin.party
    for session in holder.sessions.values():
        for line, head in session.heads:
            if head.signer != other:
                continue
            present = signer.hash_of(head.lines)
            if present is None:
                yield (
                    f"{other} signed for {head.lines:,} lines of its ledger (line {line} of the ledger of {me}), and it has "
                    f"{signer.lines:,}: lines at its end were removed."
                )
                return
            if present.hex() != head.head:
                yield (
                    f"{other} signed for line {head.lines:,} of its ledger (line {line} of the ledger of {me}), which is now "
                    "another one: this line, or one before it, was changed afterwards."
                )
                return


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count:,} messages"


def _short(session: str) -> str:
    return session[:8]
