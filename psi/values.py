"""Values of a key column that are not text: numbers and dates as the text that a key may have, or None where they have none."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_DOUBLE_DIGITS = 53  # bits of a double's significand: larger whole numbers may have lost digits before they were read
_DIGITS = 100
_MOST = 10**_DIGITS  # no id is a number of this length, and Python refuses to write much longer ones


def text_of(value: object, exact: int) -> str | None:
    """A value as text, or None where it cannot be an id. Floats of `exact` or more may have lost digits."""
    if isinstance(value, str):
        return value if _is_unicode(value) else None
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


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # A lone surrogate: the file was read with a wrong encoding.
        return False
    return True


def day_of(value: object) -> str | None:
    """A date, or a point in time at midnight, as YYYY-MM-DD; None for anything else."""
    if isinstance(value, datetime):
        # Timestamps of pandas have nanoseconds, which Python's time of day does not.
        midnight = value.time() == time() and not getattr(value, "nanosecond", 0)
        return value.date().isoformat() if midnight else None
    return value.isoformat() if isinstance(value, date) else None


def significand(column: pd.Series[Any]) -> int:
    """Bits up to which whole numbers in `column` are exact, for a column of floats."""
    dtype = getattr(column.dtype, "numpy_dtype", column.dtype)
    return int(np.finfo(dtype).nmant) + 1 if isinstance(dtype, np.dtype) and dtype.kind == "f" else _DOUBLE_DIGITS
