"""Sentences about malformed key values: in which key column, by which step of `align.normalise`, and how many."""

from __future__ import annotations

from collections.abc import Sequence

from psi.columns import ColumnReport

NOTABLE = 0.05
"""From this share of all rows on, the malformed values of a column are reported before other causes of few matches."""

_FOUND_BY = {
    "date": "fit none of the formats of",
    "phone": "are not telephone numbers by",
    "email": "are not addresses by",
}


def many_malformed(columns: Sequence[ColumnReport], rows: int) -> list[str]:
    """A sentence for each of these key columns in which a notable share of the values of all `rows` is malformed."""
    return [
        f"{_malformed(column, rows)}; rows with such values are left out. Correct the values, or the step in the job."
        for column in columns
        if column.malformed and column.malformed >= NOTABLE * rows
    ]


def at_fault(columns: Sequence[ColumnReport], rows: int) -> str:
    """The columns that leave no row a usable key, or else all with a malformed or missing value, and why, in words."""
    found = [one for one in columns if one.missing + one.malformed == rows]
    reasons = []
    for column in found or columns:
        reasons += [_malformed(column, rows)] if column.malformed else []
        reasons += [f"{column.name}: {column.missing:,} of {rows:,} values are missing"] if column.missing else []
    return "; ".join(reasons)


def _malformed(column: ColumnReport, rows: int) -> str:
    worst = max(column.steps, key=lambda one: one.malformed, default=None)
    unreadable = column.malformed - sum(one.malformed for one in column.steps)
    if worst is None or unreadable >= worst.malformed:
        why = "cannot be ids (a fraction, a truth value, a date without the step date, or not text)"
    else:
        by = _FOUND_BY.get(worst.step.partition(" ")[0], "are malformed by")
        why = f"{by} {worst.step}"
    return f"{column.name}: {column.malformed:,} of {rows:,} values {why}"
