"""Checks a ledger line by line, and reports each fault in a sentence. SPEC.md, section 8."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from parties.ledger.examination import Examined, SessionRecord, Way, signed_line_of
from parties.ledger.exchange_rules import Exchanges, fault_of_head
from parties.ledger.ledger_state import Stream
from parties.ledger.record import (
    CUT,
    FINISHED,
    AnyLine,
    Begin,
    Crossed,
    End,
    Head,
    NewSession,
    Resent,
    Torn,
    chained,
    decode,
    encode,
    position_of,
)
from parties.ledger.signing import SessionBinding, is_signed, public_keys
from vsplit.protocol import ConfigError

# A head follows what it covers, by as many messages as heads are themselves.
_RECENT = 64

_NOT_THERE = "in which {} signed for another line {} than the one here"
_CHANGED = (
    "in which {} signed for line {}, which is now another one: this line or one before it was changed, removed or inserted "
    "afterwards"
)

Each = Callable[[SessionRecord, Crossed | Resent | Head], None]


class LineChecker:
    """Checks the lines of one ledger in their order. `each` is called with those about messages, and their session."""

    def __init__(self, found: Examined, each: Each) -> None:
        self.found = found
        self._each = each
        self._at = 0  # the line of the file that is checked
        self._due = 1  # the number that it must carry
        self._doubted = False  # the previous line had a fault, so that the next one need not fit it
        self._others: frozenset[str] = frozenset()  # with whom messages are exchanged in this session
        self._peer: str | None = None  # with whom a feature party exchanges all of its messages: the label party
        self._streams: dict[Way, Stream] = {}
        self._numbers: dict[Way, int] = {}
        self._exchanges: Exchanges  # of the current session
        # By the line that was signed for: the line of the head, the hash that it names, and the fault if it is another one.
        # Only those for lines whose hashes are no longer retained, since many lines may have followed.
        self.late: dict[int, list[tuple[int, str, str]]] = defaultdict(list)

    def next_line(self, raw: bytes) -> None:
        """Check the next line, without its line feed."""
        self._at += 1
        found = self.found
        before, count = found.last, found.fault_count
        found.last = chained(raw)
        found.hashes.add(bytes.fromhex(found.last))
        found.whole += len(raw) + 1
        try:
            line = decode(raw)
            if encode(line) != raw:
                raise ValueError("another spelling")
        except ValueError:
            self._fault("is not a line as vsplit writes it: it was changed, or is damaged")
            self._due += 1
        else:
            self._check_chain(line, before)
            self._check_content(line)
        self._doubted = found.fault_count > count

    def recheck(self, number: int, raw: bytes) -> None:
        """Check line `number` once more, for the heads in `late`."""
        for at, expected, what in self.late.get(number, ()):
            if chained(raw) != expected:
                self._at = at
                self._fault(what)

    def finish(self, unfinished: bool) -> None:
        """Check the end: there are no more lines."""
        found = self.found
        if found.begin is None and not found.fault_count and not unfinished:
            found.fault(0, "The file has no line that begins a ledger.")
        if unfinished:
            return
        if found.torn:
            found.fault(
                self._at + 1,
                f"Line {self._at + 1} has no end: the file was cut in the middle of a line, or by a crash.",
            )
        if found.begin is not None and (found.open_session is not None or not found.sessions):
            found.fault(
                self._at,
                f"No closing line follows line {self._at}, as it does where a session has ended: lines were cut off "
                "at the end, or the run was killed, or has not ended yet.",
            )

    def _fault(self, what: str) -> None:
        self.found.fault(self._at, f"Line {self._at} {what}.")

    def _check_chain(self, line: AnyLine, before: str) -> None:
        due = self._due
        if line.line > due:
            missing = f"line {due} is" if line.line == due + 1 else f"lines {due} to {line.line - 1} are"
            self._fault(f"carries the number {line.line}, so {missing} missing before it, or lines were exchanged")
        elif line.line < due:
            self._fault(
                f"carries the number {line.line} where {due} is expected: a line was inserted, repeated or moved"
            )
        elif line.before != before and not self._doubted:
            changed = (
                f"does not follow line {self._at - 1}, which was changed after it had been written, or is another one"
            )
            self._fault(changed if self._at > 1 else "refers to a line before it, which is missing")
        self._due = max(due, line.line + 1)

    def _check_content(self, line: AnyLine) -> None:
        begin, now = self.found.begin, self.found.open_session
        if isinstance(line, Begin):
            self._begin(line)
        elif begin is None:
            if self._at == 1:
                self._fault("is not the line that begins a ledger, so lines are missing before it")
        elif isinstance(line, NewSession):
            self._session(begin, line)
        elif isinstance(line, Torn):
            self.found.cut += 1
        elif now is None or line.session != now.session:
            self._fault("belongs to a session that is not open here")
        elif isinstance(line, Crossed):
            self._message(now, line)
        elif isinstance(line, Resent):
            self._resent(now, line)
        elif isinstance(line, Head):
            self._head(begin.party, now, line)
        else:
            self._ended(begin.party, now, line)

    def _begin(self, line: Begin) -> None:
        if self._at > 1:
            self._fault("begins another ledger inside this one")
        else:
            self.found.begin = line

    def _session(self, begin: Begin, line: NewSession) -> None:
        identities = _keys_in(line.identities)
        if not identities:
            self._fault("names an identity that is not valid")
        if line.session in self.found.sessions:
            self._fault("begins a session of a name that an earlier one has")
        if self.found.open_session is not None:
            self._fault("begins a session before the previous one has ended")
        binding = SessionBinding(bytes.fromhex(line.digest), bytes.fromhex(line.session), identities, line.format)
        now = SessionRecord(line.session, self._at, line.time, line.job, line.identities, binding, line.format)
        self.found.sessions[line.session] = self.found.open_session = now
        self._others, self._peer = frozenset(line.identities) - {begin.party}, None
        self._exchanges = Exchanges(begin.party, now, is_label=begin.role == "label")
        self._streams, self._numbers = defaultdict(lambda: Stream(_RECENT)), defaultdict(int)

    def _message(self, now: SessionRecord, line: Crossed) -> None:
        way = line.direction, line.peer
        if line.peer not in self._others or (self._peer not in (None, line.peer)):
            self._fault("names a party with which this one exchanges no messages")
        if self.found.begin is not None and self.found.begin.role == "feature":
            self._peer = self._peer or line.peer
        now.counts[way] += 1
        due = self._numbers[way] + 1
        if line.number != due:
            which = f"message {line.number:,} {_words(way)}, where number {due:,} is expected"
            self._fault(f"is {which}: a message is missing, or was inserted")
        self._numbers[way] = line.number
        if line.peer in self._others:  # so that a file cannot have more streams than a session has parties
            self._streams[way].add(line.kind, line.size, bytes.fromhex(line.digest))
            self._exchanges.message(line)
        self._each(now, line)

    def _resent(self, now: SessionRecord, line: Resent) -> None:
        if not line.first <= line.last <= self._numbers["sent", line.peer]:
            self._fault(f"says that messages to {line.peer} were sent again which this ledger does not have")
        self._exchanges.resent()
        self._each(now, line)

    def _head(self, me: str, now: SessionRecord, line: Head) -> None:
        peer = line.receiver if line.signer == me else line.signer
        if {line.signer, line.receiver} != {me, peer} or not {me, peer} <= now.binding.identities.keys() or me == peer:
            self._fault("is a head between other parties")
            return
        fault = fault_of_head(me, now, self._streams, line)
        if line.signer == me:
            self._exchanges.own(line)
            fault = fault or self._fault_of_line(line.lines, line.head, _NOT_THERE.format(line.signer, line.lines))
        else:
            out_of_place = self._exchanges.theirs(line)
            if line.peer_lines is not None and line.peer_head is not None:
                changed = _CHANGED.format(line.signer, line.peer_lines)
                fault = fault or self._fault_of_line(line.peer_lines, line.peer_head, changed)
            fault = fault or out_of_place
        if fault is None:  # otherwise it does not cover the lines here
            now.last_heads[line.signer] = line
            signed_line = signed_line_of(line)
            if signed_line is not None and line.signer != me:
                self.found.signed_lines[peer] = signed_line
        else:
            self._fault(f"has a head {fault}")
        self._each(now, line)

    def _fault_of_line(self, number: int, expected: str, what: str) -> str | None:
        """`what`, where line `number` of this file is not the signed one; None also where that is checked later."""
        present = self.found.hash_of(number)
        if present is None and number <= self.found.lines:
            self.late[number].append((self._at, expected, f"has a head {what}"))
            return None
        return None if present is not None and present.hex() == expected else what

    def _ended(self, me: str, now: SessionRecord, line: End) -> None:
        if line.identity is not None and line.word != CUT:
            self._fault(
                f"ends the session with {line.word} under another identity of {me} than that of the session: only a session "
                "that was cut off is ended under another one"
            )
        statement = now.binding.end_statement(me, line.word, position_of(line))
        key = now.binding.identities.get(me, b"")
        if line.identity is not None:
            key = _keys_in({me: line.identity}).get(me, b"")
        if not is_signed(key, statement, bytes.fromhex(line.signature)):
            self._fault(f"ends the session without the signature of {me}: it or a line before it was changed")
        if line.word == FINISHED:
            for what in self._exchanges.faults_of_end():
                self._fault(f"ends the session as finished {what}")
        now.end, now.end_identity, self.found.open_session = line.word, line.identity, None


def _keys_in(identities: Mapping[str, str]) -> dict[str, bytes]:
    """The keys of identity lines; none, so that no signature is valid, where one of them is not valid."""
    try:
        return public_keys(identities)
    except ConfigError:
        return {}


def _words(way: Way) -> str:
    return f"to {way[1]}" if way[0] == "sent" else f"from {way[1]}"
