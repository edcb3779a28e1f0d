"""Kinds of message by the names that ledgers of version 0.1 have for them."""

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
    """The name of this kind today; a ledger is never rewritten, so an older one keeps the name that it was given."""
    return _SINCE_0_1.get(kind, kind)
