"""Which rows of the common order are used for training, validation and test, and in which batches.

All of it follows from the common order and the job's seed, never from labels or file order. The generator is numpy's
PCG64, whose stream of `permutation` is fixed for a pinned numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vsplit.protocol import Bytes, DataError

Rows = npt.NDArray[np.int64]

TRAIN, VALIDATION, TEST = 0, 1, 2
# Fewer rows than this in a part say nothing about a model.
FEWEST_ROWS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Positions in the common order, int64 arrays [n], of the three parts."""

    train: Rows
    validation: Rows
    test: Rows


def split_by_seed(rows: int, fractions: tuple[float, float, float], seed: int, row_counts: Rows | None = None) -> Split:
    """Cut `rows` positions at random; every party computes the same. Raises DataError where a part is too small.

    With `row_counts`, int64 [rows], the positions are persons with so many rows each: the split is one of persons,
    cut where the shares of their rows are nearest to `fractions`.
    """
    order = np.random.default_rng([seed, 0]).permutation(rows)
    return _cut(order, fractions, row_counts)


def split_by_date(
    dates: npt.NDArray[np.int64], fractions: tuple[float, float, float], row_counts: Rows | None = None
) -> Split:
    """The oldest rows for training, the newest for the test. `dates` is int64 [rows] in the common order, in any unit of time.

    Rows of the same date are taken in the common order, which is random. Within a part the rows are in the common
    order again, and not by date, since the feature parties receive no more than the part of each row. `row_counts` as in a
    split by seed: the dates are then those of persons.
    """
    cut = _cut(np.argsort(dates, kind="stable").astype(np.int64), fractions, row_counts)
    return Split(np.sort(cut.train), np.sort(cut.validation), np.sort(cut.test))


def to_parts(split: Split, rows: int) -> Bytes:
    """The part of each of `rows` positions, uint8 [rows]: how a split by date is sent to the feature parties."""
    parts = np.zeros(rows, np.uint8)
    parts[split.validation] = VALIDATION
    parts[split.test] = TEST
    return parts


def from_parts(parts: Bytes) -> Split:
    """The split that `to_parts` encoded; within a part, the rows are in the common order."""
    train, validation, test = (np.flatnonzero(parts == part) for part in (TRAIN, VALIDATION, TEST))
    return Split(train, validation, test)


def batches(rows: Rows, size: int) -> Iterator[Rows]:
    """`rows` in order, `size` at a time; the last batch may be smaller.

    A single row that would be left over is added to the batch before it: some modules (batch normalisation) need more than
    one row.
    """
    starts = range(0, len(rows), size)
    for start in starts if batch_count(len(rows), size) == len(starts) else starts[:-1]:
        end = start + size
        yield rows[start : end + 1 if end + 1 == len(rows) and size > 1 else end]


def batch_count(rows: int, size: int) -> int:
    """How many batches `batches` yields for so many rows."""
    full, rest = divmod(rows, size)
    alone = rest == 1 and full > 0 and size > 1
    return full + (rest > 0) - alone


def most_in_batch(size: int) -> int:
    """The most rows that a batch may have where `size` is the job's."""
    return size + 1


def epoch_batches(train: Rows, size: int, seed: int, epoch: int) -> list[Rows]:
    """The training batches of one epoch (counted from 0), shuffled differently in each."""
    order = np.random.default_rng([seed, 1, epoch]).permutation(len(train))
    return list(batches(train[order], size))


def part_sizes(rows: int, fractions: tuple[float, float, float]) -> tuple[int, int, int]:
    """How many of `rows` are for training, for validation and for the test."""
    first = round(rows * fractions[0])
    second = round(rows * (fractions[0] + fractions[1]))
    return first, second - first, rows - second


def _cut(order: Rows, fractions: tuple[float, float, float], row_counts: Rows | None) -> Split:
    if row_counts is None:
        stand_for, (train, validation, test) = "", part_sizes(len(order), fractions)
    else:
        stand_for = f" (with {int(row_counts.sum())} rows)"
        train, validation, test = _sizes(row_counts[order], fractions)
    if min(train, validation, test) < FEWEST_ROWS:
        raise DataError(
            f"The parties have {len(order)} usable records in common{stand_for}, too few to split and train on: {train} "
            f"would be for training, {validation} for validation and {test} for the test, and each needs at least "
            f"{FEWEST_ROWS}; bring more records or agree on other fractions in the job's `split`."
        )
    return Split(order[:train], order[train : train + validation], order[train + validation :])


def _sizes(row_counts: Rows, fractions: tuple[float, float, float]) -> tuple[int, int, int]:
    """How many persons, in this order, go into each part, so that the cuts in their rows are the nearest possible.

    A person with very many rows could leave a part without other persons, depending on chance. So each part
    gets its fewest persons where there are enough for all three.
    """
    persons, passed = len(row_counts), np.concatenate([[0], np.cumsum(row_counts)])
    if persons < 3 * FEWEST_ROWS:
        return part_sizes(persons, fractions)
    train, validation, _ = part_sizes(int(passed[-1]), fractions)
    first, second = (int(np.abs(passed - wanted).argmin()) for wanted in (train, train + validation))
    first = min(max(first, FEWEST_ROWS), persons - 2 * FEWEST_ROWS)
    second = min(max(second, first + FEWEST_ROWS), persons - FEWEST_ROWS)
    return first, second - first, persons - second
