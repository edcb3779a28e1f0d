"""What every transport does, whatever it runs over: the driver knows this and nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vsplit.protocol import Bytes, ProtocolError, VsplitError

# What one link keeps of messages that its role has not asked for yet, in bytes, and what it keeps of messages that
# the other side has not taken yet. Beyond it, the sender waits.
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


STOP_WORDS = {
    "config": "found its config wrong",
    "data": "cannot use its data as it is",
    "refused": "refuses what the job asks of it, or the length of a list, or one more run",
    "peer": "was let down by another party",
    "protocol": "says that another party broke the protocol",
    "mismatch": "says that the parties do not run the same job",
    "stopped": "was told by another party to stop",
    "link": "lost its link to another party",
    "twice": "has a link to a party with this identity already (is this party started twice?)",
    "interrupted": "was interrupted there",
    "error": "failed with an unforeseen error",
}


def stop_sentence(peer: str, word: str) -> str:
    """What a person reads when `peer` stopped with `word`; an unknown word is not repeated."""
    why = STOP_WORDS.get(word, "gave no known reason")
    if word == "twice":
        return f"{peer} stopped the session: it {why}. End one of the two."
    return f"{peer} stopped the session: it {why}; its own screen says more. Ask there, then start all parties again."


def checked_length(peer: str, data: Bytes, limit: int) -> Bytes:
    """`data` if it is no longer than `limit` bytes; ProtocolError otherwise."""
    if len(data) > limit:
        raise too_long(peer, len(data), limit)
    return data


def too_long(peer: str, size: int, limit: int) -> ProtocolError:
    """The error for a message of `size` bytes from `peer` where a role takes at most `limit`."""
    return ProtocolError(peer, f"{peer} sent a message of {size:,} bytes where at most {limit:,} are allowed.")
