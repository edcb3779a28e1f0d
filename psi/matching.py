"""Comparing lists of masked keys: repeats, echoes and matches, by sorting 128 bits of each value in numpy.

No Python object is made for a record, so that ten million take 160 MB and some seconds. Two different values that agree
in 128 bits do not occur: with 2^32 records on both sides the probability is below 2^-64.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vsplit.protocol import Bytes

Words = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

MARK = 16
"""Bytes of a value by which it is compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Tags:
    """The first 16 bytes of each value of a list, as two words: uint64 [n] each."""

    low: Words = field(repr=False)
    high: Words = field(repr=False)

    @classmethod
    def of(cls, values: Bytes) -> Tags:
        """The tags of `values`, uint8 [n, w]; where w is less than 16, zeros take the place of what is missing."""
        if values.shape[1] < MARK:
            padded = np.zeros((len(values), MARK), dtype=np.uint8)
            padded[:, : values.shape[1]] = values
            values = padded
        words = np.ascontiguousarray(values[:, :MARK]).view("<u8")
        return cls(words[:, 0].copy(), words[:, 1].copy())

    def cut(self, width: int) -> Tags:
        """The tags of the same values cut to `width` bytes, at most 16."""
        low = 2 ** (8 * min(width, 8)) - 1
        high = 2 ** (8 * max(width - 8, 0)) - 1
        return Tags(self.low & np.uint64(low), self.high & np.uint64(high))

    def __len__(self) -> int:
        return len(self.low)


def has_repeats(tags: Tags) -> bool:
    """Whether a value is in the list twice."""
    if not _adjacent_alike(np.sort(tags.low)):
        return False
    pairs = np.stack([tags.low, tags.high], axis=1)
    return len(np.unique(pairs, axis=0)) < len(pairs)


def share_any(one: Tags, other: Tags) -> bool:
    """Whether a value is in both lists, neither of which holds a value twice."""
    both = np.concatenate([np.sort(one.low), np.sort(other.low)])
    both.sort(kind="stable")  # which merges two sorted runs, and is several times as fast for them
    return _adjacent_alike(both) and bool((find(one, other) >= 0).any())


def find(sought: Tags, among: Tags) -> Rows:
    """For each of `sought` its position in `among`, whose values are all different, or -1: int64 [len(sought)].

    Both lists are sorted by the first word, since sorted needles are found several times as fast as unsorted ones; where
    the first words agree the second ones decide.
    """
    order = np.argsort(among.low)
    ordered = among.low[order]
    turn = np.argsort(sought.low)
    needles = sought.low[turn]
    at = np.searchsorted(ordered, needles)
    where = np.full(len(sought), -1, dtype=np.int64)
    # Nearly always one round is enough; the next rounds are for several values with the same first word.
    pending = _still_alike(np.arange(len(needles)), at, needles, ordered)
    while len(pending):
        places, rows = order[at[pending]], turn[pending]
        right = among.high[places] == sought.high[rows]
        where[rows[right]] = places[right]
        pending = pending[~right]
        at[pending] += 1
        pending = _still_alike(pending, at, needles, ordered)
    return where


def _adjacent_alike(ordered: Words) -> bool:
    return bool((ordered[1:] == ordered[:-1]).any())


def _still_alike(rows: Rows, at: Rows, needles: Words, ordered: Words) -> Rows:
    rows = rows[at[rows] < len(ordered)]
    alike: Rows = rows[ordered[at[rows]] == needles[rows]]
    return alike
