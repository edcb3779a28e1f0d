"""From an alignment to the rows that training works on: as many at every party, and in the same order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from parties.config.job import Job
from parties.home import Home, Rows, most_rows
from psi import Alignment, learn_row_counts, matched_rows, tell_row_counts
from vsplit.learn.batches import Split, from_parts, split_by_date, split_by_seed, to_parts
from vsplit.learn.feature import receive_split
from vsplit.learn.groups import Groups
from vsplit.learn.label import send_split
from vsplit.protocol import Bytes, Role

Run = Callable[[Role[Any]], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """This party's side of the shared rows: `rows`, int64 [n], are row numbers of its table in the common order.

    With many rows for one person, `groups` says which of them are one person's; a feature party, which has one row of
    each person, has its row number as often as the label party has rows of that person. None: one row for each.
    `parts`, uint8 [records], has the part of each record (a person, where these have many rows) in a split by date.
    """

    rows: Rows = field(repr=False)
    groups: Groups | None = None
    parts: Bytes | None = field(default=None, repr=False)

    @property
    def records(self) -> int:
        """How many records the alignment found: rows, or persons who have many rows each."""
        return len(self.rows) if self.groups is None else len(self.groups)

    def split(self, job: Job) -> Split:
        """The split of the shared rows, by the job's rule: all rows of one person are in one part.

        Raises DataError where a part is too small.
        """
        counts = None if self.groups is None else self.groups.counts
        if self.parts is None:
            records = split_by_seed(self.records, _fractions(job), job.split.seed, counts)
        else:
            records = from_parts(self.parts)
        return records if self.groups is None else self.groups.split_rows(records)


def share_rows(home: Home, aligned: Alignment, order_secret: bytes, run: Run) -> Shared:
    """The shared rows of this party. With `align.repeated: many_to_one` the parties first speak about their numbers, and
    with `split.by: date` the label party tells the parts.

    `order_secret` is the one of the alignment; only the label party has one. Raises what `psi.learn_row_counts` and
    `receive_split` do, and DataError where a part is too small.
    """
    shared = _rows(home, aligned, order_secret, run)
    job = home.party.job
    if job.split.by != "date":
        return shared
    if home.party.role == "feature":
        split: Split = run(receive_split(job.label_party, shared.records))
    else:
        split = _split_by_date(home, shared)
        run(send_split(job.feature_parties, split, shared.records))
    return replace(shared, parts=to_parts(split, shared.records))


def _rows(home: Home, aligned: Alignment, order_secret: bytes, run: Run) -> Shared:
    job, keys = home.party.job, home.keys
    if job.align.repeated != "many_to_one":
        return Shared(keys.rows[aligned.positions])
    if home.party.role == "label":
        rows, counts = matched_rows(keys, aligned.positions, order_secret)
        run(tell_row_counts(job.feature_parties, counts))
        return Shared(rows, Groups(counts))
    most = most_rows(home.party, len(keys.keys))
    groups = Groups(run(learn_row_counts(job.label_party, aligned.matched, most)))
    return Shared(keys.rows[aligned.positions][groups.person], groups)


def _split_by_date(home: Home, shared: Shared) -> Split:
    """With many rows for one person the latest date counts."""
    if home.table.date is None:
        raise ValueError("the label party has dates where the job splits by them")
    groups, fractions = shared.groups, _fractions(home.party.job)
    dates = home.table.date.iloc[shared.rows].to_numpy("datetime64[us]").astype(np.int64)
    if groups is None:
        return split_by_date(dates, fractions)
    return split_by_date(groups.latest(dates), fractions, groups.counts)


def _fractions(job: Job) -> tuple[float, float, float]:
    return job.split.train, job.split.validation, job.split.test
