"""Calibration: against scikit-learn, and what it keeps whatever the scores are."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import _SigmoidCalibration, calibration_curve
from sklearn.linear_model import LogisticRegression

from vsplit.evaluation.calibration import Calibration, calibration_error, fit_calibration
from vsplit.evaluation.weighted_metrics import NEAREST
from vsplit.protocol import DataError

Floats = npt.NDArray[np.float64]


def binary(rows: int, seed: int, sharpness: float = 3.0) -> tuple[Floats, Floats]:
    """Truth, and probabilities whose logits are too large by the factor `sharpness`."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(rows)
    truth = (rng.random(rows) < 1 / (1 + np.exp(-z))).astype(np.float64)
    return truth, 1 / (1 + np.exp(-(sharpness * z + 0.7)))


def multiclass(rows: int, seed: int, sharpness: float = 2.5) -> tuple[npt.NDArray[np.int64], Floats]:
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((rows, 4))
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    return truth, softmax(sharpness * logits)


def softmax(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    found: Floats = raised / raised.sum(1, keepdims=True)
    return found


# --- against scikit-learn ---------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(5, 400), st.integers(0, 2**16), st.sampled_from([0.3, 1.0, 3.0]))
def test_the_sigmoid_is_that_of_scikit_learns_calibration(rows: int, seed: int, sharpness: float) -> None:
    truth, scores = binary(rows, seed, sharpness)
    found = fit_calibration("binary", truth, scores)
    if truth.min() == truth.max():
        assert found == Calibration("binary")
        return
    held = np.clip(scores, NEAREST, 1 - NEAREST)
    theirs = _SigmoidCalibration().fit(np.log(held / (1 - held)), truth)
    if 0.011 < -theirs.a_ < 99:
        wanted = theirs.predict(np.log(held / (1 - held)))
        assert np.abs(found.apply(scores) - wanted).max() < 1e-4
    smoothed = np.where(truth == 1, (truth.sum() + 1) / (truth.sum() + 2), 1 / ((1 - truth).sum() + 2))
    mine = found.apply(scores)
    off = theirs.predict(np.log(held / (1 - held)))
    if found.slope > 0.011:  # nothing has a smaller loss
        assert cross_entropy(smoothed, mine) <= cross_entropy(smoothed, off) + 1e-12


def cross_entropy(target: Floats, told: Floats) -> float:
    return float(-np.mean(target * np.log(told) + (1 - target) * np.log1p(-told)))


def test_with_many_rows_it_is_a_logistic_regression_on_the_logit() -> None:
    truth, scores = binary(50_000, 1)
    found = fit_calibration("binary", truth, scores)
    theirs = LogisticRegression(C=1e12, tol=1e-10).fit(np.log(scores / (1 - scores))[:, None], truth)
    assert found.slope == pytest.approx(float(theirs.coef_[0, 0]), abs=1e-3)
    assert found.intercept == pytest.approx(float(theirs.intercept_[0]), abs=1e-3)
    assert found.slope == pytest.approx(1 / 3, abs=0.02)


def test_the_temperature_has_the_least_log_loss_of_a_fine_grid() -> None:
    truth, scores = multiclass(3000, 2)
    found = fit_calibration("multiclass", truth, scores)
    losses = {
        slope: sk.log_loss(truth, softmax(slope * np.log(scores)), labels=range(4))
        for slope in np.linspace(found.slope - 0.05, found.slope + 0.05, 101)
    }
    assert min(losses, key=lambda slope: losses[slope]) == pytest.approx(found.slope, abs=1e-3)
    assert found.slope == pytest.approx(1 / 2.5, abs=0.05)
    assert sk.log_loss(truth, found.apply(scores)) < sk.log_loss(truth, scores)


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_the_expected_error_is_that_of_scikit_learns_curve(bins: int) -> None:
    truth, scores = binary(2000, 3)
    observed, told = calibration_curve(truth, scores, n_bins=bins)
    counts = np.histogram(scores, np.linspace(0, 1, bins + 1))[0]
    off = np.abs(observed - told)
    found = calibration_error("binary", truth, scores, bins)
    assert found is not None
    assert found["expected"] == pytest.approx(float((off * counts[counts > 0]).sum() / len(truth)))
    assert found["largest"] == pytest.approx(float(off.max()))


def test_with_several_classes_the_error_is_that_of_the_likeliest_class() -> None:
    truth, scores = multiclass(2000, 4)
    hit = (scores.argmax(1) == truth).astype(np.float64)
    assert calibration_error("multiclass", truth, scores) == calibration_error("binary", hit, scores.max(1))


# --- what it keeps ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "made"), [("binary", binary), ("multiclass", multiclass)])
def test_calibration_takes_most_of_the_error_away_on_other_rows(task: Any, made: Any) -> None:
    calibration = fit_calibration(task, *made(4000, 5))
    truth, scores = made(4000, 6)
    before, after = calibration_error(task, truth, scores), calibration_error(task, truth, calibration.apply(scores))
    assert before is not None and after is not None
    assert after["expected"] < before["expected"] / 3


@settings(max_examples=60)
@given(st.integers(1, 60), st.integers(0, 2**16), st.sampled_from([-5.0, -1.0, 0.0, 0.5, 30.0]))
def test_the_order_of_scores_is_kept_and_probabilities_stay_probabilities(
    rows: int, seed: int, sharpness: float
) -> None:
    truth, scores = binary(rows, seed, sharpness)
    calibrated = fit_calibration("binary", truth, scores).apply(scores)
    assert ((calibrated >= 0) & (calibrated <= 1)).all()
    order = np.argsort(scores, kind="stable")
    assert (np.diff(calibrated[order]) >= 0).all()


def test_scores_that_separate_the_classes_stay_finite() -> None:
    truth = np.array([0.0] * 20 + [1.0] * 20)
    calibrated = fit_calibration("binary", truth, truth * 0.2 + 0.4).apply(truth * 0.2 + 0.4)
    assert calibrated[0] == pytest.approx(1 / 22, abs=1e-6) and calibrated[-1] == pytest.approx(21 / 22, abs=1e-6)


def test_scores_that_say_nothing_become_the_share_of_the_class() -> None:
    rng = np.random.default_rng(7)
    truth = (rng.random(5000) < 0.2).astype(np.float64)
    scores = 1 - np.clip(0.5 + 0.3 * (truth - 0.5) + 0.1 * rng.standard_normal(5000), 0.01, 0.99)  # the wrong way round
    found = fit_calibration("binary", truth, scores)
    assert found.slope == 0.01
    assert found.apply(scores).mean() == pytest.approx(truth.mean(), abs=0.01)


def test_a_regression_and_rows_of_one_class_stay_as_they_are() -> None:
    values = np.array([1.5, -2.0, 40.0])
    calibration = fit_calibration("regression", values, values + 1)
    assert np.array_equal(calibration.apply(values), values)
    assert calibration_error("regression", values, values) is None
    ones = fit_calibration("binary", np.ones(3), np.array([0.2, 0.5, 0.7]))
    assert np.array_equal(ones.apply([0.2, 0.5]), [0.2, 0.5])


def test_several_classes_sum_to_one_and_keep_their_order() -> None:
    truth, scores = multiclass(500, 8)
    calibrated = fit_calibration("multiclass", truth, scores).apply(scores)
    assert np.allclose(calibrated.sum(1), 1)
    assert np.array_equal(calibrated.argsort(1), scores.argsort(1))


def test_it_is_json_and_back() -> None:
    found = fit_calibration("binary", *binary(300, 9))
    assert Calibration(**json.loads(json.dumps(found.to_json()))) == found


def test_bad_input_is_an_error() -> None:
    with pytest.raises(DataError, match="not finite"):
        fit_calibration("binary", [0, 1], [0.5, np.nan])
    with pytest.raises(ValueError, match="probabilities"):
        calibration_error("binary", [0, 1], [0.5, 1.5])
