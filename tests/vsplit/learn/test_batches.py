"""Splits and batches follow from the common order and the seed, and cover every row once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsplit.learn.batches import (
    batch_count,
    batches,
    epoch_batches,
    from_parts,
    most_in_batch,
    part_sizes,
    split_by_date,
    split_by_seed,
    to_parts,
)
from vsplit.protocol import DataError

FRACTIONS = (0.7, 0.1, 0.2)


@given(rows=st.integers(30, 2000), seed=st.integers(0, 2**31))
def test_a_split_by_seed_covers_every_row_once_and_is_the_same_everywhere(rows: int, seed: int) -> None:
    split = split_by_seed(rows, FRACTIONS, seed)
    parts = [split.train, split.validation, split.test]
    assert sorted(np.concatenate(parts)) == list(range(rows))
    assert tuple(map(len, parts)) == part_sizes(rows, FRACTIONS)
    again = split_by_seed(rows, FRACTIONS, seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, [again.train, again.validation, again.test], strict=True))


def test_another_seed_gives_another_split() -> None:
    assert set(split_by_seed(1000, FRACTIONS, 0).test) != set(split_by_seed(1000, FRACTIONS, 1).test)


def test_the_split_of_a_seed_stays_what_it_is() -> None:
    """Two parties with different numpy versions must agree; a change of these figures is a change of the protocol."""
    assert split_by_seed(20, FRACTIONS, 0).test.tolist() == [14, 9, 1, 15]
    assert epoch_batches(np.arange(8), 4, seed=0, epoch=2)[0].tolist() == [7, 5, 1, 4]


@given(
    dates=st.lists(st.integers(-(10**15), 10**15), min_size=30, max_size=300),
)
def test_a_split_by_date_trains_on_the_oldest_and_tests_on_the_newest(dates: list[int]) -> None:
    days = np.array(dates, np.int64)
    split = split_by_date(days, FRACTIONS)
    assert days[split.train].max() <= days[split.validation].min()
    assert days[split.validation].max() <= days[split.test].min()
    told = from_parts(to_parts(split, len(days)))
    for name in ("train", "validation", "test"):
        assert np.array_equal(getattr(told, name), getattr(split, name))  # the order counts: batches are cut from it


@pytest.mark.parametrize("rows", [2, 5, 9])
def test_too_few_rows_to_split_are_an_error_with_figures(rows: int) -> None:
    with pytest.raises(DataError, match=f"{rows} usable records"):
        split_by_seed(rows, FRACTIONS, 0)


@given(rows=st.integers(1, 500), size=st.integers(1, 64), epoch=st.integers(0, 5))
def test_the_batches_of_an_epoch_hold_every_training_row_once(rows: int, size: int, epoch: int) -> None:
    train = np.arange(rows) * 3
    cut = epoch_batches(train, size, 7, epoch)
    assert sorted(np.concatenate(cut)) == list(train)
    assert {len(batch) for batch in cut[:-1]} <= {size}
    assert np.array_equal(np.concatenate(list(batches(train, size))), train)
    assert len(cut) == batch_count(rows, size)
    assert len(cut[-1]) <= most_in_batch(size)
    assert size == 1 or rows == 1 or min(map(len, cut)) > 1  # no batch of a single row


def test_every_epoch_is_shuffled_anew() -> None:
    first, second = (np.concatenate(epoch_batches(np.arange(100), 10, 0, epoch)) for epoch in (0, 1))
    assert not np.array_equal(first, second)
