"""What every transport offers, whatever it runs over: the driver depends on this alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vsplit.protocol import Bytes, PeerLost, ProtocolError, VsplitError

# Bytes that one link holds of received messages that no role has asked for yet, and of sent messages that the other side has
# not acknowledged yet. Beyond it, the sender waits.
QUEUE = 32 * 1024 * 1024

# Bytes of the longest message, whatever limit a role sets.
MOST_MESSAGE = 1 << 30


class Transport(Protocol):
    """Ordered, bounded, authenticated message passing between this party and the other parties.

    Every call raises StoppedError, PeerLost or ProtocolError as soon as *any* peer has stopped, is gone or violates the
    protocol: a session continues with all its parties or not at all.
    """

    def send(self, to: str, parts: Sequence[memoryview]) -> None:
        """Queue one message for the party `to`. Returns before it has arrived, and waits while the queue is full."""

    def receive(self, sender: str, limit: int) -> Bytes:
        """Wait for the next message of `sender` and return it, a writable uint8 array [n] on a 64-byte boundary.

        Raises ProtocolError where it is longer than `limit` bytes.
        """

    def finish(self) -> list[VsplitError]:
        """Close after success: deliver what is queued, announce that no more follows, and wait for the same from all peers.

        Waits as long as the peers are connected, since their part may take longer than this party's. Raises nothing, since
        this party has all that it needs: errors during the closing are returned.
        """

    def stop(self, reason: str) -> None:
        """Close after a failure: send the reason code to all peers, without waiting for them."""


@dataclass(frozen=True, slots=True)
class Loss:
    """How a connection was lost, to follow "the link ...", and when: by the transport's clock and in seconds of the epoch."""

    how: str
    since: float
    at: float


@dataclass(frozen=True, slots=True)
class Absence:
    """A peer whose link is lost: why, since when and until when this party waits for it, both in seconds of the epoch, and
    the seconds left."""

    peer: str
    why: str
    since: float
    until: float
    left: float


class LinkObserver(Protocol):
    """Receives the events of the links. Calls come from the party's thread or from the one that serves the links, one at a
    time, and must return at once. A VsplitError that an observer raises ends the session."""

    def lost(self, peer: str, why: str) -> None:
        """The link to `peer` is lost and is being re-established; `why` follows "the link ..."."""

    def away(self, absences: Sequence[Absence]) -> None:
        """These peers are still disconnected; called about once a second."""

    def back(self, peer: str) -> None:
        """The link to `peer` is re-established."""

    def resent(self, peer: str, first: int, last: int, size: int) -> None:
        """Messages `first` to `last` of this session to `peer`, counted from 1, were in flight when the link was lost and are
        sent again: `size` bytes with their frames."""


class LinkObservers:
    """Passes events on to any number of observers, and stores the first error that one raises in `failure`."""

    def __init__(self, *observers: LinkObserver) -> None:
        self.all = list(observers)
        self.failure: VsplitError | None = None

    def lost(self, peer: str, why: str) -> None:
        self._each(lambda observer: observer.lost(peer, why))

    def away(self, absences: Sequence[Absence]) -> None:
        self._each(lambda observer: observer.away(absences))

    def back(self, peer: str) -> None:
        self._each(lambda observer: observer.back(peer))

    def resent(self, peer: str, first: int, last: int, size: int) -> None:
        self._each(lambda observer: observer.resent(peer, first, last, size))

    def _each(self, call: Callable[[LinkObserver], None]) -> None:
        for observer in self.all:
            try:
                call(observer)
            except VsplitError as error:
                self.failure = self.failure or error


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
        "not follow the protocol; ask there.",
    )


def given_up(peer: str, loss: Loss, wait: float, tried: str = "") -> PeerLost:
    """The error for a peer whose link was lost and not re-established within `wait` seconds; `tried`: the last attempt."""
    last = f" ({tried})" if tried else ""
    return PeerLost(
        peer,
        f"The link to {peer} {loss.how}, and was not re-established within {wait:g} s{last}: its program was ended, or its "
        "machine or the network failed. Give the same command at all parties once it is available again: a run resumes from "
        "its last checkpoint.",
    )
