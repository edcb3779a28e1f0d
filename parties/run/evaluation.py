"""How good the model is, at the label party: scores beside the label party alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from parties.data.party_data import PartyData
from parties.report.content import Judgement
from parties.report.words import METRIC_NAMES
from parties.run.model_store import trained_classes
from parties.run.training import PreparedTraining
from vsplit.evaluation.curves import curves
from vsplit.evaluation.metrics import MAIN_METRIC, Comparison, compare
from vsplit.learn.label import Predictions

# The bootstrap's draws, so that equal predictions give equal intervals.
_BOOTSTRAP_SEED = 0


def evaluate(party_data: PartyData, trained: PreparedTraining, alone: Predictions | None) -> dict[str, Judgement]:
    """The joint model's scores on the validation and the test rows, beside those of the label party alone.

    With many rows for one person the scores are over rows and their intervals over persons. Raises DataError where a
    model's predictions are no finite numbers.
    """
    truth, groups = party_data.label_values(trained.shared.rows), trained.shared.groups
    classes = list(trained_classes(party_data, trained)) if trained.plan.task == "multiclass" else None
    judged = {}
    for name in ("validation", "test"):
        rows: npt.NDArray[np.int64] = getattr(trained.split, name)
        scores = (trained.plan.task, truth[rows], getattr(trained.joint, name), getattr(alone, name, None))
        persons = None if groups is None else groups.person[rows]
        judged[name] = Judgement(
            comparison=compare(*scores, seed=_BOOTSTRAP_SEED, persons=persons), curves=curves(*scores, classes=classes)
        )
    return judged


def headlines(party_data: PartyData, test: Comparison) -> list[str]:
    """The main metric on the test rows, together and alone, in a line each."""
    metric = MAIN_METRIC[party_data.party.job.task]
    name = METRIC_NAMES[metric].replace("²", "2")  # a screen may lack it
    lines = []
    for what, key in (("together", "joint"), (f"{party_data.party.name} alone", "alone"), ("gain", "difference")):
        if key not in test:
            continue
        found = test[key][metric]  # type: ignore[literal-required]
        value = f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})" if found else "not defined here"
        lines.append(f"test {name} {what}: {value}")
    return lines
