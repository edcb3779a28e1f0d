"""From an alignment to the rows that training works on: as many at every party, and in the same order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from parties.config.job import Job
from parties.data.party_data import PartyData, Rows, most_rows
from psi import Alignment, matched_rows, receive_row_counts, send_row_counts
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


def align_rows(party_data: PartyData, aligned: Alignment, order_secret: bytes, run: Run) -> AlignedRows:
    """The shared rows of this party. With `align.repeated: many_to_one` the parties first speak about their numbers, and
    with `split.by: date` the label party tells the parts.

    `order_secret` is the one of the alignment; only the label party has one. Raises what `psi.receive_row_counts` and
    `receive_split` do, and DataError where a part is too small.
    """
    shared = _rows(party_data, aligned, order_secret, run)
    job = party_data.party.job
    if job.split.by != "date":
        return shared
    if party_data.party.role == "feature":
        split: Split = run(receive_split(job.label_party, shared.records))
    else:
        split = _split_by_date(party_data, shared)
        run(send_split(job.feature_parties, split, shared.records))
    return replace(shared, parts=to_parts(split, shared.records))


def _rows(party_data: PartyData, aligned: Alignment, order_secret: bytes, run: Run) -> AlignedRows:
    job, keys = party_data.party.job, party_data.keys
    if job.align.repeated != "many_to_one":
        return AlignedRows(keys.rows[aligned.positions])
    if party_data.party.role == "label":
        rows, counts = matched_rows(keys, aligned.positions, order_secret)
        run(send_row_counts(job.feature_parties, counts))
        return AlignedRows(rows, Groups(counts))
    most = most_rows(party_data.party, len(keys.keys))
    groups = Groups(run(receive_row_counts(job.label_party, aligned.matched, most)))
    return AlignedRows(keys.rows[aligned.positions][groups.person], groups)


def _split_by_date(party_data: PartyData, shared: AlignedRows) -> Split:
    """With many rows for one person the latest date counts."""
    if party_data.table.date is None:
        raise ValueError("the label party has dates where the job splits by them")
    groups, fractions = shared.groups, _fractions(party_data.party.job)
    dates = party_data.table.date.iloc[shared.rows].to_numpy("datetime64[us]").astype(np.int64)
    if groups is None:
        return split_by_date(dates, fractions)
    return split_by_date(groups.latest(dates), fractions, groups.counts)


def _fractions(job: Job) -> tuple[float, float, float]:
    return job.split.train, job.split.validation, job.split.test
