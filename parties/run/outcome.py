"""The outcome of a run at one party."""

from __future__ import annotations

from dataclasses import dataclass

from parties.checkpoints.snapshots import AlignedRun
from parties.ledger.ledger import Closed
from parties.network.driver import Traffic
from parties.run.evaluation import Evaluation
from parties.run.preparation import PreparedTraining


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """All that the results are written from. `evaluation` is None at a feature party, `ledger` where nothing crossed."""

    aligned: AlignedRun
    trained: PreparedTraining
    evaluation: Evaluation | None
    traffic: Traffic
    ledger: Closed | None
