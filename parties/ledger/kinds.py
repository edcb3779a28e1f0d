"""The names that ledgers of version 0.1 have for kinds of message."""

from __future__ import annotations

from parties.checkpoints.start_messages import LocalStateOffer, StartDecision, StateKept, StateKeptByAll

_SINCE_0_1 = {
    "Greeting": "Handshake",
    "Holding": LocalStateOffer.__name__,
    "Beginning": StartDecision.__name__,
    "Kept": StateKept.__name__,
    "KeptByAll": StateKeptByAll.__name__,
}


def current_name(kind: str) -> str:
    """The present name of this kind. A ledger is never rewritten, so an older one has the old name."""
    return _SINCE_0_1.get(kind, kind)
