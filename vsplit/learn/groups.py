"""Rows that belong together: the many rows of one person, which must never be in two parts of a split.

Without groups every shared record is one row. With them the alignment's records are persons (or customers, or whatever the key
identifies), and the common order of rows is: all rows of the first person, all rows of the second, and so on. Every party knows
the counts and derives the same order from them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vsplit.learn.batches import Rows, Split


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """How many rows each person has: `counts`, int64 [persons], each at least 1, in the common order of persons.

    `starts`, int64 [persons]: the position of each person's first row. `person`, int64 [rows]: the person of each row.
    """

    counts: Rows = field(repr=False)
    starts: Rows = field(init=False, repr=False)
    person: Rows = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.counts.ndim != 1 or not len(self.counts) or self.counts.min() < 1:
            raise ValueError("there is a person or more, and each has a row or more")
        object.__setattr__(self, "starts", np.cumsum(self.counts) - self.counts)
        object.__setattr__(self, "person", np.repeat(np.arange(len(self.counts)), self.counts))

    def __len__(self) -> int:
        """How many persons there are."""
        return len(self.counts)

    @property
    def rows(self) -> int:
        """How many rows all persons have together."""
        return len(self.person)

    @property
    def digest(self) -> bytes:
        """A digest of the counts: SHA-256, 32 bytes."""
        return hashlib.sha256(self.counts.astype("<i8").tobytes()).digest()

    def rows_of(self, persons: Rows) -> Rows:
        """The positions of all rows of these persons, int64, person after person in the order given."""
        counts = self.counts[persons]
        begin = np.cumsum(counts) - counts
        found: Rows = np.repeat(self.starts[persons] - begin, counts) + np.arange(int(counts.sum()))
        return found

    def split_rows(self, persons: Split) -> Split:
        """The split of rows that follows from a split of persons."""
        return Split(self.rows_of(persons.train), self.rows_of(persons.validation), self.rows_of(persons.test))

    def latest(self, dates: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The latest of each person's dates, int64 [persons], of one date a row, int64 [rows]."""
        newest: npt.NDArray[np.int64] = np.maximum.reduceat(dates, self.starts)
        return newest
