"""The messages in which parties agree on where a run starts, and confirm what they have stored. SPEC.md, section 4.

They hold names that were drawn at random, and steps: nothing about a record.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from parties.checkpoints.local_state import STEPS_STORED
from vsplit.protocol import Message

RUN = 16
"""Bytes of a run's name."""
NEW_RUN = -1
"""The step of a decision for a new alignment."""

_MOST = 1 << 60
Stage = Literal["alignment", "final"]
End = Literal["", "over", "lacking", "apart", "outcome"]
"""Why no party starts (empty: all start).

over      every party that still has the run has its outcome, and all others have finished it: no party needs another one
lacking   the party named has nothing of a run whose alignment all had
apart     all have the alignment, and no state is common to all; the states of the first party named are the oldest, and
          those of the second the latest
outcome   the second party named has finished the run, for which all had the outcome; the first has none
"""
_NAMED: dict[End, int] = {"": 0, "over": 0, "lacking": 1, "apart": 2, "outcome": 2}


class LocalStateOffer(Message, frozen=True, kw_only=True, eq=False):
    """Feature party to label party, after the handshake: what it has of a run that is not finished.

    `steps`: see `parties.checkpoints.local_state.LocalState`. `finished` names the run whose results it has (empty: none).
    """

    reveals: ClassVar[str] = (
        "which run it has finished last and which unfinished one it has, by random names, and up to which step"
    )

    run: bytes
    agreed: bool
    steps: list[int]
    final: bool
    finished: bytes

    def check(self) -> None:
        if any(len(run) not in (0, RUN) for run in (self.run, self.finished)):
            raise ValueError(f"the name of a run has {RUN} bytes")
        if len(self.steps) > STEPS_STORED or any(not 0 <= step < _MOST for step in self.steps):
            raise ValueError("a party stores the last steps only")
        if bool(self.run) != bool(self.steps):
            raise ValueError("a party offers steps if it has a run, and only then")


class StartDecision(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party: where all parties start, or why none does.

    `step` is -1 for a new alignment, 0 for the beginning of a training on the alignment that all have; `final`: all have
    the outcome. Where no party starts, `end` says why, and `about` names up to two parties: see `End`.
    """

    reveals: ClassVar[str] = (
        "from which step of which run, by a random name, all parties resume; or that it is finished, or which party's files do "
        "not fit those of the other parties"
    )

    run: bytes
    step: int
    final: bool
    end: End
    about: list[str]

    def check(self) -> None:
        if len(self.run) != RUN or not NEW_RUN <= self.step < _MOST:
            raise ValueError("a run has a name, and starts at a step")
        if len(self.about) != _NAMED[self.end]:
            raise ValueError("each reason names a certain number of parties")


class StateKept(Message, frozen=True, kw_only=True, eq=False):
    """Feature party to label party: it has stored its side of the alignment, or its outcome."""

    reveals: ClassVar[str] = "that the sender has reached this point, and nothing else"

    what: Stage


class StateKeptByAll(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party: all parties have stored theirs."""

    reveals: ClassVar[str] = "that all parties have reached this point, and nothing else"

    what: Stage
