"""Metrics: the vectorised weighted formulas against scikit-learn, and what the intervals and curves promise."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from vsplit.evaluation import curves, metrics, weighted_metrics
from vsplit.protocol import DataError

TASKS = ["binary", "multiclass", "regression"]

Case = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]


@st.composite
def binary_cases(draw: st.DrawFn) -> Case:
    """Truth, probabilities with many ties, and weights [3, n] with zeros, as a bootstrap draws them."""
    rows = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    truth = (rng.random(rows) < draw(st.sampled_from([0.05, 0.5, 0.95]))).astype(float)
    levels = draw(st.sampled_from([1, 2, 5, 1000]))
    scores = rng.integers(0, levels + 1, rows) / levels
    return truth, scores, rng.multinomial(rows, np.full(rows, 1 / rows), size=3).astype(float)


@settings(max_examples=80, deadline=None)
@given(binary_cases())
def test_weighted_binary_metrics_equal_scikit_learn(case: Case) -> None:
    truth, scores, weights = case
    found = weighted_metrics.binary_weighted(truth, scores)(weights)
    for number, weight in enumerate(weights):
        drawn = truth[weight > 0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn warns where a class has no weight
            held = np.clip(scores, weighted_metrics.NEAREST, 1 - weighted_metrics.NEAREST)
            wanted = {
                "accuracy": sk.accuracy_score(truth, scores >= 0.5, sample_weight=weight),
                "log_loss": sk.log_loss(truth, held, sample_weight=weight, labels=[0, 1]),
                "brier": sk.brier_score_loss(truth, scores, sample_weight=weight, pos_label=1),
            }
            if drawn.any():
                wanted["average_precision"] = sk.average_precision_score(truth, scores, sample_weight=weight)
            if drawn.any() and not drawn.all():
                wanted["auc"] = sk.roc_auc_score(truth, scores, sample_weight=weight)
        for name, values in found.items():
            if name in wanted:
                assert values[number] == pytest.approx(wanted[name], abs=1e-12), name
            else:
                assert np.isnan(values[number]), name


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(2, 5), st.integers(0, 2**32))
def test_weighted_multiclass_metrics_equal_scikit_learn(rows: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, rows).astype(float)
    scores = rng.integers(1, 4, (rows, classes)).astype(float)  # small whole numbers: many ties
    scores /= scores.sum(axis=1, keepdims=True)
    weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=3).astype(float)
    found = weighted_metrics.multiclass_weighted(truth, scores)(weights)
    predicted = scores.argmax(axis=1)
    for number, weight in enumerate(weights):
        present = np.unique(truth[weight > 0])
        macro: dict[str, Any] = {
            "labels": present,
            "average": "macro",
            "zero_division": 0,
            "sample_weight": weight,
        }
        loss = sk.log_loss(truth, scores, sample_weight=weight, labels=range(classes))
        assert found["accuracy"][number] == pytest.approx(sk.accuracy_score(truth, predicted, sample_weight=weight))
        assert found["log_loss"][number] == pytest.approx(loss)
        assert found["macro_f1"][number] == pytest.approx(sk.f1_score(truth, predicted, **macro))
        assert found["macro_recall"][number] == pytest.approx(sk.recall_score(truth, predicted, **macro))
        if len(present) > 1:
            each = [sk.roc_auc_score(truth == c, scores[:, int(c)], sample_weight=weight) for c in present]
            assert found["macro_auc"][number] == pytest.approx(np.mean(each))
        else:
            assert np.isnan(found["macro_auc"][number])


@settings(max_examples=50, deadline=None)
@given(st.integers(3, 40), st.integers(0, 2**32), st.sampled_from([0.0, 1e6]))
def test_weighted_regression_metrics_equal_scikit_learn(rows: int, seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, rows) + shift
    scores = truth + rng.normal(size=rows)
    weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=3).astype(float)
    found = weighted_metrics.regression_weighted(truth, scores)(weights)
    for number, weight in enumerate(weights):
        mae = sk.mean_absolute_error(truth, scores, sample_weight=weight)
        mse = sk.mean_squared_error(truth, scores, sample_weight=weight)
        assert found["mae"][number] == pytest.approx(mae)
        assert found["rmse"][number] == pytest.approx(np.sqrt(mse))
        if len(np.unique(truth[weight > 0])) > 1:
            assert found["r2"][number] == pytest.approx(sk.r2_score(truth, scores, sample_weight=weight), abs=1e-6)
        else:
            assert np.isnan(found["r2"][number])


def binary(rows: int = 600, seed: int = 0) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    rng = np.random.default_rng(seed)
    truth = (rng.random(rows) < 0.2).astype(int)
    noise = rng.normal(size=(2, rows))
    joint, alone = 1 / (1 + np.exp(-(3 * truth - 2 + noise[0]))), 1 / (1 + np.exp(-(0.4 * truth - 1 + noise[1])))
    return truth, joint.astype(np.float32), alone.astype(np.float32)


def test_compare_gives_points_of_scikit_learn_and_intervals_around_them() -> None:
    truth, joint, alone = binary()
    result = metrics.compare("binary", truth, joint, alone, seed=3)
    assert result["rows"] == 600
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert list(result["joint"]) == ["auc", "average_precision", "accuracy", "log_loss", "brier"]
    assert set(result["joint"]) <= set(metrics.HIGHER_IS_BETTER)
    auc, gain = result["joint"]["auc"], result["difference"]["auc"]
    assert auc is not None
    assert gain is not None
    assert auc["value"] == pytest.approx(sk.roc_auc_score(truth, joint))
    assert gain["value"] == pytest.approx(sk.roc_auc_score(truth, joint) - sk.roc_auc_score(truth, alone))
    for part in (result["joint"], result["alone"], result["difference"]):
        for estimate in part.values():
            assert estimate is not None
            assert estimate["low"] < estimate["value"] < estimate["high"]


def test_the_auc_interval_is_as_wide_as_theory_says() -> None:
    truth, joint, _ = binary(rows=3000)
    auc = metrics.compare("binary", truth, joint, seed=1)["joint"]["auc"]
    assert auc is not None
    positive, negative = joint[truth == 1].astype(float), joint[truth == 0].astype(float)
    beats = (positive[:, None] > negative[None, :]).astype(float)
    variance = beats.mean(axis=1).var() / len(positive) + beats.mean(axis=0).var() / len(negative)  # DeLong
    assert (auc["high"] - auc["low"]) / 2 == pytest.approx(1.96 * np.sqrt(variance), rel=0.12)


def test_equal_models_differ_by_exactly_nothing_since_resamples_are_paired() -> None:
    truth, joint, _ = binary()
    for estimate in metrics.compare("binary", truth, joint, joint, seed=0)["difference"].values():
        assert estimate == {"value": 0, "low": 0, "high": 0}


def of_task(task: Any, rows: int = 600) -> tuple[Any, Any, Any]:
    """Truth, and the outputs of two models, for any task."""
    truth, joint, alone = binary(rows)
    if task == "multiclass":
        joint, alone = (np.column_stack([1 - scores, scores * 0.8, scores * 0.2]) for scores in (joint, alone))
    return truth, joint, alone


def test_the_seed_decides() -> None:
    truth, joint, alone = binary()
    first = metrics.compare("binary", truth, joint, alone, seed=5, resamples=50)
    assert metrics.compare("binary", truth, joint, alone, seed=5, resamples=50) == first
    assert metrics.compare("binary", truth, joint, alone, seed=6, resamples=50) != first


@pytest.mark.parametrize("rows", [600, 20_000])  # the second is more than numpy's buffers hold
@pytest.mark.parametrize("task", TASKS)
def test_how_many_resamples_are_judged_at_once_changes_not_a_bit(
    task: Any, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = metrics.compare(task, *of_task(task, rows), seed=5, resamples=25)
    for at_once in (1, 2, 7):
        monkeypatch.setattr(metrics, "_BLOCK_CELLS", rows * at_once + 1)
        assert metrics.compare(task, *of_task(task, rows), seed=5, resamples=25) == first


@pytest.mark.parametrize("task", TASKS)
def test_persons_of_one_row_each_are_drawn_like_rows(task: Any) -> None:
    truth, joint, alone = of_task(task)
    plain = metrics.compare(task, truth, joint, alone, seed=5, resamples=50)
    numbered = metrics.compare(task, truth, joint, alone, seed=5, resamples=50, persons=np.arange(600) * 3 - 100)
    assert numbered.pop("persons") == 600  # type: ignore[typeddict-item]
    assert numbered == plain


@pytest.mark.parametrize("task", TASKS)
def test_rows_that_repeat_a_person_add_no_certainty_when_persons_are_drawn(task: Any) -> None:
    """Each row four times, in any order: the intervals stay those of single rows; over rows they would be half as wide."""
    truth, joint, alone = of_task(task, rows=300)
    single = metrics.compare(task, truth, joint, alone, seed=2, resamples=300)
    order = np.random.default_rng(1).permutation(1200)
    persons = np.repeat(np.arange(300), 4)[order]
    rows = truth[persons], joint[persons], alone[persons]
    drawn = metrics.compare(task, *rows, seed=2, resamples=300, persons=persons)
    assert (drawn["rows"], drawn["persons"]) == (1200, 300)
    narrow = metrics.compare(task, *rows, seed=2, resamples=300)
    for part in ("joint", "alone", "difference"):
        for metric, found in single[part].items():  # type: ignore[literal-required]
            assert drawn[part][metric] == pytest.approx(found), (part, metric)  # type: ignore[literal-required]
            width, other = (one["high"] - one["low"] for one in (found, narrow[part][metric]))  # type: ignore[literal-required]
            assert width > 1.5 * other, (part, metric)


def test_persons_who_do_not_fit_the_rows_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"persons of shape \(2,\) do not fit 3 rows"):
        metrics.compare("binary", [0, 1, 1], [0.1, 0.5, 0.9], seed=0, persons=np.array([0, 1]))


def test_without_a_model_alone_there_is_no_difference() -> None:
    truth, joint, _ = binary()
    assert set(metrics.compare("binary", truth, joint, seed=0, resamples=10)) == {"rows", "resamples", "joint"}


@pytest.mark.parametrize(("value", "undefined"), [(0, {"auc", "average_precision"}), (1, {"auc"})])
def test_one_class_in_the_truth_leaves_auc_out(value: int, undefined: set[str]) -> None:
    truth, scores = np.full(20, value), np.linspace(0.1, 0.9, 20)
    result = metrics.compare("binary", truth, scores, scores, seed=0, resamples=20)
    for part in (result["joint"], result["alone"], result["difference"]):
        assert {name for name, estimate in part.items() if estimate is None} == undefined
    assert "roc" not in curves.curves("binary", truth, scores)


def test_one_positive_row_still_has_an_interval() -> None:
    auc = metrics.compare("binary", [0, 0, 1, 0, 0], [0.1, 0.2, 0.3, 0.4, 0.5], seed=0)["joint"]["auc"]
    assert auc is not None
    assert auc["value"] == 0.5
    assert 0 <= auc["low"] < auc["high"] <= 1


def test_certain_and_wrong_has_a_finite_log_loss() -> None:
    loss = metrics.compare("binary", [0, 1], np.array([1, 0], np.float32), seed=0)["joint"]["log_loss"]
    assert loss is not None
    assert loss["value"] == pytest.approx(-np.log(np.finfo(np.float32).eps))


def test_multiclass_points_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 300)
    scores = rng.dirichlet(np.ones(4), 300)
    scores[np.arange(300), truth] += 0.5
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    joint = metrics.compare("multiclass", truth, scores, seed=0, resamples=50)["joint"]
    whole = scores.astype(float) / scores.astype(float).sum(axis=1, keepdims=True)
    values = {name: estimate["value"] for name, estimate in joint.items() if estimate is not None}
    assert values == pytest.approx(
        {
            "macro_auc": sk.roc_auc_score(truth, whole, multi_class="ovr"),
            "accuracy": sk.accuracy_score(truth, whole.argmax(1)),
            "macro_f1": sk.f1_score(truth, whole.argmax(1), average="macro"),
            "macro_recall": sk.balanced_accuracy_score(truth, whole.argmax(1)),
            "log_loss": sk.log_loss(truth, whole),
        }
    )


def test_a_class_without_a_row_is_no_part_of_macro_scores() -> None:
    truth, scores = [0, 1, 0, 1], np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    joint = metrics.compare("multiclass", truth, scores, seed=0, resamples=50)["joint"]
    values = {name: estimate["value"] for name, estimate in joint.items() if estimate is not None}
    assert values["macro_recall"] == 0.75
    assert values["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)
    single = metrics.compare("multiclass", [1, 1], scores[:2], seed=0, resamples=20)["joint"]
    assert single["macro_auc"] is None


def test_regression_of_a_constant_truth_has_no_r2() -> None:
    joint = metrics.compare("regression", [2.0, 2.0, 2.0], [1.0, 2.0, 3.0], seed=0, resamples=20)["joint"]
    assert joint["r2"] is None
    assert joint["mae"] is not None


def test_outputs_that_are_not_finite_are_refused_in_a_plain_sentence() -> None:
    with pytest.raises(DataError, match=r"alone model.*not finite.*train\.lr"):
        metrics.compare("regression", [1.0, 2.0], [1.0, 2.0], [1.0, np.nan], seed=0)
    with pytest.raises(DataError, match="no record"):
        metrics.compare("binary", [], [], seed=0)


@pytest.mark.parametrize(
    ("task", "truth", "scores"),
    [
        ("binary", [0, 2], [0.1, 0.2]),
        ("binary", [0, np.nan], [0.1, 0.2]),
        ("binary", [0, 1], [0.1, 1.2]),
        ("binary", [0, 1], [0.1]),
        ("binary", [0, 1], [[0.1, 0.9], [0.1, 0.9]]),
        ("multiclass", [0, 2], [[0.1, 0.9], [0.1, 0.9]]),
        ("multiclass", [0, 1], [[0.1, 0.1], [0.1, 0.9]]),
        ("regression", [0, np.inf], [0.1, 0.2]),
    ],
)
def test_arrays_that_do_not_fit_are_refused(task: metrics.Task, truth: list[float], scores: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"truth|probabilities"):
        metrics.compare(task, truth, scores, seed=0)


def test_binary_curves_are_short_and_keep_their_area() -> None:
    truth, joint, alone = binary(rows=5000)
    found = curves.curves("binary", truth, joint, alone)
    json.dumps(found, allow_nan=False)
    for name, scores in (("joint", joint), ("alone", alone)):
        roc = found["roc"][name]
        assert 50 < len(roc["x"]) == len(roc["y"]) <= 200
        assert (roc["x"][0], roc["y"][0], roc["x"][-1], roc["y"][-1]) == (0, 0, 1, 1)
        assert np.trapezoid(roc["y"], roc["x"]) == pytest.approx(sk.roc_auc_score(truth, scores), abs=0.01)
        recall = found["precision_recall"][name]
        assert len(recall["x"]) <= 200
        assert {recall["x"][0], recall["x"][-1]} == {0, 1}
        bins = found["calibration"][name]
        assert sum(part["rows"] for part in bins) == 5000
        assert sum(part["rows"] * part["observed"] for part in bins) == pytest.approx(truth.sum())
    assert found["positive_share"] == pytest.approx(truth.mean())


def test_the_first_step_of_recall_is_drawn_back_to_the_axis() -> None:
    found = curves.curves("binary", [0, 1, 0], [0.9, 0.5, 0.1])["precision_recall"]["joint"]
    assert found == {"x": [1.0, 1.0, 0.0], "y": [pytest.approx(1 / 3), 0.5, 0.5]}


@given(st.lists(st.integers(0, 60), min_size=1, max_size=300), st.integers(3, 40))
def test_thinned_positions_keep_both_ends_and_the_limit(steps: list[int], points: int) -> None:
    position = np.cumsum(steps)
    shown = curves._spread_over(position, points)
    assert len(shown) <= max(points, 1)
    assert (shown[0], shown[-1]) == (0, len(position) - 1)
    assert (np.diff(shown) > 0).all()


def test_confusion_counts_true_rows_and_predicted_columns() -> None:
    scores = [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]
    found = curves.curves("multiclass", [0, 0, 1], scores, classes=["no", "yes"])
    assert found == {"classes": ["no", "yes"], "confusion": {"joint": [[1, 1], [0, 1]]}}
    with pytest.raises(ValueError, match="names of classes"):
        curves.curves("multiclass", [0, 0, 1], scores, classes=["no"])


def test_regression_sample_spreads_over_the_truth_and_is_shared() -> None:
    truth = np.random.default_rng(0).permutation(1000.0 * np.arange(1000))
    found = curves.curves("regression", truth, truth + 1, truth - 1)["predictions"]
    assert len(found["joint"]["x"]) <= 200
    assert found["joint"]["x"] == found["alone"]["x"]
    assert (min(found["joint"]["x"]), max(found["joint"]["x"])) == (0, 999_000)
    assert max(np.diff(found["joint"]["x"])) < 10_000
