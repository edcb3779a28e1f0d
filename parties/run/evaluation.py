"""Evaluates the joint model at the label party, beside a model that the label party trains alone on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from parties.config.local_model import LocalModel
from parties.data.party_data import PartyData
from parties.monitoring.events import Step
from parties.network.driver import drive
from parties.network.memory import MemoryNetwork
from parties.network.worker_pool import Pool
from parties.report.content import SplitScores
from parties.report.words import METRIC_NAMES
from parties.run.context import RunContext
from parties.run.model_store import trained_classes
from parties.run.preparation import PreparedTraining
from parties.run.training import AloneModel, train_alone
from vsplit.evaluation.curves import curves
from vsplit.evaluation.metrics import MAIN_METRIC, Comparison, compare
from vsplit.learn.label import Predictions
from vsplit.protocol import Note, Role

R = TypeVar("R")

ALONE = "training alone"

# The bootstrap's draws, so that equal predictions give equal intervals.
_BOOTSTRAP_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The scores on the validation and the test rows, and the main ones in a line each.

    `alone` is the label party's own model; None: there is none.
    """

    splits: dict[str, SplitScores]
    alone: AloneModel | None
    lines: list[str]


def evaluate(
    me: str,
    party_data: PartyData,
    trained: PreparedTraining,
    model: LocalModel,
    seed: int | bytes,
    context: RunContext,
    pool: Pool,
) -> Evaluation:
    """Train the label party's model alone, then compare. `seed` is that of the initial weights.

    Raises DataError where a model's predictions are no finite numbers.
    """
    context.show(Step(ALONE))
    values = party_data.label_values(trained.shared.rows)
    alone, missing = None, f"{me}'s model alone diverged in training, so there is nothing to compare with."
    try:
        alone = train_alone(me, trained, values, model, seed, lambda role: _drive_alone(me, role, context, pool))
    except KeyboardInterrupt:  # the joint model is complete, and must not be lost for want of a comparison
        missing = f"The training of {me} alone was interrupted, so there is nothing to compare with."
    context.show(Step("evaluating"))
    if trained.joint is None:
        raise ValueError("the label party has predictions")
    classes = list(trained_classes(party_data.labels, trained)) if trained.plan.task == "multiclass" else None
    splits = score_splits(trained, values, alone.predictions if alone else None, classes)
    lines = _headlines(me, trained.plan.task, splits["test"].comparison)
    return Evaluation(splits, alone, lines if alone is not None else [*lines, missing])


def score_splits(
    trained: PreparedTraining, truth: npt.NDArray[np.generic], alone: Predictions | None, classes: list[str] | None
) -> dict[str, SplitScores]:
    """The joint model's scores on the validation and the test rows, beside those of the label party alone.

    `truth` are the encoded labels of the shared rows. With many rows for one person the scores are over rows and their
    intervals over persons.
    """
    groups, splits = trained.shared.groups, {}
    for name in ("validation", "test"):
        rows: npt.NDArray[np.int64] = getattr(trained.split, name)
        scores = (trained.plan.task, truth[rows], getattr(trained.joint, name), getattr(alone, name, None))
        persons = None if groups is None else groups.person[rows]
        splits[name] = SplitScores(
            comparison=compare(*scores, seed=_BOOTSTRAP_SEED, persons=persons), curves=curves(*scores, classes=classes)
        )
    return splits


def _headlines(me: str, task: str, test: Comparison) -> list[str]:
    """The main metric on the test rows, together and alone, in a line each."""
    metric = MAIN_METRIC[task]
    name = METRIC_NAMES[metric].replace("²", "2")  # a screen may lack it
    lines = []
    for what, key in (("together", "joint"), (f"{me} alone", "alone"), ("gain", "difference")):
        if key not in test:
            continue
        estimate = test[key][metric]  # type: ignore[literal-required]
        value = (
            f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"
            if estimate
            else "not defined here"
        )
        lines.append(f"test {name} {what}: {value}")
    return lines


def _drive_alone(me: str, role: Role[R], context: RunContext, pool: Pool) -> R:
    """Run a role that exchanges no messages, on a network of one party."""

    def note(note: Note) -> None:
        context.show(Step(ALONE, note.done, note.total, note.text))

    return drive(role, MemoryNetwork([me]).endpoint(me), pool, note=note)
