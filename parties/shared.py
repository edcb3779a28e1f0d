"""From an alignment to the rows that training works on: as many at every party, and in the same order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from parties.home import Home, Rows, most_rows
from psi import Alignment, learn_row_counts, matched_rows, tell_row_counts
from vsplit.learn.groups import Groups
from vsplit.protocol import Role

Run = Callable[[Role[Any]], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """This party's side of the shared rows: `rows`, int64 [n], are row numbers of its table in the common order.

    With many rows for one person, `groups` says which of them are one person's; a feature party, which has one row of
    each person, has its row number as often as the label party has rows of that person. None: one row for each.
    """

    rows: Rows = field(repr=False)
    groups: Groups | None = None


def share_rows(home: Home, aligned: Alignment, order_secret: bytes, run: Run) -> Shared:
    """The shared rows of this party. With `align.repeated: many_to_one` the parties first speak about their numbers.

    `order_secret` is the one of the alignment; only the label party has one. Raises what `psi.learn_row_counts` does.
    """
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
