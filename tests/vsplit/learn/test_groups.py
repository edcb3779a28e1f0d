"""A person's rows stay together, in one order for every party."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsplit.learn.batches import Split, from_parts, part_sizes, split_by_date, split_by_seed, to_parts
from vsplit.learn.groups import Groups
from vsplit.protocol import DataError

FRACTIONS = (0.7, 0.1, 0.2)
PARTS = ("train", "validation", "test")

some_counts = st.lists(st.integers(1, 9), min_size=60, max_size=300).map(lambda counts: np.array(counts, np.int64))


def parts_of(split: Split) -> list[np.ndarray]:
    return [getattr(split, name) for name in PARTS]


@given(counts=some_counts, data=st.data())
def test_rows_of_persons_are_all_their_rows_person_after_person(counts: np.ndarray, data: st.DataObject) -> None:
    groups = Groups(counts)
    assert (len(groups), groups.rows) == (len(counts), counts.sum())
    asked = np.array(data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=20)), np.int64)
    rows = groups.rows_of(asked)
    assert rows.dtype == np.int64
    assert rows.tolist() == [row for person in asked for row in np.flatnonzero(groups.person == person)]


@pytest.mark.parametrize("counts", [[], [1, 0, 2], [-1]])
def test_a_person_without_a_row_is_no_person(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="each has a row or more"):
        Groups(np.array(counts, np.int64))


@given(counts=some_counts, seed=st.integers(0, 2**31))
def test_a_split_by_seed_never_divides_a_person_and_comes_near_to_the_shares(counts: np.ndarray, seed: int) -> None:
    groups = Groups(counts)
    split = groups.split_rows(split_by_seed(len(groups), FRACTIONS, seed, counts))
    assert sorted(np.concatenate(parts_of(split))) == list(range(groups.rows))
    persons = [set(groups.person[part]) for part in parts_of(split)]
    assert not (persons[0] & persons[1] or persons[0] & persons[2] or persons[1] & persons[2])
    sizes = [len(part) for part in parts_of(split)]
    for size, wanted in zip(sizes, part_sizes(groups.rows, FRACTIONS), strict=True):
        # At each of its two ends at most half a person too much, unless that left too few persons.
        assert abs(size - wanted) < 2 * counts.max() + 1


@given(persons=st.integers(30, 500), seed=st.integers(0, 2**31))
def test_persons_of_one_row_each_are_split_like_rows(persons: int, seed: int) -> None:
    plain, counted = (split_by_seed(persons, FRACTIONS, seed, ones) for ones in (None, np.ones(persons, np.int64)))
    for one, other in zip(parts_of(plain), parts_of(counted), strict=True):
        assert np.array_equal(one, other)


def test_the_split_of_a_seed_stays_what_it_is() -> None:
    """Two parties with different versions must agree; a change of these figures is a change of the protocol."""
    counts = np.array([5, 1, 1, 2, 9, 1, 1, 3, 1, 1, 2, 2, 1, 1, 1, 4, 1, 1, 1, 1], np.int64)
    split = split_by_seed(20, FRACTIONS, 0, counts)
    assert split.validation.tolist() == [7, 5, 18]
    assert split.test.tolist() == [17, 14, 9, 1, 15]


@given(counts=some_counts, data=st.data())
def test_a_split_by_date_goes_by_the_latest_row_of_each_person(counts: np.ndarray, data: st.DataObject) -> None:
    groups = Groups(counts)
    dates = np.random.default_rng(data.draw(st.integers(0, 1000))).integers(0, 500, groups.rows)
    latest = groups.latest(dates)
    assert latest.tolist() == [dates[groups.person == person].max() for person in range(len(groups))]
    persons = split_by_date(latest, FRACTIONS, counts)
    assert latest[persons.train].max() <= latest[persons.validation].min()
    assert latest[persons.validation].max() <= latest[persons.test].min()
    told = groups.split_rows(from_parts(to_parts(persons, len(groups))))
    for one, other in zip(parts_of(groups.split_rows(persons)), parts_of(told), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("seed", range(12))
def test_one_person_with_most_of_the_rows_leaves_two_persons_or_more_to_each_part(seed: int) -> None:
    counts = np.ones(50, np.int64)
    counts[7] = 10_000
    sizes = [len(part) for part in parts_of(split_by_seed(50, FRACTIONS, seed, counts))]
    assert min(sizes) >= 2
    assert sum(sizes) == 50


def test_too_few_persons_to_split_are_an_error_with_figures() -> None:
    assert [len(part) for part in parts_of(split_by_seed(6, FRACTIONS, 0, np.full(6, 30)))] == [2, 2, 2]
    for persons in range(1, 6):
        figures = (
            rf"{persons} usable records in common \(with {30 * persons} rows\), too few .*: [0-5] would be for training"
        )
        with pytest.raises(DataError, match=figures):
            split_by_seed(persons, FRACTIONS, 0, np.full(persons, 30))
