"""The worth of a party: Shapley values of the feature parties, and the permutation importance of columns.

The value of a set of feature parties is the main metric (AUC, macro AUC or R²) of a model of the label party with them, on the
same rows. A party's Shapley value is the mean of what it adds to the parties before it, over all orders of the parties
(Shapley, "A value for n-person games", 1953). All values together are the gain of the joint model over the label party alone.
Beyond `EXACT_PARTIES` the mean is over sampled orders, each with its reverse (Mitchell et al., "Sampling permutations for
Shapley value estimation", JMLR 23, 2022).

Intervals are bootstrap intervals over rows (or persons) and over seeds: each resample draws both, the same for all models.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from math import comb
from typing import TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from vsplit.evaluation.metrics import (
    MAIN_METRIC,
    POINT,
    WEIGHTED,
    Estimate,
    Task,
    checked_scores,
    estimate,
    resampled_weights,
)
from vsplit.evaluation.weighted_metrics import Array

Parties = tuple[str, ...]
Worth = Callable[[Parties], Array]
Key = TypeVar("Key", bound=Hashable)

EXACT_PARTIES = 6
"""With more feature parties, orders are sampled: the exact values would take more than 64 models."""
SAMPLED_ORDERS = 16


class PartyWorth(TypedDict):
    """What `party_worth` returns; an estimate is None where the rows do not define the metric.

    `gain` is joint minus alone. `exact` is false where orders were sampled.
    """

    metric: str
    rows: int
    resamples: int
    seeds: int
    exact: bool
    alone: Estimate | None
    joint: Estimate | None
    gain: Estimate | None
    parties: dict[str, Estimate | None]


def exact_values(parties: Parties, worth: Worth) -> dict[str, Array]:
    """The Shapley value of each party; `worth` gives each subset's value, an array of any one shape.

    Subsets are asked for in the order of `parties`, each once.
    """
    count = len(parties)
    values = {subset: worth(subset) for size in range(count + 1) for subset in combinations(parties, size)}
    found = {}
    for party in parties:
        without = [subset for subset in values if party not in subset]
        found[party] = sum(
            (
                (values[_with(subset, party, parties)] - values[subset]) / (count * comb(count - 1, len(subset)))
                for subset in without
            ),
            np.zeros(()),
        )
    return found


def sampled_values(parties: Parties, worth: Worth, orders: Iterable[Parties]) -> dict[str, Array]:
    """The mean of what each party adds to those before it, over these orders; each subset is asked for once."""
    values: dict[Parties, Array] = {}
    added: dict[str, list[Array]] = {party: [] for party in parties}
    for order in orders:
        for before, after in pairwise(_prefixes(order, parties)):
            for subset in (before, after):
                if subset not in values:
                    values[subset] = worth(subset)
            (party,) = set(after) - set(before)
            added[party].append(values[after] - values[before])
    return {party: np.mean(each, axis=0) for party, each in added.items()}


def sampled_orders(parties: Parties, seed: int, count: int = SAMPLED_ORDERS) -> list[Parties]:
    """`count` random orders of the parties, and after each its reverse, which makes the mean more even."""
    rng = np.random.default_rng(seed)
    found: list[Parties] = []
    for _ in range(count):
        order = tuple(parties[place] for place in rng.permutation(len(parties)))
        found += [order, order[::-1]]
    return found


def needed_subsets(parties: Parties, seed: int = 0) -> list[Parties]:
    """The subsets, in the order of `parties`, whose models `party_worth` needs; none and all are always among them."""
    if len(parties) <= EXACT_PARTIES:
        return [subset for size in range(len(parties) + 1) for subset in combinations(parties, size)]
    found = {subset for order in sampled_orders(parties, seed) for subset in _prefixes(order, parties)}
    return sorted(found, key=lambda subset: (len(subset), [parties.index(party) for party in subset]))


def party_worth(
    task: Task,
    truth: npt.ArrayLike,
    predictions: Mapping[Parties, Sequence[npt.ArrayLike]],
    parties: Parties,
    *,
    seed: int = 0,
    resamples: int = 1000,
    persons: npt.NDArray[np.int64] | None = None,
) -> PartyWorth:
    """The Shapley value of each feature party, with intervals. JSON-ready.

    `predictions` has for each of `needed_subsets(parties, seed)` the predictions of its models on the same rows: one for each
    seed, the same number for all subsets, or one alone where there is one. `truth`, `persons` and each prediction are as in
    `vsplit.evaluation.metrics.compare`, and what is raised is the same. Equal arguments give equal results.
    """
    needed = needed_subsets(parties, seed)
    missing = [subset for subset in needed if subset not in predictions]
    if missing:
        raise ValueError(f"there are no predictions of the model with {' and '.join(missing[0]) or 'no feature party'}")
    scores = _scores(task, truth, {subset: predictions[subset] for subset in needed}, seed, resamples, persons)
    exact = len(parties) <= EXACT_PARTIES
    orders = [] if exact else sampled_orders(parties, seed)
    found = exact_values(parties, scores.__getitem__) if exact else sampled_values(parties, scores.__getitem__, orders)
    alone, joint = scores[()], scores[parties]
    return PartyWorth(
        metric=MAIN_METRIC[task], rows=len(np.asarray(truth)), resamples=resamples, exact=exact,
        seeds=max(len(each) for each in predictions.values()), alone=_estimate(alone), joint=_estimate(joint),
        gain=_estimate(joint - alone), parties={party: _estimate(values) for party, values in found.items()},
    )  # fmt: skip


def permutation_importance(
    task: Task,
    truth: npt.ArrayLike,
    scores: npt.ArrayLike,
    shuffled: Mapping[Key, Sequence[npt.ArrayLike]],
    *,
    seed: int = 0,
    resamples: int = 1000,
    persons: npt.NDArray[np.int64] | None = None,
) -> dict[Key, Estimate | None]:
    """By how much the main metric falls where a column is shuffled over the rows, for each column.

    `scores` are the model's predictions, `shuffled` those with each column shuffled, once or several times (Breiman, "Random
    forests", 2001). All else as in `party_worth`.
    """
    models = dict(enumerate([[scores], *shuffled.values()]))
    found = _scores(task, truth, models, seed, resamples, persons)
    return {column: _estimate(found[0] - found[number]) for number, column in enumerate(shuffled, 1)}


def _with(subset: Parties, party: str, parties: Parties) -> Parties:
    return tuple(each for each in parties if each in subset or each == party)


def _prefixes(order: Parties, parties: Parties) -> list[Parties]:
    return [tuple(each for each in parties if each in order[:size]) for size in range(len(parties) + 1)]


def _scores(
    task: Task,
    truth: npt.ArrayLike,
    models: Mapping[Key, Sequence[npt.ArrayLike]],
    seed: int,
    resamples: int,
    persons: npt.NDArray[np.int64] | None,
) -> dict[Key, Array]:
    """The main metric of each model, float64 [1 + resamples]: on the rows themselves, then on each resample.

    A model with several predictions has the mean over them; a resample draws as many of them as there are.
    """
    metric, rng = MAIN_METRIC[task], np.random.default_rng(seed)
    seeds = max((len(each) for each in models.values()), default=0)
    if any(len(each) not in (1, seeds) for each in models.values()):
        raise ValueError("each model has one prediction, or as many as there are seeds")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; it must be at least 1")
    checked = {key: [checked_scores(task, truth, one, "trained") for one in each] for key, each in models.items()}
    points = {key: np.array([POINT[task](*pair)[metric] for pair in pairs]) for key, pairs in checked.items()}
    weighted = {key: [WEIGHTED[task](*pair) for pair in pairs] for key, pairs in checked.items()}
    drawn: dict[Key, list[Array]] = {key: [] for key in models}
    rows = len(np.asarray(truth))
    for weights in resampled_weights(rows, resamples, np.random.default_rng([seed, 1]), persons):
        shares = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=len(weights)) / seeds
        for key, functions in weighted.items():
            values = np.stack([function(weights)[metric] for function in functions], axis=1)
            drawn[key].append((values * (shares if len(functions) > 1 else 1.0)).sum(axis=1))
    return {key: np.concatenate([[points[key].mean()], *drawn[key]]) for key in models}


def _estimate(values: Array) -> Estimate | None:
    return estimate(float(values[0]), values[1:])
