"""Prepares one party's feature columns as the arrays that its bottom model takes; fitted locally, on training rows only.

Numbers: missing ones become the median of the training rows, all are scaled to mean 0 and variance 1 and clipped, and a
column with gaps gets an indicator. Text, truth values and listed columns become codes of categories.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from vsplit.protocol import DataError

CLIP = 10.0
"""Scaled numbers lie between -CLIP and CLIP, so that one odd row cannot dominate a batch."""

MOST_CATEGORIES = 1000
LARGEST = 1e100
"""Numbers beyond this are as good as infinite: their variance could not be computed."""

NEARLY_ALL = 0.95
MOSTLY = 0.9
FEW_ROWS = 20
DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?|\d{1,2}[./]\d{1,2}[./]\d{4}")


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """How one column of numbers is prepared; `indicator`: it had a gap in the training rows."""

    name: str
    median: float
    mean: float
    scale: float
    indicator: bool


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """The known categories of one column: `words[i]` has code i + 1, and 0 is missing or unknown."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """The inputs of a bottom model. numeric: float32 [n, d], C-contiguous: the numbers, then the indicators.

    categories: int64 [n, c], codes from 0 (missing or never seen in training) to vocabularies[j] - 1. vocabularies:
    the number of codes of each column of categories, 0 included.
    """

    numeric: npt.NDArray[np.float32]
    categories: npt.NDArray[np.int64]
    vocabularies: tuple[int, ...]

    def __repr__(self) -> str:
        return f"<Prepared numeric {self.numeric.shape}, categories {self.categories.shape}>"


@dataclass(frozen=True, slots=True, repr=False)
class Preparation:
    """What was learned from the training rows. It has medians and category names, so it never leaves the party."""

    numbers: tuple[NumberColumn, ...]
    categories: tuple[CategoryColumn, ...]

    @classmethod
    def fit(cls, features: pd.DataFrame, categories: Sequence[str], rows: npt.NDArray[np.int64]) -> Preparation:
        """Learn from the rows of `features` at the positions `rows`; no other row has any influence.

        `categories` are columns of numbers that are to be taken as categories. Raises DataError without a row.
        """
        if len(rows) == 0:
            raise DataError("There is no training row to prepare the features by; share more records.")
        training = features.iloc[rows]
        names = [name for name in features.columns if name not in categories and _is_number(features[name])]
        return cls(
            _fit_numbers(_matrix(training, names), names),
            tuple(_fit_words(training[name]) for name in features.columns if name not in names),
        )

    def transform(self, features: pd.DataFrame) -> Prepared:
        """Prepare every row of `features`: [n, 0] where there is no column of a kind. Columns may be in any order.

        Raises DataError where a column is absent or no longer holds numbers, and names it.
        """
        for name in [*(one.name for one in self.numbers), *(one.name for one in self.categories)]:
            if name not in features.columns:
                raise DataError(f"The column {name} is missing; the model was trained with it.")
        matrix = _matrix(features, [one.name for one in self.numbers])
        missing = np.isnan(matrix)
        median, mean, scale = (
            np.array([getattr(one, part) for one in self.numbers]) for part in ("median", "mean", "scale")
        )
        scaled = np.clip((np.where(missing, median, matrix) - mean) / scale, -CLIP, CLIP)
        indicators = missing[:, [one.indicator for one in self.numbers]]
        codes = [_codes(features[one.name], one.words) for one in self.categories]
        return Prepared(
            np.ascontiguousarray(np.hstack([scaled, indicators]), np.float32),
            np.stack(codes, axis=1) if codes else np.zeros((len(features), 0), np.int64),
            tuple(len(one.words) + 1 for one in self.categories),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file beside the weights."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preparation:
        """What `to_json` gave. Raises DataError where the values are no preparation."""
        try:
            found = msgspec.convert(values, cls)
        except msgspec.ValidationError:
            raise DataError("The file with the preparation of the features is damaged; train again.") from None
        for one in found.numbers:
            if not (np.isfinite([one.median, one.mean, one.scale]).all() and one.scale > 0):
                raise DataError(f"The preparation of the column {one.name} is damaged; train again.")
        return found

    def __repr__(self) -> str:
        return f"<Preparation of {len(self.numbers)} numbers, {len(self.categories)} categories>"


DATES = "holds dates (replace them by numbers, such as the days since each date)"


def inspect_features(features: pd.DataFrame, categories: Sequence[str], where: str) -> None:
    """Raise DataError if a column cannot serve as a feature, over all rows: one sentence that names them all.

    `where` is the source, as `Table.where`. Refused are columns that are constant, empty, of dates, infinite, of nested
    values, of text that differs in nearly every row, and of numbers with some cells that are none.
    """
    problems = {name: text for name in features.columns if (text := _problem(features[name], name in categories))}
    if problems:
        listed = "; ".join(f"{name} {text}" for name, text in problems.items())
        what, use = ("column", "a feature") if len(problems) == 1 else ("columns", "features")
        raise DataError(
            f"In {where}, {len(problems)} {what} cannot be used as {use}: {listed}. Change the data, or leave out what "
            f"cannot be used with data.ignore: [{', '.join(map(str, problems))}]."
        )


def _problem(column: pd.Series[Any], listed: bool) -> str:
    values = column.dropna()
    if values.empty:
        return "has no value in any row"
    if pd.api.types.infer_dtype(values, skipna=True) in ("datetime64", "datetime", "date"):
        return DATES
    if _is_number(column):
        wild = int((np.abs(values.to_numpy(np.float64)) > LARGEST).sum())
        if wild:
            return f"holds {wild} infinite or far too large number(s)"
    elif not pd.api.types.is_bool_dtype(column) and not _is_text(values):
        return "holds values that are neither numbers nor text"
    if len(values) == len(column) and values.nunique() == 1:
        return "has the same value in every row"
    return "" if _is_number(column) and not listed else _problem_of_words(_words(column).dropna(), listed)


def _problem_of_words(words: pd.Series[Any], listed: bool) -> str:
    rows, counts = len(words), words.value_counts()
    if rows == 0:
        return "has no value in any row"
    if counts[[DATE.fullmatch(str(word)) is not None for word in counts.index]].sum() >= NEARLY_ALL * rows:
        return DATES
    is_number = pd.to_numeric(pd.Series(counts.index), errors="coerce").notna().to_numpy()
    others = int(counts[~is_number].sum())
    if not listed and 0 < others <= (1 - MOSTLY) * rows and is_number.sum() >= FEW_ROWS:
        return (
            f"holds numbers, but {others} cell(s) with something else (empty them, or list the column in "
            "data.categories if these are codes)"
        )
    if rows >= FEW_ROWS and len(counts) > MOSTLY * rows:
        return "differs in nearly every row (an identifier, free text, or numbers with a decimal comma)"
    return ""


def _is_number(column: pd.Series[Any]) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))


def _is_text(values: pd.Series[Any]) -> bool:
    return pd.api.types.infer_dtype(values, skipna=True) in ("string", "boolean", "categorical", "empty")


def _matrix(features: pd.DataFrame, names: Sequence[str]) -> npt.NDArray[np.float64]:
    for name in names:
        if not _is_number(features[name]):
            raise DataError(f"The column {name} holds something else than numbers; the model was trained with numbers.")
    return features[list(names)].to_numpy(np.float64, na_value=np.nan)


def _fit_numbers(training: npt.NDArray[np.float64], names: Sequence[str]) -> tuple[NumberColumn, ...]:
    if not names:
        return ()
    # A column may be empty in the training rows and have values elsewhere; it then counts from 0.
    imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(training)
    scaler = StandardScaler().fit(imputer.transform(training))
    medians = np.nan_to_num(imputer.statistics_)
    gaps = (np.isnan(training).sum(axis=0) > 0).tolist()
    return tuple(
        NumberColumn(name, float(median), float(mean), float(scale), gap)
        for name, median, mean, scale, gap in zip(names, medians, scaler.mean_, scaler.scale_, gaps, strict=True)
    )


def _fit_words(training: pd.Series[Any]) -> CategoryColumn:
    counts = _words(training).value_counts()
    # The most frequent come first, and equally frequent ones in alphabetical order, whatever order the rows are in.
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return CategoryColumn(str(training.name), tuple(str(word) for word, _ in ordered[:MOST_CATEGORIES]))


def _codes(column: pd.Series[Any], known: Sequence[str]) -> npt.NDArray[np.int64]:
    index: Any = pd.Index(np.array(known, dtype=object), dtype="object")
    codes: npt.NDArray[np.int64] = index.get_indexer(_words(column).to_numpy()).astype(np.int64)
    return codes + 1  # What is not found has -1.


def _words(column: pd.Series[Any]) -> pd.Series[Any]:
    """Each value as text, and None where there is none; 1 and 1.0 are the same word."""
    codes, values = pd.factorize(column)
    words = np.array([*(_word(value) for value in values), None], dtype=object)
    return pd.Series(words[codes], dtype=object)  # The code of a missing value is -1, the last word.


def _word(value: object) -> str | None:
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() or None
