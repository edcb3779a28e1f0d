"""The worth of a party: against brute force on made-up games, and what Shapley's axioms ask for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations, permutations
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from vsplit.evaluation import shapley
from vsplit.evaluation.metrics import compare
from vsplit.evaluation.shapley import (
    exact_values,
    needed_subsets,
    party_worth,
    permutation_importance,
    sampled_orders,
    sampled_values,
)

Parties = tuple[str, ...]
Game = Mapping[frozenset[str], float]


def brute_force(parties: Parties, game: Game) -> dict[str, float]:
    """The mean over all orders of what each party adds, straight from the definition."""
    total = dict.fromkeys(parties, 0.0)
    for order in permutations(parties):
        for place, party in enumerate(order):
            total[party] += game[frozenset(order[: place + 1])] - game[frozenset(order[:place])]
    return {party: value / factorial(len(parties)) for party, value in total.items()}


def random_game(parties: Parties, seed: int) -> dict[frozenset[str], float]:
    rng = np.random.default_rng(seed)
    return {
        frozenset(subset): float(rng.standard_normal())
        for size in range(len(parties) + 1)
        for subset in combinations(parties, size)
    }


def values_of(parties: Parties, game: Game) -> dict[str, float]:
    found = exact_values(parties, lambda subset: np.array(game[frozenset(subset)]))
    return {party: float(value) for party, value in found.items()}


names = st.integers(1, 5).map(lambda count: tuple("abcde"[:count]))


# --- the values -------------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(names, st.integers(0, 2**20))
def test_exact_values_are_those_of_all_orders(parties: Parties, seed: int) -> None:
    game = random_game(parties, seed)
    assert values_of(parties, game) == pytest.approx(brute_force(parties, game))


@settings(max_examples=50)
@given(names, st.integers(0, 2**20))
def test_together_the_values_are_the_whole_gain(parties: Parties, seed: int) -> None:
    game = random_game(parties, seed)
    whole = game[frozenset(parties)] - game[frozenset()]
    assert sum(values_of(parties, game).values()) == pytest.approx(whole)
    orders = sampled_orders(parties, seed, 3)
    sampled = sampled_values(parties, lambda subset: np.array(game[frozenset(subset)]), orders)
    assert sum(float(value) for value in sampled.values()) == pytest.approx(whole)


@settings(max_examples=50)
@given(st.integers(2, 5).map(lambda count: tuple("abcde"[:count])), st.integers(0, 2**20))
def test_parties_that_are_alike_have_equal_values(parties: Parties, seed: int) -> None:
    first, second = parties[:2]
    game = random_game(parties, seed)
    for subset in list(game):  # what the first one adds, the second one adds as well
        if first in subset and second not in subset:
            game[subset] = game[(subset - {first}) | {second}]
    found = values_of(parties, game)
    assert found[first] == pytest.approx(found[second])


@settings(max_examples=50)
@given(names, st.integers(0, 2**20))
def test_a_party_that_adds_nothing_has_the_value_nothing(parties: Parties, seed: int) -> None:
    idle = parties[-1]
    game = random_game(parties, seed)
    game = {subset: game[subset - {idle}] for subset in game}
    assert values_of(parties, game)[idle] == 0
    orders = sampled_orders(parties, seed, 2)
    assert sampled_values(parties, lambda subset: np.array(game[frozenset(subset)]), orders)[idle] == 0


@settings(max_examples=30)
@given(names, st.integers(0, 2**20))
def test_the_values_of_two_games_together_are_the_sum_of_their_values(parties: Parties, seed: int) -> None:
    one, two = random_game(parties, seed), random_game(parties, seed + 1)
    both = values_of(parties, {subset: one[subset] + two[subset] for subset in one})
    for party in parties:
        assert both[party] == pytest.approx(values_of(parties, one)[party] + values_of(parties, two)[party])


@settings(max_examples=20)
@given(names, st.integers(0, 2**20))
def test_sampled_values_are_exact_where_all_orders_are_taken(parties: Parties, seed: int) -> None:
    game = random_game(parties, seed)
    found = sampled_values(parties, lambda subset: np.array(game[frozenset(subset)]), list(permutations(parties)))
    assert {party: float(value) for party, value in found.items()} == pytest.approx(brute_force(parties, game))


def test_sampled_values_come_near_to_the_exact_ones() -> None:
    parties = tuple("abcdefg")
    game = random_game(parties, 5)
    orders = sampled_orders(parties, 1, 2000)
    found = sampled_values(parties, lambda subset: np.array(game[frozenset(subset)]), orders)
    for party, wanted in brute_force(parties, game).items():
        assert float(found[party]) == pytest.approx(wanted, abs=0.08)


def test_each_subset_is_asked_for_once_and_in_the_order_of_the_parties() -> None:
    for parties in (tuple("abcd"), tuple("abcdefgh")):
        asked: list[Parties] = []

        def worth(subset: Parties, asked: list[Parties] = asked) -> npt.NDArray[np.float64]:
            asked.append(subset)
            return np.array(float(len(subset)))

        if len(parties) <= shapley.EXACT_PARTIES:
            exact_values(parties, worth)
        else:
            sampled_values(parties, worth, sampled_orders(parties, 0))
        assert len(asked) == len(set(asked))
        assert set(asked) == set(needed_subsets(parties))
        assert all(list(subset) == sorted(subset) for subset in asked)


# --- from predictions -------------------------------------------------------------------------------------------------


PARTIES = ("bills", "pays")


def predictions(
    task: Any, rows: int = 800, seeds: int = 1, seed: int = 0
) -> tuple[npt.NDArray[Any], dict[Parties, list[npt.NDArray[np.float64]]]]:
    """Truth, and predictions that are better with more parties: `pays` says much, `bills` little."""
    rng = np.random.default_rng(seed)
    parts = {"": rng.standard_normal(rows), "bills": rng.standard_normal(rows), "pays": rng.standard_normal(rows)}
    signal = parts[""] + 0.3 * parts["bills"] + 2 * parts["pays"] + rng.standard_normal(rows)
    truth: npt.NDArray[Any] = signal if task == "regression" else (signal > 0).astype(float)
    if task == "multiclass":
        truth = np.digitize(signal, [-1.0, 1.0])
    found: dict[Parties, list[npt.NDArray[np.float64]]] = {}
    for subset in needed_subsets(PARTIES):
        found[subset] = []
        for _ in range(seeds):
            z = parts[""] + 0.3 * parts["bills"] * ("bills" in subset) + 2 * parts["pays"] * ("pays" in subset)
            z = z + 0.2 * rng.standard_normal(rows)
            if task == "multiclass":
                raised = np.exp(np.stack([-2 * z, np.zeros(rows), 2 * z], 1))
                found[subset].append(raised / raised.sum(1, keepdims=True))
            else:
                found[subset].append(z if task == "regression" else 1 / (1 + np.exp(-z)))
    return truth, found


def metric(task: str, truth: npt.NDArray[Any], scores: npt.NDArray[np.float64]) -> float:
    if task == "regression":
        return float(sk.r2_score(truth, scores))
    if task == "multiclass":
        return float(np.mean([sk.roc_auc_score(truth == each, scores[:, each]) for each in range(3)]))
    return float(sk.roc_auc_score(truth, scores))


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_worth_is_that_of_the_mean_metric_of_each_subset(task: Any, seeds: int) -> None:
    truth, scores = predictions(task, seeds=seeds)
    game = {frozenset(s): float(np.mean([metric(task, truth, one) for one in each])) for s, each in scores.items()}
    found = party_worth(task, truth, scores, PARTIES, resamples=50)
    for party, value in brute_force(PARTIES, game).items():
        estimate = found["parties"][party]
        assert estimate is not None
        assert estimate["value"] == pytest.approx(value)
        assert estimate["low"] < value < estimate["high"]
    assert found["gain"] is not None and found["alone"] is not None and found["joint"] is not None
    total = sum(estimate["value"] for estimate in found["parties"].values() if estimate is not None)
    assert total == pytest.approx(found["gain"]["value"])
    assert found["exact"] and found["seeds"] == seeds and found["rows"] == 800
    assert json.loads(json.dumps(found)) == found


def test_with_one_party_its_worth_is_the_gain_and_its_interval_that_of_the_comparison() -> None:
    truth, scores = predictions("binary")
    two = {(): scores[()], ("pays",): scores[PARTIES]}
    found = party_worth("binary", truth, two, ("pays",), resamples=2000)
    compared = compare("binary", truth, scores[PARTIES][0], scores[()][0], seed=1, resamples=2000)["difference"]["auc"]
    assert compared is not None and found["parties"]["pays"] is not None
    for name in ("value", "low", "high"):
        assert found["parties"]["pays"][name] == pytest.approx(compared[name], abs=0.004)  # type: ignore[literal-required]


def test_a_party_of_noise_has_an_interval_that_covers_zero() -> None:
    covered = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth, scores = predictions("binary", 400, seed=seed)
        noise = [0.98 * scores["pays",][0] + 0.02 * rng.random(400)]
        game = {(): scores[()], ("bills",): scores[()], ("pays",): scores[("pays",)], PARTIES: noise}
        found = party_worth("binary", truth, game, PARTIES, resamples=200)["parties"]
        assert found["bills"] is not None and found["pays"] is not None
        covered += found["bills"]["low"] <= 0 <= found["bills"]["high"]
        assert found["pays"]["low"] > 0.1
    assert covered >= 18


def test_intervals_are_wider_with_seeds_that_differ_and_with_persons() -> None:
    truth, scores = predictions("binary", 300)
    rng = np.random.default_rng(3)
    wobbling = {
        subset: [np.clip(each[0] + step * rng.standard_normal(300), 0, 1) for step in (0.0, 0.3, 0.6)]
        for subset, each in scores.items()
    }
    persons = np.arange(300) // 10
    spans = []
    for made, who in ((scores, None), (wobbling, None), (scores, persons)):
        found = party_worth("binary", truth, made, PARTIES, resamples=300, persons=who)["parties"]["pays"]
        assert found is not None
        spans.append(found["high"] - found["low"])
    assert spans[1] > spans[0]
    assert spans[2] != spans[0]


def test_beyond_the_exact_parties_orders_are_sampled() -> None:
    parties = tuple("abcdefg")
    rng = np.random.default_rng(0)
    truth = (rng.random(200) < 0.5).astype(float)
    needed = needed_subsets(parties, seed=4)
    assert () in needed and parties in needed and len(needed) < 2**7
    scores = {
        subset: [np.clip(0.5 + 0.1 * len(subset) * (truth - 0.5) + 0.3 * rng.standard_normal(200), 0, 1)]
        for subset in needed
    }
    found = party_worth("binary", truth, scores, parties, seed=4, resamples=20)
    assert not found["exact"] and found["gain"] is not None
    total = sum(estimate["value"] for estimate in found["parties"].values() if estimate is not None)
    assert total == pytest.approx(found["gain"]["value"])


def test_rows_that_do_not_define_the_metric_have_no_estimate() -> None:
    truth, scores = np.ones(4), [np.full(4, 0.5)]
    found = party_worth("binary", truth, {(): scores, ("pays",): scores}, ("pays",), resamples=5)
    assert found["gain"] is None and found["parties"] == {"pays": None}


def test_what_is_missing_or_does_not_fit_is_an_error() -> None:
    truth, scores = predictions("binary", 50)
    with pytest.raises(ValueError, match="no predictions of the model with pays"):
        party_worth("binary", truth, {s: each for s, each in scores.items() if s != ("pays",)}, PARTIES)
    with pytest.raises(ValueError, match="as many as there are seeds"):
        party_worth("binary", truth, scores | {PARTIES: scores[PARTIES] * 2, (): scores[()] * 3}, PARTIES)
    with pytest.raises(ValueError, match="resamples"):
        party_worth("binary", truth, scores, PARTIES, resamples=0)


# --- columns ----------------------------------------------------------------------------------------------------------


def test_the_importance_of_a_column_is_what_shuffling_it_costs() -> None:
    rng = np.random.default_rng(6)
    table = rng.standard_normal((600, 3))
    truth = (table @ [2.0, 0.5, 0.0] + rng.standard_normal(600) > 0).astype(float)

    def model(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return 1 / (1 + np.exp(-rows @ [2.0, 0.5, 0.0]))

    shuffled: dict[int, list[npt.NDArray[np.float64]]] = {}
    for column in range(3):
        shuffled[column] = []
        for _ in range(4):
            changed = table.copy()
            changed[:, column] = rng.permutation(changed[:, column])
            shuffled[column].append(model(changed))
    found = permutation_importance("binary", truth, model(table), shuffled, resamples=100)
    for column, each in shuffled.items():
        estimate = found[column]
        wanted = metric("binary", truth, model(table)) - np.mean([metric("binary", truth, one) for one in each])
        assert estimate is not None and estimate["value"] == pytest.approx(float(wanted))
    assert found[2] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found[0] is not None and found[1] is not None
    assert found[0]["low"] > found[1]["high"] > found[1]["low"] > 0
