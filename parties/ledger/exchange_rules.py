"""Checks the lines around the heads that two parties exchanged, so that the other's signature covers this party's whole file.

SPEC.md, section 8. A head of format 2 names the last line that the owner of the file had reported. After that line come the
messages of the exchange, and then the two heads; `line_checks` calls this module line by line.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping

from parties.checkpoints.start_messages import LocalStateOffer, StartDecision, StateKept, StateKeptByAll
from parties.ledger.examination import SessionRecord, Way, signed_line_of, state_in
from parties.ledger.kinds import current_name
from parties.ledger.ledger_state import Stream
from parties.ledger.messages import OPEN_KINDS, LedgerHead, LedgerLastLine, as_messages
from parties.ledger.record import Crossed, Direction, Head
from parties.network import codec
from parties.network.driver import UNREADABLE
from vsplit.protocol import Message

START_KINDS = OPEN_KINDS | {LocalStateOffer.__name__, StartDecision.__name__, UNREADABLE}
"""What parties exchange until they have agreed on the start; a session of these alone began no run."""
_OF_EXCHANGE = frozenset({LedgerLastLine.__name__, LedgerHead.__name__})
_MESSAGES = 3  # that two parties exchange with their heads


class Exchanges:
    """The exchanges of heads in one session of the ledger of `me`, as its lines record them."""

    def __init__(self, me: str, now: SessionRecord, *, is_label: bool) -> None:
        self._me = me
        self._now = now
        self._is_label = is_label
        self._last_other = now.line  # the last line that is no part of an exchange
        self._lately: dict[str, deque[tuple[Direction, str, int]]] = defaultdict(lambda: deque(maxlen=_MESSAGES))
        self._since: dict[Way, list[str]] = {}  # the first kinds that crossed since the last head of a peer
        self._own: Head | None = None  # where the line before is one
        self._last: dict[str, Head] = {}  # of each peer, whatever is wrong with it
        self._beyond: dict[str, None] = {}  # the parties with which more crossed than the start of a session

    def message(self, line: Crossed) -> None:
        """The next line is this message."""
        way, self._own = (line.direction, line.peer), None
        self._lately[line.peer].append((line.direction, line.kind, line.size))
        if line.kind not in _OF_EXCHANGE:
            self._last_other = line.line
        kind = current_name(line.kind)
        if kind not in START_KINDS:
            self._beyond[line.peer] = None
        since = self._since.setdefault(way, [])
        if len(since) < _MESSAGES:  # enough to see that there are too many
            since.append(kind)

    def resent(self) -> None:
        """The next line records that messages were sent again."""
        self._own = None

    def own(self, line: Head) -> None:
        """The next line is a head of this party."""
        self._own = line

    def theirs(self, line: Head) -> str | None:
        """The next line is a head of `line.signer`; what is wrong with its position, to follow "has a head", or None."""
        peer, own = line.signer, self._own
        self._own, self._last[peer] = None, line
        self._since.update({("sent", peer): [], ("received", peer): []})
        if line.peer_lines is None:
            return None
        if own is None or not _is_pair(own, line):
            return f"of {peer} without that of {self._me} from the same exchange in the line before"
        if self._last_other > line.peer_lines:
            return (
                f"in which {peer} signed for line {line.peer_lines} as the last one, although line {self._last_other} was "
                "written before the exchange"
            )
        if not self._is_carried(line, own):
            return f"of {peer} that the messages before it did not carry: one of them was changed, left out or inserted"
        return None

    def faults_of_end(self) -> Iterator[str]:
        """The next line ends the session as finished; what is missing, to follow "ends the session as finished"."""
        for peer in self._beyond:
            last = self._last.get(peer)
            if last is None:
                yield f"without any head that {peer} signed: lines were removed before it"
            elif self._now.format > 1 and not last.final:
                yield f"without the head that {peer} signed at the end of the training: lines were removed before it"
            elif self._now.format > 1 and not self._all_is_stored(peer):
                yield (
                    f"without the two messages in which {self._me} and {peer} confirmed that all is stored, or with more than "
                    "these: lines after the last head were changed, removed or inserted"
                )

    def _is_carried(self, line: Head, own: Head) -> bool:
        """Whether the messages with `line.signer` since the reported line are those that carry the two heads."""
        of_feature, of_label = (line, own) if self._is_label else (own, line)
        up: Direction = "received" if self._is_label else "sent"
        down: Direction = "sent" if self._is_label else "received"
        (last_line, head), (_, answer) = as_messages(of_feature), as_messages(of_label)
        crossing: list[tuple[Direction, Message]] = [(up, last_line), (down, answer), (up, head)]
        expected = [(way, type(one).__name__, codec.size_of(codec.encode(one))) for way, one in crossing]
        all_crossed = self._now.counts["sent", line.signer] + self._now.counts["received", line.signer]
        return list(self._lately[line.signer]) == expected and all_crossed == line.sent + line.received + len(expected)

    def _all_is_stored(self, peer: str) -> bool:
        confirmed = [StateKept.__name__], [StateKeptByAll.__name__]
        received, sent = confirmed if self._is_label else confirmed[::-1]
        return self._since["received", peer] == received and self._since["sent", peer] == sent


def _is_pair(own: Head, theirs: Head) -> bool:
    """Whether the two are of one exchange: each names the last line that the other reported, at the same point of the run."""
    return (own.receiver, own.lines, own.head, own.peer_lines, own.peer_head, own.final) == (
        theirs.signer,
        theirs.peer_lines,
        theirs.peer_head,
        theirs.lines,
        theirs.head,
        theirs.final,
    )


def fault_of_head(me: str, now: SessionRecord, streams: Mapping[Way, Stream], line: Head) -> str | None:
    """What is wrong with a head itself, or with the messages that it covers, to follow "has a head", or None.

    `streams` are those of the session `now` of the ledger of `me`, up to this line.
    """
    signed_line = signed_line_of(line)
    if (signed_line is None) != (now.format == 1) or (signed_line is None and line.final):
        return f"of another format than that of the session in line {now.line}"
    statement = now.binding.statement(line.signer, line.receiver, state_in(line), signed_line)
    if not now.binding.is_signed(line.signer, statement, bytes.fromhex(line.signature)):
        return (
            f"that {line.signer} has not signed: the signature does not fit what it says, or the identity of {line.signer} in "
            f"line {now.line}"
        )
    peer = line.receiver if line.signer == me else line.signer
    if not _is_recorded(me, peer, streams, line):
        return (
            f"in which {line.signer} signed for other messages than this ledger has between {me} and {peer}: messages before "
            "it were changed, left out or inserted"
        )
    return None


def _is_recorded(me: str, peer: str, streams: Mapping[Way, Stream], line: Head) -> bool:
    ways: tuple[Direction, Direction] = ("sent", "received") if line.signer == me else ("received", "sent")
    signed = (line.sent, line.sent_stream), (line.received, line.received_stream)
    for way, (count, value) in zip(ways, signed, strict=True):
        recorded = streams[way, peer].value_at(count)
        if recorded is None or recorded.hex() != value:
            return False
    return True
