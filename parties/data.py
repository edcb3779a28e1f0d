"""One party's records, as a table whose columns are sorted by what they are for, and its labels as numbers.

Errors name the file, the column and the key of the party file, and never a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from parties.config.errors import did_you_mean
from parties.config.fields import Task
from parties.config.party import Party
from parties.config.sources import read_source
from vsplit.protocol import DataError

Positive = str | int | float | bool

NO_VALUE = ["NA", "N/A", "n/a", "<NA>", "#N/A", "NaN", "nan", "-nan", "NULL", "Null", "null", "None"]
"""Texts that stand for a missing number or category in a CSV file. In a key or a class, only an empty cell does."""

PLAIN_USES = ("data.key", "data.label", "data.date", "data.image.column", "data.categories")
MOST_CLASSES = 1000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Table:
    """A party's records. Every column has the same number of rows, in the order of the source, counted from 0.

    where: the source in words, for errors. keys: the key columns in the job's order, under this party's names; text
    exactly as it stands in the source, or numbers that the source itself does not hold exactly. label: text, or None
    for a feature party; a row without a label is missing. date: UTC timestamps. features: float64, text or timestamps;
    None and NaN are missing. images: paths as text, relative to `image_folder`.
    """

    where: str
    keys: pd.DataFrame
    label: pd.Series[Any] | None
    date: pd.Series[Any] | None
    features: pd.DataFrame
    images: pd.Series[Any] | None
    image_folder: Path

    @property
    def rows(self) -> int:
        """The number of records."""
        return len(self.keys)

    @property
    def has_label(self) -> npt.NDArray[np.bool_]:
        """Which rows have a label: bool [rows]."""
        return np.zeros(self.rows, np.bool_) if self.label is None else self.label.notna().to_numpy(np.bool_)

    def __repr__(self) -> str:
        return f"<Table of {self.rows} rows, {self.features.shape[1]} features>"


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Encoded labels. `values`: binary float32 0/1, multiclass int64 codes, regression float32, each [n].

    `classes` has the text of each code in order: (negative, positive), or all classes sorted; none in a regression.
    """

    values: npt.NDArray[np.float32] | npt.NDArray[np.int64] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)


def read_table(party: Party) -> Table:
    """Read the records that the party file names.

    Raises ConfigError where the source cannot be found or opened, and DataError where it cannot be understood, has no
    row, or lacks a column that the party file names.
    """
    data = party.settings.data
    source = read_source(party)
    where, found, untyped = source.where, source.table, source.untyped
    uses = [("data.key", column) for column in party.key_columns]
    uses += [(f"data.{use}", name) for use, name in (("label", data.label), ("date", data.date)) if name is not None]
    uses += [("data.image.column", data.image.column)] if data.image is not None else []
    uses += [("data.ignore", column) for column in data.ignore]
    _check_columns(found, [*uses, *(("data.categories", column) for column in data.categories)], where, party)
    taken = {column for _, column in uses}
    label = _text(found[data.label], untyped and party.job.task == "regression") if data.label else None
    features = {
        name: _text(found[name], untyped) if name in data.categories else _feature(found[name], untyped)
        for name in found.column_names
        if name not in taken
    }
    return Table(
        where=where,
        keys=pd.DataFrame({column: _key(found[column]) for column in party.key_columns}),
        label=None if label is None else label.rename(data.label),
        date=None if data.date is None else _dates(found[data.date], data.date, label, where),
        features=pd.DataFrame(features, index=pd.RangeIndex(found.num_rows)),
        images=None if data.image is None else _text(found[data.image.column], False).rename(data.image.column),
        image_folder=party.data_folder,
    )


# --- labels -----------------------------------------------------------------------------------------------------------


def encode_labels(label: pd.Series[Any], task: Task, where: str, positive: Positive | None = None) -> Labels:
    """Encode the labels of a task: `label` is `Table.label` without its missing rows, and its name the column's.

    `positive` is the class that counts as 1 in a binary task; by default the second of the two in sorted order.
    Numbers are sorted as numbers. Raises DataError where the values do not fit the task; it shows none of them.
    """
    if label.isna().any():
        raise ValueError("rows without a label are left out before labels are encoded")
    what = f"the label column {label.name} of {where}"
    if label.empty:
        raise DataError(f"In {what}, no row has a value; fill it, or name another column in data.label.")
    if task == "regression":
        return _encode_numbers(label, what)
    words = label.astype(str)
    classes = sorted(words.unique(), key=_sort_key(words.unique()))
    if len(classes) == 1:
        raise DataError(f"In {what}, all rows have the same value, so there is nothing to learn; see data.label.")
    if task == "binary":
        classes = _binary_classes(classes, what, positive)
        return Labels((words == classes[1]).to_numpy().astype(np.float32), tuple(classes))
    if len(classes) > min(MOST_CLASSES, len(words) // 2):
        raise DataError(
            f"{what[0].upper()}{what[1:]} holds {len(classes)} different values in {len(words)} rows, too many for "
            f"classes (at most {MOST_CLASSES}, and two rows each); name another column, or make the task a regression."
        )
    codes = pd.Index(classes).get_indexer(pd.Index(words))
    return Labels(codes.astype(np.int64), tuple(classes))


def _binary_classes(classes: list[str], what: str, positive: Positive | None) -> list[str]:
    if len(classes) > 2:
        raise DataError(
            f"{what[0].upper()}{what[1:]} holds {len(classes)} different values, but the task is binary; a binary label "
            "has two (a cell without a label must be empty), or make the task multiclass."
        )
    if positive is None:
        return classes
    chosen = [name for name in classes if _is_same(name, positive)]
    if len(chosen) != 1:
        raise DataError(f"In {what}, neither of the two values is what data.positive says; name one of the two there.")
    return [name for name in classes if name != chosen[0]] + chosen


def _encode_numbers(label: pd.Series[Any], what: str) -> Labels:
    numbers = pd.to_numeric(label, errors="coerce").to_numpy(np.float64)
    with np.errstate(over="ignore"):
        values = numbers.astype(np.float32)
    if np.isnan(numbers).any():
        raise DataError(
            f"In {what}, {int(np.isnan(numbers).sum())} row(s) hold no number, but the task is regression; a cell without a "
            "label must be empty, and numbers have a decimal point."
        )
    if not np.isfinite(values).all():
        raise DataError(
            f"In {what}, {int((~np.isfinite(values)).sum())} row(s) hold an infinite or far too large number."
        )
    if np.ptp(values) == 0:
        raise DataError(f"In {what}, all rows have the same value, so there is nothing to learn; see data.label.")
    return Labels(values, ())


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _sort_key(words: Iterable[str]) -> Any:
    numeric = all(_number(word) is not None for word in words)
    return (lambda word: (_number(word), word)) if numeric else (lambda word: (0.0, word))


def _is_same(name: str, positive: Positive) -> bool:
    if isinstance(positive, bool):  # YAML's true may be true, True or TRUE in the data.
        return name.lower() == str(positive).lower()
    wanted = str(positive).strip()
    return name == wanted or (_number(name) is not None and _number(name) == _number(wanted))


# --- columns ----------------------------------------------------------------------------------------------------------


def _check_columns(found: pa.Table, uses: Sequence[tuple[str, str]], where: str, party: Party) -> None:
    for use, column in uses:
        if column not in found.column_names:
            hint = did_you_mean(column, found.column_names) or "."
            alone = " Its columns are not separated by commas." if re.search("[;\t]", found.column_names[0]) else ""
            named = "" if use != "data.key" or party.settings.data.key else " (the job's align.key)"
            raise DataError(
                f"In {where}, there is no column {column}, which the key {use} of {party.file} names{named}{hint}{alone}"
            )
        if use in PLAIN_USES and pa.types.is_nested(found[column].type):
            raise DataError(
                f"In {where}, the column {column} holds lists or groups of values, so it cannot be what the key {use} of "
                f"{party.file} names it for; name another column."
            )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(column, column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _pandas(column: pa.ChunkedArray) -> pd.Series[Any]:
    found: pd.Series[Any] = column.to_pandas()
    return found.rename(None)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _key(column: pa.ChunkedArray) -> pd.Series[Any]:
    column = _plain(column)
    if _is_text(column.type) or pa.types.is_integer(column.type):
        words = pc.cast(column, pa.string())
        column = pc.if_else(pc.equal(words, ""), None, words)
    # What remains (floats, decimals, dates) is for the id contract to judge, which counts what can be no key.
    return _pandas(column)


def _text(column: pa.ChunkedArray, untyped: bool) -> pd.Series[Any]:
    return _pandas(_trimmed(column, untyped))


def _trimmed(column: pa.ChunkedArray, untyped: bool) -> pa.ChunkedArray:
    """A column as text without spaces around it: a category, a label or a path. Empty is missing."""
    column = _plain(column)
    try:
        words = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    except pa.ArrowException:
        return column
    return pc.if_else(pc.is_in(words, pa.array(["", *NO_VALUE] if untyped else [""])), None, words)


def _feature(column: pa.ChunkedArray, untyped: bool) -> pd.Series[Any]:
    """A column as float64, text or timestamps; what is none of these stays as it is, and is refused later."""
    column = _plain(column)
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return _pandas(pc.cast(column, pa.float64(), safe=False))
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return pd.Series(pd.to_datetime(_pandas(pc.cast(column, pa.timestamp("us"), safe=False))))
    if not (_is_text(kind) or pa.types.is_boolean(kind)):
        return _pandas(column)
    words = _trimmed(column, untyped)
    try:
        return _pandas(pc.cast(words, pa.float64()) if untyped else words)
    except pa.ArrowInvalid:  # Some cell is no number, so the column is text.
        return _pandas(words)


def _dates(column: pa.ChunkedArray, name: str, label: pd.Series[Any] | None, where: str) -> pd.Series[Any]:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        found = pd.Series(pd.to_datetime(_pandas(pc.cast(column, pa.timestamp("us"), safe=False)), utc=True))
    else:
        found = pd.Series(pd.to_datetime(_text(column, False), format="ISO8601", errors="coerce", utc=True))
    needed = found.notna() if label is None else label.notna()
    lacking = int((needed & found.isna()).sum())
    if lacking:
        raise DataError(
            f"In {where}, the column {name} (data.date) has no date in {lacking} row(s) with a label; a date looks like "
            "2024-01-31 or 2024-01-31T12:30:00."
        )
    return found.rename(name)
