"""What re-establishes a lost link: the label party awaits the peer (`Admission`), a feature party dials (`Redialler`)."""

from __future__ import annotations

from typing import Protocol

from parties.network.link import Link


class Reconnector(Protocol):
    """Re-establishes the lost links of one party."""

    tried: str  # what went wrong in the last attempt, for the error about a peer that is given up; may be empty

    def fileno(self) -> int:
        """A descriptor that can be read when `serve` has something to do."""

    def serve(self, links: dict[str, Link], now: float) -> None:
        """Continue with it, without blocking."""

    def close(self) -> None:
        """Re-establish no link any more."""
