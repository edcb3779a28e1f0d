"""Key columns as canonical texts, a range of rows at a time: `psi.normalise.canonical` for whole columns.

Texts are held in Arrow arrays, so that ten million of them need no ten million Python objects. Plain ASCII is processed by
Arrow's own functions; every other text by the normaliser itself, each distinct text once. The tests compare both with
`canonical`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from psi.normalise import MOST_CHARACTERS, Step
from psi.normalisers import clean
from psi.values import day_of, significand, text_of

if TYPE_CHECKING:  # a worker process that hashes keys needs neither pandas nor Arrow
    import pandas as pd

    Column = pd.Series[Any]

Mask = npt.NDArray[np.bool_]

# The white space of ASCII as Python defines it, which includes four control characters.
_SPACE = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f "
_SPACES = r"[\t-\r\x1c-\x20]+"

_FIRST = (Step("nfkc", change=lambda text: unicodedata.normalize("NFKC", text)), Step("trim", change=str.strip))


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one normaliser did to a column, in values: how many it changed, and how many it found malformed."""

    step: str
    changed: int
    malformed: int


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """The quality of one key column, in values: `missing` and `malformed` after all `steps`, of as many as there are rows.

    A value is malformed if it is neither text nor a whole number, if it is too long, or if a step finds it so.
    """

    name: str
    missing: int
    malformed: int
    steps: tuple[StepReport, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """A range of a column: `values`, an Arrow array of large_string, null where a value is missing or `malformed`, bool
    [rows]."""

    values: Any = field(repr=False)
    malformed: Mask = field(repr=False)


class ColumnReader:
    """Reads one key column, a pandas Series, range by range, and counts what it finds.

    Dates that are not text are accepted where `date` is among the `steps`, or with `takes_dates`; otherwise they are malformed.
    """

    def __init__(self, column: Column, steps: Sequence[Step], *, takes_dates: bool = False) -> None:
        self.name = str(column.name) if column.name is not None else "(without a name)"
        self.is_named = column.name is not None
        self._column = column
        self._steps = (*_FIRST, *steps)
        self._takes_dates = takes_dates or any(step.name == "date" for step in steps)
        self._exact = 2 ** significand(column)
        self._arrow = _as_arrow(column)
        self._missing = self._malformed = 0
        self._changes = [0] * len(self._steps)
        self._refusals = [0] * len(self._steps)
        self.has_values = False
        """Whether anything but missing values was read, malformed values included."""

    def read(self, first: int, last: int) -> Texts:
        """The canonical texts of the rows from `first` up to `last`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._arrow is not None:
            values = pc.cast(self._arrow.slice(first, last - first).combine_chunks(), pa.large_string())
            malformed, dates = np.zeros(len(values), np.bool_), None
        else:
            values, malformed, dates = self._read_values(first, last)
        long = _too_long(values)
        if long is not None:
            values, malformed = pc.if_else(long, None, values), malformed | _mask(long)
        for number, step in enumerate(self._steps):
            before = values
            values = _apply(step, before)
            refused = _mask(pc.and_(pc.is_valid(before), pc.is_null(values)))
            self._changes[number] += int(pc.sum(pc.not_equal(before, values)).as_py() or 0)
            self._refusals[number] += int(refused.sum())
            malformed |= refused
            values = pc.if_else(pc.equal(values, ""), None, values)
            if number == len(_FIRST) - 1:
                self.has_values |= bool(malformed.any()) or dates is not None or values.null_count < len(values)
            if dates is not None and (step.name == "date" or number == len(self._steps) - 1):
                values, dates = pc.coalesce(values, dates), None
        self._malformed += int(malformed.sum())
        self._missing += int(values.null_count) - int(malformed.sum())
        return Texts(values, malformed)

    def without_steps(self, rows: npt.NDArray[np.int64]) -> ColumnReader:
        """A reader of these rows without the steps that the job names."""
        return ColumnReader(self._column.iloc[rows], (), takes_dates=self._takes_dates)

    def report(self) -> ColumnReport:
        """What was found in all ranges read so far."""
        counts = zip(self._steps, self._changes, self._refusals, strict=True)
        steps = tuple(StepReport(str(step), changed, malformed) for step, changed, malformed in counts)
        return ColumnReport(self.name, self._missing, self._malformed, steps)

    def _read_values(self, first: int, last: int) -> tuple[Any, Mask, Any]:
        """Read any other column value by value: its texts, which values are malformed, and dates (None: there are none)."""
        import pyarrow as pa

        part = self._column.iloc[first:last]
        texts: list[str | None] = []
        dates: list[str | None] = []
        malformed = np.zeros(len(part), np.bool_)
        for row, (value, absent) in enumerate(zip(part.tolist(), part.isna().tolist(), strict=True)):
            day = None if absent or not self._takes_dates else day_of(value)
            text = None if absent or day is not None else text_of(value, self._exact)
            malformed[row] = not absent and text is None and day is None
            texts.append(text)
            dates.append(day)
        found = None if not any(dates) else pa.array(dates, pa.large_string())
        return pa.array(texts, pa.large_string()), malformed, found


def _as_arrow(column: Column) -> Any:
    """A column of text or of whole numbers as an Arrow chunked array; None for any other, which is read value by value."""
    import pandas as pd
    import pyarrow as pa

    kind = column.dtype
    text = isinstance(kind, pd.StringDtype) or (
        isinstance(kind, pd.ArrowDtype)
        and (pa.types.is_string(kind.pyarrow_dtype) or pa.types.is_large_string(kind.pyarrow_dtype))
    )
    if not text and not pd.api.types.is_integer_dtype(kind):
        return None
    try:
        found = pa.array(column, from_pandas=True)
    except (UnicodeEncodeError, pa.ArrowException):  # text that Arrow cannot hold; reading value by value finds it
        return None
    return found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])


def _too_long(texts: Any) -> Any:
    """Which of `texts` have more characters than a key may have; None: none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # Bytes are counted first, which suffices for most columns; Arrow does not check that they are UTF-8.
    raw = pc.cast(texts, pa.large_binary())
    if (pc.max(pc.binary_length(raw)).as_py() or 0) <= MOST_CHARACTERS:
        return None
    return pc.fill_null(pc.greater(pc.utf8_length(texts), MOST_CHARACTERS), False)


def _apply(step: Step, texts: Any) -> Any:
    """`step` on each of `texts`: null where a text is malformed, "" where nothing is left of it."""
    import pyarrow.compute as pc

    fast = _on_ascii(step)
    plain = pc.string_is_ascii(texts) if fast is not None else pc.and_(pc.is_null(texts), False)
    odd = pc.fill_null(pc.invert(plain), False)
    if fast is not None and not pc.any(odd).as_py():
        return fast(texts)
    whole = texts if fast is None else fast(pc.if_else(plain, texts, None))
    return pc.replace_with_mask(whole, odd, _one_by_one(step, pc.filter(texts, odd)))


def _one_by_one(step: Step, texts: Any) -> Any:
    """`step` itself on each distinct text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    coded = pc.dictionary_encode(texts)
    # Arrow does not check that a file's text is UTF-8, so it is read as bytes.
    found = [_changed(step, raw) for raw in pc.cast(coded.dictionary, pa.large_binary()).to_pylist()]
    return pc.take(pa.array(found, pa.large_string()), coded.indices)


def _changed(step: Step, raw: bytes) -> str | None:
    try:
        changed = step.change(raw.decode())
    except UnicodeDecodeError:
        return None
    return changed if changed is None or step in _FIRST else clean(changed)


def _on_ascii(step: Step) -> Callable[[Any], Any] | None:
    """`step` for an Arrow array of ASCII texts and nulls; None for a step for which Arrow has no function."""
    import pyarrow.compute as pc

    def same(texts: Any) -> Any:
        return texts

    def trimmed(texts: Any) -> Any:
        return pc.ascii_trim(texts, characters=_SPACE)

    def replaced(pattern: str, by: str) -> Callable[[Any], Any]:
        return lambda texts: trimmed(pc.replace_substring_regex(texts, pattern=pattern, replacement=by))

    known: dict[str, Callable[[Any], Any]] = {
        "nfkc": same,
        "trim": trimmed,
        "lower": pc.ascii_lower,
        "upper": pc.ascii_upper,
        "spaces": replaced(_SPACES, " "),
        "no_spaces": replaced(_SPACES, ""),
        "no_punctuation": replaced(r"[^0-9A-Za-z\t-\r\x1c-\x20]+", ""),
        "no_accents": same,
        "digits": replaced("[^0-9]+", ""),
        "leading_zeros": replaced(r"(?s)^0+(.)", r"\1"),
        "pad_zeros": lambda texts: pc.ascii_lpad(texts, width=int(step.argument), padding="0"),
    }
    return known.get(step.name)


def _mask(values: Any) -> Mask:
    found: Mask = values.to_numpy(zero_copy_only=False).astype(np.bool_, copy=False)
    return found
