"""One party's records, as a table whose columns are sorted by what they are for, and its labels as numbers.

Errors name the file, the column and the key of the party file, and never a value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from parties.config.data_source import DataSource
from parties.config.errors import did_you_mean
from parties.data.sources import Source, read_source
from parties.data.written import as_written
from vsplit.protocol import DataError

NO_VALUE = ["NA", "N/A", "n/a", "<NA>", "#N/A", "NaN", "nan", "-nan", "NULL", "Null", "null", "None"]
"""Texts that mean a missing number or category in a CSV file. In a key or a class, only an empty cell does."""

PLAIN_USES = ("data.key", "data.label", "data.date", "data.image.column", "data.categories")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Table:
    """A party's records. Every column has the same number of rows, in the order of the source, counted from 0.

    where: the source in words, for errors. keys: the key columns in the job's order, under this party's names; text
    exactly as in the source, or numbers that the source itself does not store exactly. label: text, or None
    for a feature party; a row without a label is missing. date: UTC timestamps. features: float64, text or timestamps;
    None and NaN are missing. images: paths as text, relative to `image_folder`. written: key columns and label in the types
    of the source, for the label party's predictions; None elsewhere. ignored: columns that the party file leaves out.
    """

    where: str
    keys: pd.DataFrame
    label: pd.Series[Any] | None
    date: pd.Series[Any] | None
    features: pd.DataFrame
    images: pd.Series[Any] | None
    image_folder: Path
    written: pa.Table | None = None
    ignored: tuple[str, ...] = ()

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


def read_table(settings: DataSource) -> Table:
    """Read the records that the party file names.

    Raises ConfigError where the source cannot be found or opened, and DataError where it cannot be understood, has no
    row, or lacks a column that the party file names.
    """
    return table_of(read_source(settings), settings)


def table_of(source: Source, settings: DataSource) -> Table:
    """The records of a source that has been read. Raises as `read_table`."""
    data = settings.data
    where, found, untyped = source.where, source.table, source.untyped
    uses = [("data.key", column) for column in settings.key]
    uses += [(f"data.{use}", name) for use, name in (("label", data.label), ("date", data.date)) if name is not None]
    uses += [("data.image.column", data.image.column)] if data.image is not None else []
    uses += [("data.ignore", column) for column in data.ignore]
    _check_columns(found, [*uses, *(("data.categories", column) for column in data.categories)], where, settings)
    taken = {column for _, column in uses}
    label = _text(found[data.label], untyped and settings.task == "regression") if data.label else None
    features = {
        name: _text(found[name], untyped) if name in data.categories else _feature(found[name], untyped)
        for name in found.column_names
        if name not in taken
    }
    return Table(
        where=where,
        keys=_keys(found, settings.key),
        label=None if label is None else label.rename(data.label),
        date=None if data.date is None else _dates(found[data.date], data.date, label, where),
        features=pd.DataFrame(features, index=pd.RangeIndex(found.num_rows)),
        images=None if data.image is None else _text(found[data.image.column], False).rename(data.image.column),
        image_folder=settings.folder,
        written=_written(found, settings, untyped) if settings.written or data.label else None,
        ignored=data.ignore,
    )


def read_key_columns(settings: DataSource) -> tuple[str, pd.DataFrame]:
    """Read the key columns alone: the source in words, and the columns as `Table.keys` has them. Raises as `read_table`."""
    source = read_source(settings, settings.key)
    _check_columns(source.table, [("data.key", column) for column in settings.key], source.where, settings)
    return source.where, _keys(source.table, settings.key)


def _written(found: pa.Table, settings: DataSource, untyped: bool) -> pa.Table:
    number, label = settings.task == "regression", settings.data.label
    columns = {key: as_written(_plain(found[key]), untyped=untyped) for key in settings.key}
    if label is not None:
        column = _plain(found[label])
        words = _trimmed(column, untyped and number) if _is_text(column.type) else column
        try:
            columns[label] = as_written(words, untyped=untyped, number=number)
        except pa.ArrowInvalid:  # not a number: the encoding of the labels reports it
            columns[label] = words
    return pa.table(columns)


# --- columns ----------------------------------------------------------------------------------------------------------


def _check_columns(found: pa.Table, uses: Sequence[tuple[str, str]], where: str, settings: DataSource) -> None:
    for use, column in uses:
        if column not in found.column_names:
            hint = did_you_mean(column, found.column_names) or "."
            alone = " Its columns are not separated by commas." if re.search("[;\t]", found.column_names[0]) else ""
            names = f"the key {use} of {settings.file} names"
            if use == "data.key" and not settings.data.key:
                names = (
                    f"the job's align.key names; if {settings.file} is to use another name for it, set data.key there"
                )
            raise DataError(f"In {where}, there is no column {column}, which {names}{hint}{alone}")
        if use in PLAIN_USES and pa.types.is_nested(found[column].type):
            raise DataError(
                f"In {where}, the column {column} holds lists or groups of values, so it cannot be what the key {use} of "
                f"{settings.file} names it for; name another column."
            )


def _keys(found: pa.Table, key: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({column: _key(found[column]) for column in key})


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
    # The id contract checks the remaining types (floats, decimals, dates), and counts values that cannot be keys.
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
