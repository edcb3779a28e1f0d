"""What every transport does, whatever it runs over: the driver knows this and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from parties.network.identity import PARTY_NAME
from vsplit.protocol import Bytes, PeerAbsent, PeerLost, ProtocolError, StoppedError, VsplitError

# What one link keeps of messages that its role has not asked for yet, in bytes, and what it keeps of messages that
# the other side has not acknowledged yet. Beyond it, the sender waits.
QUEUE = 32 * 1024 * 1024

# No single message may be longer, in bytes, whatever a role would take.
MOST_MESSAGE = 1 << 30


class Transport(Protocol):
    """Ordered, bounded, authenticated message passing between this party and the others.

    Every call raises StoppedError, PeerLost or ProtocolError as soon as *any* peer has stopped, is gone or misbehaves:
    a session goes on with all its parties or not at all.
    """

    def send(self, to: str, parts: Sequence[memoryview]) -> None:
        """Queue one message for the party `to`; returns before it has arrived, and waits while the queue is full."""

    def receive(self, sender: str, limit: int) -> Bytes:
        """The next message of `sender`, a writable uint8 array [n] on a 64-byte boundary; waits for it.

        Raises ProtocolError where it is longer than `limit` bytes.
        """

    def finish(self) -> list[VsplitError]:
        """All went well here: deliver what is queued, say that no more will come, and close once the others say so too.

        Waits as long as they are alive, since their part may be longer than this party's. Raises nothing, since this
        party has all that it needs: what went wrong at the farewell is the answer.
        """

    def stop(self, word: str) -> None:
        """Something went wrong here: tell the others in one word, without waiting for them, and close."""


@dataclass(frozen=True, slots=True)
class Absence:
    """A peer whose link is lost: why, since when and until when one waits for it, both in seconds of the epoch, and the
    seconds that are left."""

    peer: str
    why: str
    since: float
    until: float
    left: float


class LinkObserver(Protocol):
    """Who is told what happens to the links. Calls come from the party's thread or from the one that keeps the links,
    one at a time, and return at once. A VsplitError that one raises ends the session."""

    def lost(self, peer: str, why: str) -> None:
        """The link to `peer` is lost, and is being made again; `why` goes on from "the link ..."."""

    def away(self, absences: Sequence[Absence]) -> None:
        """These peers are away still: about once a second."""

    def back(self, peer: str) -> None:
        """The link to `peer` is there again."""

    def resent(self, peer: str, first: int, last: int, size: int) -> None:
        """Messages `first` to `last` of this session to `peer`, counted from 1, were on their way when the link was lost, and
        go again: `size` bytes with their frames."""


class LinkObservers:
    """Hands on to any number of observers, and keeps the first error of one in `failure`."""

    def __init__(self, *observers: LinkObserver) -> None:
        self.all = list(observers)
        self.failure: VsplitError | None = None

    def lost(self, peer: str, why: str) -> None:
        self._tell(lambda observer: observer.lost(peer, why))

    def away(self, absences: Sequence[Absence]) -> None:
        self._tell(lambda observer: observer.away(absences))

    def back(self, peer: str) -> None:
        self._tell(lambda observer: observer.back(peer))

    def resent(self, peer: str, first: int, last: int, size: int) -> None:
        self._tell(lambda observer: observer.resent(peer, first, last, size))

    def _tell(self, tell: Callable[[LinkObserver], None]) -> None:
        for observer in self.all:
            try:
                tell(observer)
            except VsplitError as error:
                self.failure = self.failure or error


class StartedAgain(StoppedError):  # noqa: N818 - a state of the world, as the other errors about peers
    """`peer` is another process than the one that the session began with, and knows nothing of it."""

    word: ClassVar[str] = "again"

    def __init__(self, peer: str) -> None:
        super().__init__(
            peer, f"{peer} was started again: start this party again too, and a run goes on from its last checkpoint."
        )


STOP_WORDS = {
    "config": "found its config wrong",
    "storage": "cannot write a file of its own, as where a disk is full",
    "data": "cannot use its data as it is",
    "refused": "refuses what the job asks of it, or the length of a list, or one more run",
    "peer": "was let down by another party",
    "protocol": "says that another party broke the protocol",
    "mismatch": "says that the parties do not run the same job",
    "stopped": "was told by another party to stop",
    "link": "lost its link to another party",
    "twice": "has a link to a party with this identity already (is this party started twice?)",
    "again": "says that a party was started again",
    "interrupted": "was interrupted there",
    "error": "failed with an unforeseen error",
}


def stop_sentence(peer: str, word: str) -> str:
    """What a person reads when `peer` stopped with `word`; an unknown word is not repeated."""
    why = STOP_WORDS.get(word, "gave no known reason")
    if word == "twice":
        return f"{peer} stopped the session: it {why}. End one of the two."
    if word == "again":
        return (
            f"{peer} stopped the session: it {why}. Start this party again too; a run goes on from its last checkpoint."
        )
    return f"{peer} stopped the session: it {why}; its own screen says more. Ask there, then start all parties again."


# The same where a party ended before it had met all others; the sentence goes on from "<party> stopped before the run began: ".
_BEFORE = {
    "config": "its config is wrong, or a file, a package or a device that it needs is missing",
    "storage": "it cannot write a file of its own, as where a disk is full",
    "data": "its data cannot be used",
    "refused": "its party file does not allow what the job asks, or how long a list is, or one more run",
    "peer": "another party let it down",
    "protocol": "another party broke the protocol",
    "mismatch": "the parties do not run the same job",
    "stopped": "another party told it to stop",
    "link": "another party did not connect, or its link was lost",
    "interrupted": "it was interrupted there",
    "error": "it failed with an unforeseen error",
}
# What the label party says of another one, where that is not "<party> stopped before the run began: ".
_ABSENT = "link"


def stopped(peer: str, reason: str, *, begun: bool) -> StoppedError:
    """The error where `peer` stopped and gave this reason: a word, or the word and the name of the party that it is about.

    `begun`: all parties were there.
    """
    word, _, about = reason.partition(" ")
    if PARTY_NAME.fullmatch(about) and word in _BEFORE and about != peer:
        return StoppedError(peer, _passed_on(peer, word, about))
    known = word if word in STOP_WORDS and not about else ""
    if begun or known in ("twice", "again"):
        return StoppedError(peer, stop_sentence(peer, known), known)
    why = _BEFORE.get(known, "it gave no known reason")
    return StoppedError(
        peer,
        f"{peer} stopped before the run began: {why}. Its own screen says more: ask there, then start all parties again.",
        known,
    )


def reason_of(error: BaseException) -> str:
    """What a party that ends before all have met tells the others: its own word, or that of another party and whose it is."""
    if isinstance(error, StoppedError) and error.why:
        return f"{error.why} {error.peer}"
    if isinstance(error, PeerAbsent):
        return f"{error.word} {error.peer}"
    return stop_word(error)


def stop_word(error: BaseException) -> str:
    """The one word that the others are told of what ended this party's life."""
    if isinstance(error, VsplitError):
        return error.word
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "error"


def _passed_on(peer: str, word: str, about: str) -> str:
    if word == _ABSENT:
        return (
            f"{about} did not connect in time, or its link was lost, says {peer}: no run began. Ask at {about}, then start all "
            "parties again."
        )
    return (
        f"{about} stopped before the run began: {_BEFORE[word]}, says {peer}. The screen of {about} says more: ask there, then "
        "start all parties again."
    )


def checked_length(peer: str, data: Bytes, limit: int) -> Bytes:
    """`data` if it is no longer than `limit` bytes; ProtocolError otherwise."""
    if len(data) > limit:
        raise too_long(peer, len(data), limit)
    return data


def too_long(peer: str, size: int, limit: int) -> ProtocolError:
    """The error for a message of `size` bytes from `peer` where a role takes at most `limit`."""
    return ProtocolError(
        peer,
        f"{peer} sent a message of {size:,} bytes where at most {limit:,} are allowed: its program is another version or does "
        "not follow the protocol, so ask there.",
    )


def given_up(peer: str, how: str, wait: float, tried: str = "") -> PeerLost:
    """The error for a peer whose link was lost, `how` goes on from "the link ...", and did not come back in `wait` seconds."""
    last = f" ({tried})" if tried else ""
    return PeerLost(
        peer,
        f"The link to {peer} {how}, and it did not come back within {wait:g} s{last}: its program was ended, its machine or "
        "the network failed. Give the same command at all parties when it is back: a run goes on from its last checkpoint.",
    )
