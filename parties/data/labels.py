"""Labels as numbers: classes as codes, in a known order, or values of a regression."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from parties.config.fields import Task
from vsplit.protocol import DataError

Positive = str | int | float | bool

MOST_CLASSES = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Encoded labels. `values`: binary float32 0/1, multiclass int64 codes, regression float64, each [n].

    `classes` has the text of each code in order: (negative, positive), or all classes sorted; none in a regression.
    """

    values: npt.NDArray[np.float32] | npt.NDArray[np.int64] | npt.NDArray[np.float64] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)


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
    if np.isnan(numbers).any():
        raise DataError(
            f"In {what}, {int(np.isnan(numbers).sum())} row(s) hold no number, but the task is regression; a cell without a "
            "label must be empty, and numbers have a decimal point."
        )
    with np.errstate(over="ignore"):
        finite = np.isfinite(numbers.astype(np.float32))
    if not finite.all():
        raise DataError(f"In {what}, {int((~finite).sum())} row(s) hold an infinite or far too large number.")
    if np.ptp(numbers) == 0:
        raise DataError(f"In {what}, all rows have the same value, so there is nothing to learn; see data.label.")
    return Labels(numbers, ())


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
