"""The data for the plots of a report: curves, bins and counts, JSON-ready."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

from vsplit.evaluation.metrics import Task, checked_scores
from vsplit.evaluation.weighted_metrics import Array


class Line(TypedDict):
    """Points of one curve or scatter, at most about 200."""

    x: list[float]
    y: list[float]


class Bin(TypedDict):
    """One bin of a calibration plot: the mean prediction, the observed share, and the number of rows."""

    predicted: float
    observed: float
    rows: int


class Curves(TypedDict, total=False):
    """What `curves` returns. The outer keys of each part are "joint" and, where there is one, "alone"."""

    positive_share: float
    roc: dict[str, Line]
    precision_recall: dict[str, Line]
    calibration: dict[str, list[Bin]]
    classes: list[str]
    confusion: dict[str, list[list[int]]]
    predictions: dict[str, Line]


def curves(
    task: Task,
    truth: npt.ArrayLike,
    joint: npt.ArrayLike,
    alone: npt.ArrayLike | None = None,
    *,
    classes: list[str] | None = None,
    points: int = 200,
) -> Curves:
    """The data for the plots of a report, from the same arguments that `compare` takes. JSON-ready.

    binary: `roc` (x: false positive rate, y: true positive rate) and `precision_recall` (x: recall, y: precision),
    both missing where the truth has one class, `calibration` in ten bins of equal width (empty ones left out), and
    `positive_share`. multiclass: `confusion` counts [true][predicted] and the names of the `classes` (default: their
    codes). regression: `predictions` (x: true, y: predicted) for rows that are spread evenly over the ranks of the
    truth, the same rows for both models.

    Raises as `compare` does.
    """
    models = {"joint": joint} if alone is None else {"joint": joint, "alone": alone}
    checked = {name: checked_scores(task, truth, scores, name) for name, scores in models.items()}
    y = checked["joint"][0]
    if task == "regression":
        shown = np.argsort(y, kind="stable")[_spread_over(np.arange(len(y)), points)]
        return {"predictions": {name: _line(t[shown], s[shown]) for name, (t, s) in checked.items()}}
    if task == "multiclass":
        codes = np.arange(checked["joint"][1].shape[1])
        names = [str(code) for code in codes] if classes is None else list(classes)
        if len(names) != len(codes):
            raise ValueError(f"{len(names)} names of classes were given for {len(codes)} classes")
        tables = {name: sk.confusion_matrix(t, s.argmax(axis=1), labels=codes) for name, (t, s) in checked.items()}
        return {"classes": names, "confusion": {name: table.tolist() for name, table in tables.items()}}
    found = Curves(
        positive_share=float(y.mean()), calibration={name: _calibration(t, s) for name, (t, s) in checked.items()}
    )
    if 0 < y.mean() < 1:
        found["roc"] = {name: _roc(t, s, points) for name, (t, s) in checked.items()}
        found["precision_recall"] = {name: _precision_recall(t, s, points) for name, (t, s) in checked.items()}
    return found


def _roc(truth: Array, scores: Array, points: int) -> Line:
    false_rate, true_rate, _ = sk.roc_curve(truth, scores)
    shown = _spread_over(false_rate + true_rate, points)
    return _line(false_rate[shown], true_rate[shown])


def _precision_recall(truth: Array, scores: Array, points: int) -> Line:
    precision, recall, _ = sk.precision_recall_curve(truth, scores)
    # scikit-learn's recall falls from 1 to 0, and ends in thresholds that find nothing and a point (0, 1) of no
    # threshold. They would draw a spike at the axis; the first step of recall is extended to 0 instead.
    last = int(np.flatnonzero(recall > 0)[-1])
    recall, precision = np.append(recall[: last + 1], 0.0), np.append(precision[: last + 1], precision[last])
    shown = _spread_over(1 - recall, points)
    return _line(recall[shown], precision[shown])


def _spread_over(position: npt.NDArray[np.generic], points: int) -> npt.NDArray[np.intp]:
    """Indices of at most `points` of these rising positions, spread evenly over their range, the ends included."""
    if len(position) <= points:
        return np.arange(len(position))
    chosen = np.searchsorted(position, np.linspace(position[0], position[-1], points - 1))
    return np.unique(np.append(chosen, len(position) - 1))


def _calibration(truth: Array, scores: Array) -> list[Bin]:
    which = np.minimum((scores * 10).astype(int), 9)
    inside = [which == number for number in range(10)]
    return [
        Bin(predicted=float(scores[mask].mean()), observed=float(truth[mask].mean()), rows=int(mask.sum()))
        for mask in inside
        if mask.any()
    ]


def _line(x: Array, y: Array) -> Line:
    return Line(x=[float(value) for value in x], y=[float(value) for value in y])
