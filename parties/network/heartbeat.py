"""The heartbeat of one link: when this side has to send one, and when the other side counts as silent."""

from __future__ import annotations

BEAT = 0.25
"""Seconds between two heartbeats."""
SILENT = 5.0
"""Seconds without a byte after which a connection counts as lost. A long call that holds Python's lock, or a machine that
swaps, can delay the heartbeats by a second or two. An error costs one more handshake, since a peer is given up only after the
`wait` of the party file."""


class Heartbeat:
    """Times on one connection, made at `now`, in seconds of a monotonic clock."""

    def __init__(self, now: float) -> None:
        self.received = now  # when the last bytes came
        self.sent = now  # when this side last wrote
        # When this side last did not read, as its queue was full: then it cannot call the other side silent.
        self.paused = now

    def restart(self, now: float) -> None:
        """A new connection was made."""
        self.received = self.sent = now

    def due(self, now: float) -> bool:
        """This side has written nothing for the time of a heartbeat."""
        return now - self.sent > BEAT

    def silent(self, now: float) -> bool:
        """Nothing came from the other side for too long, while this side was reading."""
        return now - max(self.received, self.paused) > SILENT
