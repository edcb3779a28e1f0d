"""Metrics as functions of row weights [b, n], so that many resamples are evaluated at once.

Each function here sorts and prepares once and returns a function from weights to each metric, float64 [b]; a test
compares every one with scikit-learn's `sample_weight`.

Each row of weights is summed along contiguous memory, in the one order of numpy's pairwise sum. A product of matrices would
sum in an order that depends on the processor, on the layout of the weights in memory and on the number of rows evaluated at
once, and equal resamples would differ in the last bits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Weighted = Callable[[Array], dict[str, Array]]

# The models compute in float32. A probability nearer to 0 or 1 than this is clipped, so that no log loss is infinite.
NEAREST = float(np.finfo(np.float32).eps)


def binary_weighted(truth: Array, scores: Array) -> Weighted:
    """A function from weights [b, n] to each metric [b]; NaN where a resample does not define it."""
    likelihood = np.clip(np.where(truth == 1, scores, 1 - scores), NEAREST, 1 - NEAREST)
    right = (scores >= 0.5) == (truth == 1)
    per_row = {"accuracy": right, "log_loss": -np.log(likelihood), "brier": (scores - truth) ** 2}
    ranked = _ranked(truth, scores)

    def function(weights: Array) -> dict[str, Array]:
        found = {name: _mean(weights, values) for name, values in per_row.items()}
        passed, hits = ranked(weights)
        found["auc"], found["average_precision"] = _auc(passed, hits), _average_precision(passed, hits)
        return found

    return function


def _mean(weights: Array, values: npt.NDArray[np.float64 | np.bool_]) -> Array:
    """The weighted mean [b] of one value for each row [n]."""
    mean: Array = (weights * values).sum(axis=1) / weights.sum(axis=1)
    return mean


def _ranked(truth: Array, scores: Array) -> Callable[[Array], tuple[Array, Array]]:
    """From one sort, for weights [b, n]: at each threshold, the weight of all rows at or above it, and of the
    positive ones among them, both [b, thresholds]."""
    order = np.argsort(-scores, kind="stable")
    positive = truth[order]
    # Rows of equal score pass a threshold together, so only the last row of each run of ties is a point of the curve.
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))

    def function(weights: Array) -> tuple[Array, Array]:
        sorted_weights = np.take(weights, order, axis=1)
        passed = np.cumsum(sorted_weights, axis=1)
        hits = np.cumsum(sorted_weights * positive, axis=1)
        return np.take(passed, last, axis=1), np.take(hits, last, axis=1)

    return function


def _auc(passed: Array, hits: Array) -> Array:
    """The area under the ROC curve [b] by trapezoids, which count a tie of a positive and a negative row as half."""
    missed = passed - hits
    middle = hits.copy()
    middle[:, 1:] += hits[:, :-1]
    under = (np.diff(missed, axis=1, prepend=0) * middle).sum(axis=1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        area: Array = under / (hits[:, -1] * missed[:, -1])
    return area


def _average_precision(passed: Array, hits: Array) -> Array:
    """The mean precision [b] over the steps of recall."""
    # A threshold that no drawn row passes has no precision, and gains no recall.
    precision = np.divide(hits, passed, out=np.zeros_like(hits), where=passed > 0)
    with np.errstate(invalid="ignore"):
        mean: Array = (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1) / hits[:, -1]
    return mean


def multiclass_weighted(truth: Array, scores: Array) -> Weighted:
    predicted, present = scores.argmax(axis=1), np.unique(truth)
    loss = -np.log(np.maximum(scores[np.arange(len(truth)), truth.astype(int)], NEAREST))
    rankings = [_ranked((truth == c).astype(np.float64), scores[:, int(c)]) for c in present]
    found, true = [predicted == c for c in present], [truth == c for c in present]

    def total(weights: Array, masks: list[npt.NDArray[np.bool_]]) -> Array:
        return np.stack([weights[:, mask].sum(axis=1) for mask in masks])

    def function(weights: Array) -> dict[str, Array]:
        support = total(weights, true)
        hits = total(weights, [one & other for one, other in zip(found, true, strict=True)])
        with np.errstate(divide="ignore", invalid="ignore"):
            recall = hits / support
            f1 = np.where(support > 0, 2 * hits / (support + total(weights, found)), np.nan)
        return {
            "macro_auc": _mean_of_defined(np.stack([_auc(*ranked(weights)) for ranked in rankings])),
            "accuracy": _mean(weights, predicted == truth),
            "macro_f1": _mean_of_defined(f1),
            "macro_recall": _mean_of_defined(recall),
            "log_loss": _mean(weights, loss),
        }

    return function


def _mean_of_defined(values: Array) -> Array:
    """The mean over classes [k, b] -> [b], of those that are defined; NaN where none is."""
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: Array = np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0)
    return mean


def regression_weighted(truth: Array, scores: Array) -> Weighted:
    centred = truth - truth.mean()  # The variance below is a difference of squares, exact only near zero.
    off = scores - truth
    per_row = (np.abs(off), off**2, centred, centred**2)

    def function(weights: Array) -> dict[str, Array]:
        mae, mse, mean, square = (_mean(weights, values) for values in per_row)
        several = (weights * (truth != truth[weights.argmax(axis=1)][:, None])).any(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            r2 = np.where(several, 1 - mse / (square - mean**2), np.nan)
        return {"r2": r2, "mae": mae, "rmse": np.sqrt(mse)}

    return function
