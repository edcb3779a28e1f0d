"""What a party has of a run, as it offers it to the other parties."""

from __future__ import annotations

from dataclasses import dataclass

STEPS_STORED = 2
"""States of the training are stored for so many steps, the last ones."""


@dataclass(frozen=True, slots=True)
class LocalState:
    """What a party has of a run: the run's name (empty: nothing), the steps, the outcome.

    `agreed`: all parties have, or had, the alignment. `steps`: those at which this party can start; 0, the beginning of the
    training, is among them as long as no more than its first state would be lost by that. `final`: this party's outcome is
    stored; `finished_by_all`: that of every party is. `finished` names the run whose results are in the run folder (empty:
    none). `restart`: the operator asked for a new start, so that nothing is offered.
    """

    run: bytes = b""
    agreed: bool = False
    steps: tuple[int, ...] = ()
    final: bool = False
    finished_by_all: bool = False
    finished: bytes = b""
    restart: bool = False
