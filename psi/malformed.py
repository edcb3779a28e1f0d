"""Values that can be no id, in plain sentences: in which key column, by which step of `align.normalise`, and how many."""

from __future__ import annotations

from collections.abc import Sequence

from psi.columns import ColumnReport

NOTABLE = 0.05
"""From this share of all rows on, malformed values of a column are told before anything else about a match."""

_FOUND_BY = {
    "date": "fit none of the formats of",
    "phone": "are no telephone numbers by",
    "email": "are no addresses by",
}


def many_malformed(columns: Sequence[ColumnReport], rows: int) -> list[str]:
    """A sentence for each of these key columns in which a notable share of the values of all `rows` is malformed."""
    return [
        f"{_malformed(column, rows)}; rows with such values take no part. Correct the values, or the step in the job."
        for column in columns
        if column.malformed and column.malformed >= NOTABLE * rows
    ]


def at_fault(columns: Sequence[ColumnReport], rows: int) -> str:
    """The columns that leave no row a usable key, or else all with a malformed or missing value, and why, in words."""
    found = [one for one in columns if one.missing + one.malformed == rows]
    said = []
    for column in found or columns:
        said += [_malformed(column, rows)] if column.malformed else []
        said += [f"{column.name}: {column.missing:,} of {rows:,} values are missing"] if column.missing else []
    return "; ".join(said)


def _malformed(column: ColumnReport, rows: int) -> str:
    worst = max(column.steps, key=lambda one: one.malformed, default=None)
    unreadable = column.malformed - sum(one.malformed for one in column.steps)
    if worst is None or unreadable >= worst.malformed:
        why = "can be no id (a fraction, a truth value, a date without the step date, or no text)"
    else:
        by = _FOUND_BY.get(worst.step.partition(" ")[0], "are malformed by")
        why = f"{by} {worst.step}"
    return f"{column.name}: {column.malformed:,} of {rows:,} values {why}"
