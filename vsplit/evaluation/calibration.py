"""Calibration of probabilities on rows that were not trained on, and how far they are off.

Binary: Platt's sigmoid of the logit, with slope and intercept, fitted to his smoothed targets (Platt, "Probabilistic
outputs for support vector machines", 1999), so that classes which the scores separate leave it finite. Several classes: one
temperature for all logits (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017). Values of a regression stay
as they are. The order of the scores is never reversed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from vsplit.evaluation.metrics import Task, checked_scores
from vsplit.evaluation.weighted_metrics import NEAREST, Array

# The smallest and the largest slope. With the smallest, probabilities are close to the share of each class.
_SLOPES = (0.01, 100.0)
BINS = 15


class CalibrationRecord(TypedDict):
    """A calibration as JSON."""

    task: Task
    slope: float
    intercept: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Binary: sigmoid(slope · logit(p) + intercept); several classes: softmax(slope · log p); a regression: as it is."""

    task: Task
    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, scores: npt.ArrayLike) -> Array:
        """Calibrated scores, float64 [n] or [n, classes], of scores of the same shape."""
        values = np.asarray(scores, np.float64)
        if self.task == "regression" or (self.slope, self.intercept) == (1.0, 0.0):
            return values
        calibrated: Array
        if self.task == "binary":
            calibrated = _sigmoid(self.slope * _logits(values) + self.intercept)
        else:
            calibrated = _softmax(self.slope * np.log(np.clip(values, NEAREST, 1)))
        return calibrated

    def to_json(self) -> CalibrationRecord:
        """All of it, as JSON."""
        return CalibrationRecord(task=self.task, slope=self.slope, intercept=self.intercept)


def fit_calibration(task: Task, truth: npt.ArrayLike, scores: npt.ArrayLike) -> Calibration:
    """The calibration that fits scores to the truth; both as in `vsplit.evaluation.metrics.compare`.

    Equal arguments give equal results. Where the rows hold one class, nothing is changed. Raises as `compare` does.
    """
    y, s = checked_scores(task, truth, scores, "trained")
    if task == "regression" or np.ptp(y) == 0:
        return Calibration(task)
    if task == "binary":
        return Calibration(task, *_fit_sigmoid(y, _logits(s)))
    return Calibration(task, _fit_temperature(y.astype(np.int64), np.log(np.clip(s, NEAREST, 1))))


class CalibrationError(TypedDict):
    """`expected` is the mean over rows of the distance between confidence and accuracy in the row's bin, `largest` the
    largest distance of a bin."""

    expected: float
    largest: float


def calibration_error(
    task: Task, truth: npt.ArrayLike, scores: npt.ArrayLike, bins: int = BINS
) -> CalibrationError | None:
    """How far probabilities are off, in bins of equal width; None for a regression.

    Binary: the probability of the positive class against the share of positive rows. Several classes: the largest
    probability against the share of rows of that class (top-label calibration). Raises as `compare` does.
    """
    y, s = checked_scores(task, truth, scores, "trained")
    if task == "regression":
        return None
    predicted, hit = (s, y) if task == "binary" else (s.max(axis=1), (s.argmax(axis=1) == y).astype(np.float64))
    place = np.minimum((predicted * bins).astype(np.int64), bins - 1)
    count, sums, hits = (np.bincount(place, values, bins) for values in (np.ones_like(predicted), predicted, hit))
    off = np.abs(sums - hits)
    used = count > 0
    return CalibrationError(expected=float(off.sum() / len(predicted)), largest=float((off[used] / count[used]).max()))


def _logits(probabilities: Array) -> Array:
    held = np.clip(probabilities, NEAREST, 1 - NEAREST)
    found: Array = np.log(held) - np.log1p(-held)
    return found


def _sigmoid(z: Array) -> Array:
    found: Array = np.exp(-np.logaddexp(0, -z))
    return found


def _softmax(logits: Array) -> Array:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Array = raised / raised.sum(axis=1, keepdims=True)
    return found


def _fit_sigmoid(truth: Array, logits: Array) -> tuple[float, float]:
    positives = float(truth.sum())
    negatives = len(truth) - positives
    target = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, intercept = _newton(np.stack([logits, np.ones_like(logits)]), target, np.zeros_like(logits))
    if not _SLOPES[0] <= slope <= _SLOPES[1]:  # the loss is convex, so its least value is at the bound
        slope = float(np.clip(slope, *_SLOPES))
        (intercept,) = _newton(np.ones((1, len(logits))), target, slope * logits)
    return float(slope), float(intercept)


def _newton(inputs: Array, target: Array, offset: Array) -> Array:
    """The weights [k] of `inputs` [k, n] with the least cross entropy of sigmoid(weights · inputs + offset) to `target`."""

    def loss(weights: Array) -> float:
        z = weights @ inputs + offset
        return float(np.mean(np.logaddexp(0, z) - target * z))

    weights = np.zeros(len(inputs))
    for _ in range(100):
        predicted = _sigmoid(weights @ inputs + offset)
        gradient = inputs @ (predicted - target) / len(target)
        curvature = (inputs * (predicted * (1 - predicted))) @ inputs.T / len(target)
        step = np.linalg.lstsq(curvature, gradient, rcond=1e-12)[0]
        while loss(weights - step) > loss(weights) and np.abs(step).max() > 1e-12:
            step = step / 2
        weights = weights - step
        if np.abs(step).max() <= 1e-12:
            break
    return weights


def _fit_temperature(truth: npt.NDArray[np.int64], logits: Array) -> float:
    """The slope at which the loss, which is convex in it, no longer falls."""
    own = float(logits[np.arange(len(truth)), truth].mean())
    low, high = _SLOPES
    for _ in range(100):
        middle = (low + high) / 2
        rises = float((_softmax(middle * logits) * logits).sum(axis=1).mean()) > own
        low, high = (low, middle) if rises else (middle, high)
    return (low + high) / 2
