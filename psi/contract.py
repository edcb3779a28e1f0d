"""The id contract, version 1: how key columns become one canonical key a row. Every party applies this same code.

SPEC.md, section 3, says the same in words. Anything that could make two sides write one id differently, and that is not
named here (upper and lower case, leading zeros, separators), is left as it stands in the data.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vsplit.protocol import DataError

if TYPE_CHECKING:  # A worker process that hashes keys need not load pandas.
    import pandas as pd

    Column = pd.Series[Any]

CONTRACT = 1
"""The version of the contract. It belongs into the digest of the job, since two versions would not match."""

_MISSING = b""
_DOUBLE_DIGITS = 53  # Bits of a double's significand: larger whole numbers may have lost digits before they got here.
_DIGITS = 100
_MOST = 10**_DIGITS  # No id is a number this long, and Python refuses to write much longer ones.


@dataclass(frozen=True, slots=True)
class KeyReport:
    """How good a party's keys are, in counts of rows: rows = missing + malformed + repeated_rows + usable.

    missing: a key column has no value. malformed: a value can be no id (a fraction, a number too long to be exact, a
    truth value, a date, bytes, text that is no Unicode). repeated_rows: all rows of every key that occurs more than
    once. usable: the rest.
    """

    rows: int
    missing: int
    malformed: int
    repeated_rows: int
    usable: int


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """A party's usable keys, none twice, and `rows`, int64 [usable]: the position in the input of each key's row."""

    keys: list[bytes] = field(repr=False)
    rows: npt.NDArray[np.int64] = field(repr=False)
    report: KeyReport


def read_keys(columns: Sequence[Column]) -> Keys:
    """The canonical keys of a table with these key columns, each a pandas Series of text or numbers, all equally long.

    Raises DataError for a key column without any value, for keys that are all repeated, and for no usable key at all.
    The sentence names the columns and shows no key.
    """
    if not columns or len({len(column) for column in columns}) != 1:
        raise ValueError("a key has one or more columns, all of the same length")
    parts = [_read_column(column) for column in columns]
    joined = [_join(row) for row in zip(*parts, strict=True)]
    seen = Counter(key for key in joined if key)
    rows = np.array([row for row, key in enumerate(joined) if key and seen[key] == 1], dtype=np.int64)
    missing, malformed = joined.count(_MISSING), joined.count(None)
    report = KeyReport(len(joined), missing, malformed, len(joined) - missing - malformed - len(rows), len(rows))
    _check_usable(columns, report)
    return Keys([joined[row] or b"" for row in rows], rows, report)


def _read_column(column: Column) -> list[bytes | None]:
    """Each value as bytes with its length before it, b"" where it is missing, None where it is malformed."""
    exact = 2 ** _significand(column)
    parts = [
        _MISSING if absent else _part(_text(value, exact))
        for value, absent in zip(column.tolist(), column.isna().tolist(), strict=True)
    ]
    if not any(part != _MISSING for part in parts):
        raise DataError(
            f"The key column {_name(column)} of this party's data is empty: none of its {len(parts):,} rows has a "
            "value; name another column (data.key) or fill it."
        )
    return parts


def _text(value: object, exact: int) -> str | None:
    """A value as text, or None where it can be no id. Floats of `exact` or more may have lost digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, Integral):
        number = int(value)
    elif isinstance(value, Real):
        number = int(float(value)) if abs(float(value)) < exact else _MOST
        if number != value:
            return None
    elif isinstance(value, Decimal):
        number = int(value) if value.is_finite() and value.adjusted() < _DIGITS else _MOST
        if number != value:
            return None
    else:
        return None
    return str(number) if abs(number) < _MOST else None


def _part(text: str | None) -> bytes | None:
    if text is None:
        return None
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    text = text.strip()
    if not text:
        return _MISSING
    try:
        encoded = text.encode()
    except UnicodeEncodeError:  # A lone surrogate: the file was read with a wrong encoding.
        return None
    return len(encoded).to_bytes(4, "big") + encoded


def _join(parts: tuple[bytes | None, ...]) -> bytes | None:
    if _MISSING in parts:
        return _MISSING
    present = [part for part in parts if part is not None]
    return b"".join(present) if len(present) == len(parts) else None


def _significand(column: Column) -> int:
    """Bits up to which whole numbers in `column` are exact, should it be a column of floats."""
    dtype = getattr(column.dtype, "numpy_dtype", column.dtype)
    return int(np.finfo(dtype).nmant) + 1 if isinstance(dtype, np.dtype) and dtype.kind == "f" else _DOUBLE_DIGITS


def _check_usable(columns: Sequence[Column], report: KeyReport) -> None:
    if report.usable:
        return
    names = " and ".join(_name(column) for column in columns)
    noun = f"key column {names}" if len(columns) == 1 else f"key columns {names} together"
    if report.repeated_rows and not report.missing and not report.malformed:
        raise DataError(
            f"Every key in the {noun} of this party's data is repeated ({report.rows:,} rows), so no row is the one "
            "meant; name a key that is different for each record (data.key), or reduce the data to one row a record."
        )
    raise DataError(
        f"The {noun} of this party's data hold no usable key: of {report.rows:,} rows {report.missing:,} miss a value, "
        f"{report.malformed:,} hold one that can be no id and {report.repeated_rows:,} repeat a key; "
        "name other columns (data.key) or correct them."
    )


def _name(column: Column) -> str:
    return repr(str(column.name)) if column.name is not None else "(without a name)"
