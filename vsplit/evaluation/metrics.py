"""Scores with 95% confidence intervals of the joint model and the label party's own model, on the same rows.

Point values come from scikit-learn. Intervals are percentile bootstrap intervals over rows: a resample is a vector of
counts (how often each row was drawn), and every metric is a function of such weights, computed for a block of
resamples at once. Joint, alone and their difference use the same resamples, so the difference is a paired one.

Where a person has many rows, these are not independent observations, and intervals over rows would be too narrow. Then
whole persons are drawn, each with all rows (the cluster bootstrap: Rutter, "Bootstrap estimation of diagnostic accuracy
with patient-clustered data", Academic Radiology 7, 2000; Field and Welsh, "Bootstrapping clustered data", Journal of the
Royal Statistical Society B 69, 2007). The scores themselves remain scores over rows.

A resample on which a metric is undefined (one class only for AUC, no positive row for average precision, one single
value for R2) is left out for that metric. A metric that is undefined on the rows themselves is None.

Macro scores are means over the classes that occur in the truth (of the split, or of the resample).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

from vsplit.evaluation.weighted_metrics import (
    NEAREST,
    Array,
    Weighted,
    binary_weighted,
    multiclass_weighted,
    regression_weighted,
)
from vsplit.protocol import DataError

Task = Literal["binary", "multiclass", "regression"]

#: Whether a higher value of the metric is better. The order is that of reports.
HIGHER_IS_BETTER: dict[str, bool] = {
    "auc": True,
    "macro_auc": True,
    "average_precision": True,
    "accuracy": True,
    "macro_f1": True,
    "macro_recall": True,
    "log_loss": False,
    "brier": False,
    "r2": True,
    "mae": False,
    "rmse": False,
}
#: The main metric of each task, for headlines.
MAIN_METRIC: dict[str, str] = {"binary": "auc", "multiclass": "macro_auc", "regression": "r2"}

_BLOCK_CELLS = 500_000  # rows times resamples that are weighted at once: 4 MB an array, whatever the number of rows


class Estimate(TypedDict):
    """A metric's value on the rows, and the 2.5% and 97.5% quantiles of its bootstrap distribution."""

    value: float
    low: float
    high: float


Estimates = dict[str, Estimate | None]


class Comparison(TypedDict):
    """What `compare` returns; without a model of the label party alone, `alone` and `difference` are missing.

    `persons` is given where whole persons were drawn: the number of persons.
    """

    rows: int
    persons: NotRequired[int]
    resamples: int
    joint: Estimates
    alone: NotRequired[Estimates]
    difference: NotRequired[Estimates]


def compare(
    task: Task,
    truth: npt.ArrayLike,
    joint: npt.ArrayLike,
    alone: npt.ArrayLike | None = None,
    *,
    seed: int,
    resamples: int = 1000,
    persons: npt.NDArray[np.int64] | None = None,
) -> Comparison:
    """Evaluate the joint model and, if given, the label party's own model, on the same rows. JSON-ready.

    `truth` is [n]: 0/1 (binary), class codes 0..k-1 (multiclass) or numbers (regression). `joint` and `alone` are
    the probability of the positive class [n], the probabilities of the classes [n, k], or the predictions [n].
    `difference` is joint minus alone for every metric; `HIGHER_IS_BETTER` says which sign is better. A metric
    that these rows do not define (AUC with one class) is None. `persons`, int64 [n], has the same number for all rows of
    one person; the intervals are then over persons. Equal arguments give equal results.

    Raises DataError where there is no row or a model's output is not finite, ValueError where the arrays do not fit.
    """
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; it must be at least 1")
    models = {"joint": joint} if alone is None else {"joint": joint, "alone": alone}
    checked = {name: checked_scores(task, truth, scores, name) for name, scores in models.items()}
    rows = len(checked["joint"][0])
    points = {name: POINT[task](*pair) for name, pair in checked.items()}
    weighted = {name: WEIGHTED[task](*pair) for name, pair in checked.items()}
    spread = _distributions(weighted, resampled_weights(rows, resamples, np.random.default_rng(seed), persons))
    result = Comparison(rows=rows, resamples=resamples, joint=_estimates(points["joint"], spread["joint"]))
    if persons is not None:
        result["persons"] = len(np.unique(persons))
    if alone is not None:
        result["alone"] = _estimates(points["alone"], spread["alone"])
        result["difference"] = _estimates(
            {metric: points["joint"][metric] - points["alone"][metric] for metric in points["joint"]},
            {metric: spread["joint"][metric] - spread["alone"][metric] for metric in points["joint"]},
        )
    return result


def _distributions(weighted: dict[str, Weighted], resamples: Iterator[Array]) -> dict[str, dict[str, Array]]:
    """Each metric [resamples] of each model, by their names."""
    drawn: dict[str, dict[str, list[Array]]] = {name: {} for name in weighted}
    for weights in resamples:
        for name, function in weighted.items():
            for metric, values in function(weights).items():
                drawn[name].setdefault(metric, []).append(values)
    return {name: {metric: np.concatenate(parts) for metric, parts in found.items()} for name, found in drawn.items()}


def in_order(estimates: Estimates) -> list[str]:
    """The metrics that `estimates` has, in the order of reports."""
    return [metric for metric in HIGHER_IS_BETTER if metric in estimates]


def _estimates(points: dict[str, float], spread: dict[str, Array]) -> Estimates:
    return {metric: estimate(value, spread[metric]) for metric, value in points.items()}


def estimate(value: float, draws: Array) -> Estimate | None:
    """`value` with the quantiles of its resamples, of those that define it; None where it or all of them are undefined."""
    defined = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not defined.size:
        return None
    low, high = np.quantile(defined, [0.025, 0.975])
    return Estimate(value=float(value), low=float(low), high=float(high))


def resampled_weights(
    rows: int, count: int, rng: np.random.Generator, persons: npt.NDArray[np.int64] | None
) -> Iterator[Array]:
    """Weights [b, rows] in blocks, `count` resamples in all, drawn one after another from `rng`: how often each row, or
    the person whose row it is, was drawn."""
    if persons is not None and persons.shape != (rows,):
        raise ValueError(f"persons of shape {persons.shape} do not fit {rows} rows")
    found, owner = (None, None) if persons is None else np.unique(persons, return_inverse=True)
    units = rows if found is None else len(found)
    block = max(1, _BLOCK_CELLS // rows)
    for start in range(0, count, block):
        size = min(block, count - start)
        picks = rng.integers(0, units, size=(size, units)) + units * np.arange(size)[:, None]
        drawn = np.bincount(picks.ravel(), minlength=size * units).reshape(size, units).astype(np.float64)
        yield (
            drawn if owner is None else np.take(drawn, owner, axis=1)
        )  # contiguous rows, which drawn[:, owner] has not


def checked_scores(task: Task, truth: npt.ArrayLike, scores: npt.ArrayLike, name: str) -> tuple[Array, Array]:
    """Truth and scores as float64 arrays that fit each other; raises as `compare` does."""
    y, s = np.asarray(truth), np.asarray(scores)
    if y.ndim != 1 or s.ndim != (2 if task == "multiclass" else 1) or len(y) != len(s):
        raise ValueError(f"for a {task} task, truth of shape {y.shape} and scores of shape {s.shape} do not fit")
    if len(y) == 0:
        raise DataError("There is no record to evaluate the model on. Give split.validation and split.test a share.")
    if not np.isfinite(s).all():
        raise DataError(
            f"The {name} model's output holds values that are not finite numbers: the training diverged. "
            "Lower train.lr in the job, and look for extreme values in the columns."
        )
    y, s = y.astype(np.float64), _as_scores(task, s)
    if task == "binary" and not np.isin(y, (0.0, 1.0)).all():
        raise ValueError("the truth of a binary task must be 0 or 1")
    if task == "multiclass" and not np.isin(y, np.arange(s.shape[1])).all():
        raise ValueError(f"the truth of this task must be class codes from 0 to {s.shape[1] - 1}")
    if not np.isfinite(y).all():
        raise ValueError("the truth holds a value that is not a finite number")
    return y, s


def _as_scores(task: Task, scores: npt.NDArray[np.generic]) -> Array:
    values = scores.astype(np.float64)
    if task == "regression":
        return values
    if values.min() < 0 or values.max() > 1:
        raise ValueError(f"the scores of a {task} task must be probabilities")
    if task == "multiclass":
        total = values.sum(axis=1, keepdims=True)
        if np.abs(total - 1).max() > 1e-3:
            raise ValueError("the probabilities of the classes must sum to one in every row")
        values /= total  # float32 sums differ slightly from one, and scikit-learn warns of it
    return values


def _binary_point(truth: Array, scores: Array) -> dict[str, float]:
    positives = int(truth.sum())
    return {
        "auc": float(sk.roc_auc_score(truth, scores)) if 0 < positives < len(truth) else np.nan,
        "average_precision": float(sk.average_precision_score(truth, scores)) if positives else np.nan,
        "accuracy": float(sk.accuracy_score(truth, scores >= 0.5)),
        "log_loss": float(sk.log_loss(truth, np.clip(scores, NEAREST, 1 - NEAREST), labels=[0, 1])),
        "brier": float(sk.brier_score_loss(truth, scores, pos_label=1)),
    }


def _multiclass_point(truth: Array, scores: Array) -> dict[str, float]:
    predicted, present = scores.argmax(axis=1), np.unique(truth)
    clipped = np.clip(scores, NEAREST, 1)
    clipped /= clipped.sum(axis=1, keepdims=True)  # scikit-learn warns where a row does not sum to one
    average = {"labels": present, "average": "macro", "zero_division": 0}
    each = [sk.roc_auc_score(truth == c, scores[:, int(c)]) for c in present] if len(present) > 1 else [np.nan]
    classes = np.arange(scores.shape[1])
    return {
        "macro_auc": float(np.mean(each)),
        "accuracy": float(sk.accuracy_score(truth, predicted)),
        "macro_f1": float(sk.f1_score(truth, predicted, **average)),
        "macro_recall": float(sk.recall_score(truth, predicted, **average)),
        "log_loss": float(sk.log_loss(truth, clipped, labels=classes)),
    }


def _regression_point(truth: Array, scores: Array) -> dict[str, float]:
    return {
        "r2": float(sk.r2_score(truth, scores)) if np.ptp(truth) > 0 else np.nan,
        "mae": float(sk.mean_absolute_error(truth, scores)),
        "rmse": float(np.sqrt(sk.mean_squared_error(truth, scores))),
    }


POINT = {"binary": _binary_point, "multiclass": _multiclass_point, "regression": _regression_point}
WEIGHTED = {"binary": binary_weighted, "multiclass": multiclass_weighted, "regression": regression_weighted}
