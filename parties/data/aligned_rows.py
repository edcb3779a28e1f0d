"""The rows that training works on, from an alignment: as many at every party, and in the same order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from parties.config.job import Job
from parties.config.party_names import PartyNames
from parties.data.party_data import PartyData, Rows
from psi import Alignment, Keys, matched_rows, receive_row_counts, send_row_counts
from vsplit.learn.batches import Split, from_parts, split_by_date, split_by_seed, to_parts
from vsplit.learn.feature import receive_split
from vsplit.learn.groups import Groups
from vsplit.learn.label import send_split
from vsplit.protocol import Bytes, Role

Run = Callable[[Role[Any]], Any]


@dataclass(frozen=True, slots=True, eq=False)
class AlignedRows:
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


def align_rows(
    names: PartyNames,
    job: Job,
    party_data: PartyData,
    aligned: Alignment,
    order_secret: bytes,
    most_rows: int,
    run: Run,
) -> AlignedRows:
    """The shared rows of this party. With `align.repeated: many_to_one` the label party first sends the number of rows of
    each record, and with `split.by: date` the part of each record.

    `order_secret` is that of the alignment; only the label party has one. A feature party accepts at most `most_rows`
    shared rows. Raises what `psi.receive_row_counts` and `receive_split` do, and DataError where a part is too small.
    """
    keys = party_data.keys
    if job.align.repeated == "many_to_one":
        shared = _grouped_rows(names, keys, aligned, order_secret, most_rows, run)
    else:
        shared = AlignedRows(keys.rows[aligned.positions])
    if job.split.by != "date":
        return shared
    if names.is_label:
        split = _split_by_date(party_data.table.date, shared, _fractions(job))
        run(send_split(names.feature_parties, split, shared.records))
    else:
        split = run(receive_split(names.label_party, shared.records))
    return replace(shared, parts=to_parts(split, shared.records))


def _grouped_rows(
    names: PartyNames, keys: Keys, aligned: Alignment, order_secret: bytes, most_rows: int, run: Run
) -> AlignedRows:
    if names.is_label:
        rows, counts = matched_rows(keys, aligned.positions, order_secret)
        run(send_row_counts(names.feature_parties, counts))
        return AlignedRows(rows, Groups(counts))
    groups = Groups(run(receive_row_counts(names.label_party, aligned.matched, most_rows)))
    return AlignedRows(keys.rows[aligned.positions][groups.person], groups)


def _split_by_date(date: pd.Series[Any] | None, shared: AlignedRows, fractions: tuple[float, float, float]) -> Split:
    """With many rows for one person the latest date counts."""
    if date is None:
        raise ValueError("the label party has dates where the job splits by them")
    groups = shared.groups
    dates = date.iloc[shared.rows].to_numpy("datetime64[us]").astype(np.int64)
    if groups is None:
        return split_by_date(dates, fractions)
    return split_by_date(groups.latest(dates), fractions, groups.counts)


def _fractions(job: Job) -> tuple[float, float, float]:
    return job.split.train, job.split.validation, job.split.test
