"""The id contract: how key columns become one canonical key for each row. Every party applies the same code.

SPEC.md, section 3, defines the same in words. `psi.normalise` has the steps that a job may name, `psi.columns` applies them.
A difference in writing for which the job names no step remains as it is in the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from psi.columns import ColumnReader, ColumnReport
from psi.keys import KeyList
from psi.malformed import at_fault
from psi.normalise import Step
from vsplit.protocol import Bytes, DataError

if TYPE_CHECKING:  # A worker process that hashes keys need not load pandas.
    import pandas as pd

    Column = pd.Series[Any]

Rows = npt.NDArray[np.int64]
Repeated = Literal["error", "first", "last", "many_to_one"]
"""The policy for a key that several rows have; SPEC.md, section 3.3."""

_RANGE = 1 << 17
"""Rows that are read at a time, so that no whole column is in memory in more than two forms."""
_LENGTH = 4  # bytes before each text of a key


@dataclass(frozen=True, slots=True)
class KeyReport:
    """The quality of a party's keys, in counts of rows: rows = missing + malformed + left_out + usable.

    missing: a key column has no value. malformed: a value cannot be an id (a fraction, a number too long to be exact, a truth
    value, bytes, text that is not valid Unicode or too long, a date where no date is asked for), or a normaliser finds it so.
    repeated_keys, repeated_rows: the keys on more than one row, and all their rows. merged_keys: those of these keys that the
    normalisers made equal. left_out: the repeated rows that are not used (policies first and last). usable: the rest.
    """

    rows: int
    missing: int
    malformed: int
    repeated_keys: int
    repeated_rows: int
    left_out: int
    usable: int
    columns: tuple[ColumnReport, ...] = ()
    merged_keys: int = 0


class UnusableKeysError(DataError):
    """The key columns cannot be used: no usable key, or repeated keys under the policy error.

    `report` has the counts up to this point.
    """

    def __init__(self, sentence: str, report: KeyReport) -> None:
        super().__init__(sentence)
        self.report = report


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """A party's usable keys, none twice, in the order in which they first occur, and the rows of each.

    `rows`, int64 [usable rows], are positions in the input; those of key i are rows[starts[i] : starts[i + 1]],
    ascending; `starts` is int64 [len(keys) + 1]. With every policy but many_to_one each key has exactly one row.
    """

    keys: KeyList
    starts: Rows = field(repr=False)
    rows: Rows = field(repr=False)
    report: KeyReport


def read_keys(
    columns: Sequence[Column], *, normalise: Sequence[Sequence[Step]] | None = None, repeated: Repeated = "error"
) -> Keys:
    """The canonical keys of a table with these key columns, each a pandas Series of text or numbers, all equally long.

    `normalise` has the steps of each column, in the order of `columns`; None: only the steps that are always applied.
    `repeated` is the policy of this party: many_to_one is for the label party alone.

    Raises DataError for a key column without any value, and UnusableKeysError, a DataError with the report, for repeated
    keys under the policy error and for no usable key at all. The sentence names the columns and shows no key.
    """
    readers = _readers(columns, normalise)
    total = len(columns[0])
    parts, rows, missing = _read_all(readers, total)
    _check_values(readers, total)
    keys, codes = _distinct(parts)
    _release_memory(parts)
    starts, order = _grouped(codes, len(keys))
    counts = np.diff(starts)
    several = counts > 1
    chosen = {"first": starts[:-1], "last": starts[1:] - 1}.get(repeated)
    used = rows[order if chosen is None else order[chosen]]
    merged = any(normalise or ()) and several.any()
    report = KeyReport(
        rows=total,
        missing=missing,
        malformed=total - missing - len(rows),
        repeated_keys=int(several.sum()),
        repeated_rows=int(counts[several].sum()),
        left_out=len(rows) - len(used),
        usable=len(used),
        columns=tuple(reader.report() for reader in readers),
        merged_keys=_merged(readers, rows[order[np.repeat(several, counts)]], counts[several]) if merged else 0,
    )
    _check_usable(readers, report, repeated)
    return Keys(keys, starts if chosen is None else np.arange(len(keys) + 1), used, report)


def _readers(columns: Sequence[Column], normalise: Sequence[Sequence[Step]] | None) -> list[ColumnReader]:
    if not columns or len({len(column) for column in columns}) != 1:
        raise ValueError("a key has one or more columns, all of the same length")
    steps = [()] * len(columns) if normalise is None else normalise
    return [ColumnReader(column, todo) for column, todo in zip(columns, steps, strict=True)]


def _read_all(readers: Sequence[ColumnReader], total: int) -> tuple[list[Any], Rows, int]:
    """What `_read_range` returns for all rows; the keys in parts."""
    parts, usable, missing = [], [np.empty(0, np.int64)], 0
    for first in range(0, total, _RANGE):
        part, rows, lacking = _read_range(readers, first, min(first + _RANGE, total))
        parts.append(part)
        usable.append(rows)
        missing += lacking
    return parts, np.concatenate(usable), missing


def _read_range(readers: Sequence[ColumnReader], first: int, last: int) -> tuple[Any, Rows, int]:
    """The keys of some rows as an Arrow array of bytes, the rows that have one, and how many miss a value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pieces, malformed, missing = [], np.zeros(last - first, np.bool_), np.zeros(last - first, np.bool_)
    for reader in readers:
        found = reader.read(first, last)
        text = pc.cast(found.values, pa.large_binary())
        pieces += [_lengths(text), text]
        malformed |= found.malformed
        missing |= found.values.is_null().to_numpy(zero_copy_only=False) & ~found.malformed
    keys = pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.large_binary()))
    return keys.drop_null(), first + np.flatnonzero(~(malformed | missing)), int(missing.sum())


def _lengths(texts: Any) -> Any:
    """The length of each text in bytes, as an Arrow array of 4 bytes each, big endian; undefined where there is no text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.binary_length(texts), 0).to_numpy().astype(">u4")
    offsets = np.arange(0, _LENGTH * (len(lengths) + 1), _LENGTH, dtype=np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(lengths)]
    return pa.Array.from_buffers(pa.large_binary(), len(lengths), buffers)


def _distinct(parts: list[Any]) -> tuple[KeyList, npt.NDArray[np.int32]]:
    """The distinct keys in the order in which they first occur, and for each row with a key the number of its key."""
    import pyarrow as pa
    import pyarrow.compute as pc

    coded = pc.dictionary_encode(pa.chunked_array(parts, pa.large_binary()))
    if not coded.num_chunks:
        return KeyList.of([]), np.empty(0, np.int32)
    distinct = coded.chunk(0).dictionary  # all chunks share it
    _, ends, data = distinct.buffers()
    raw: Bytes = np.frombuffer(data, np.uint8)
    keys = KeyList(raw, np.frombuffer(ends, np.int64)[: len(distinct) + 1])
    return keys, np.concatenate([chunk.indices.to_numpy() for chunk in coded.chunks])


def _merged(readers: Sequence[ColumnReader], rows: Rows, counts: Rows) -> int:
    """How many keys had more than one text before the normalisers, in any column.

    `rows` are those of the keys with several rows, key by key, and `counts` how many each of these keys has. The texts
    are read once more, since they are not stored; only a range of them is in memory at a time.
    """
    import pyarrow.compute as pc

    number = np.repeat(np.arange(len(counts)), counts)
    merged = np.zeros(len(counts), np.bool_)
    for first in range(0, len(rows), _RANGE):
        # The last row of the previous range is included, so that all neighbours are compared.
        span = slice(max(first - 1, 0), first + _RANGE)
        of = number[span]
        texts, _, _ = _read_range([reader.without_steps(rows[span]) for reader in readers], 0, len(of))
        other = pc.not_equal(texts[1:], texts[:-1]).to_numpy(zero_copy_only=False)
        merged[of[1:][other & (of[1:] == of[:-1])]] = True
    return int(merged.sum())


def _release_memory(parts: list[Any]) -> None:
    """Return the memory of finding distinct keys, some 100 bytes a key, to the system: the roles need it next."""
    import pyarrow as pa

    parts.clear()
    pa.default_memory_pool().release_unused()


def _grouped(codes: npt.NDArray[np.int32], keys: int) -> tuple[Rows, Rows]:
    """Where the rows of each key begin, int64 [keys + 1], and the order of rows, int64, in which they are counted."""
    if len(codes) == keys:
        return np.arange(keys + 1), np.arange(keys)
    starts = np.zeros(keys + 1, np.int64)
    np.cumsum(np.bincount(codes, minlength=keys), out=starts[1:])
    return starts, np.argsort(codes, kind="stable").astype(np.int64, copy=False)


def _check_values(readers: Sequence[ColumnReader], rows: int) -> None:
    for reader in readers:
        if not reader.has_values:
            raise DataError(
                f"The key column {_quoted(reader)} of this party's data is empty: none of its {rows:,} rows has a value; "
                "name another column (data.key) or fill it."
            )


def _check_usable(readers: Sequence[ColumnReader], report: KeyReport, repeated: Repeated) -> None:
    names = " and ".join(_quoted(reader) for reader in readers)
    noun = f"key column {names}" if len(readers) == 1 else f"key columns {names} together"
    if report.repeated_keys and repeated == "error":
        merged = f" ({report.merged_keys:,} of these keys only through align.normalise)" if report.merged_keys else ""
        raise UnusableKeysError(
            f"In the {noun} of this party's data, {report.repeated_keys:,} key(s) occur more than once, on "
            f"{report.repeated_rows:,} rows in all{merged}, and only one row may have a key here; reduce the data to one row a "
            "record, name a further key column, or agree on another align.repeated in the job: first or last for any "
            "party's repeats, many_to_one for the label party's alone, and never for a feature party's.",
            report,
        )
    if not report.usable:
        raise UnusableKeysError(
            f"The {noun} of this party's data hold{'s' if len(readers) == 1 else ''} no usable key: "
            f"{at_fault(report.columns, report.rows)}. Correct the values, change the step in align.normalise of the job, or "
            "name other columns (data.key).",
            report,
        )


def _quoted(reader: ColumnReader) -> str:
    return repr(reader.name) if reader.is_named else reader.name
