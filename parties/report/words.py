"""Names of metrics, and numbers as text."""

from __future__ import annotations

import math
from datetime import datetime

from vsplit.evaluation.metrics import Estimate

METRIC_NAMES = {
    "auc": "AUC",
    "macro_auc": "Macro AUC",
    "average_precision": "Average precision",
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "macro_recall": "Macro recall",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "r2": "R²",
    "mae": "Mean absolute error",
    "rmse": "Root mean squared error",
}
_IN_UNITS_OF_THE_OUTCOME = {"mae", "rmse"}


def count_text(value: int) -> str:
    """12345 -> 12,345."""
    return f"{value:,}"


def bytes_text(size: int) -> str:
    """A number of bytes in B, kB, MB or GB of powers of 1000, with three figures or so."""
    if size < 1000:
        return f"{size} B"
    power, unit = next((found for found in ((1e3, "kB"), (1e6, "MB")) if size < 999.5 * found[0]), (1e9, "GB"))
    amount = size / power
    return f"{amount:.1f} {unit}" if amount < 99.95 else f"{amount:,.0f} {unit}"


def duration_text(seconds: float) -> str:
    """A span in seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def score_text(value: float, metric: str, *, signed: bool = False) -> str:
    """A metric with three decimals, or with four figures where it is in the outcome's unit; a true minus sign."""
    places = 3
    if metric in _IN_UNITS_OF_THE_OUTCOME and value != 0:
        places = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{abs(value):,.{places}f}"
    sign = "−" if value < 0 and text.strip("0.,") else ("+" if signed and text.strip("0.,") else "")
    return sign + text


def interval_text(estimate: Estimate, metric: str, *, signed: bool = False) -> str:
    """Both ends of the interval."""
    low, high = (score_text(estimate[end], metric, signed=signed) for end in ("low", "high"))
    return f"{low} to {high}"


def estimate_text(estimate: Estimate, metric: str) -> str:
    """The value, and its interval in brackets."""
    return f"{score_text(estimate['value'], metric)} ({interval_text(estimate, metric)})"


def capitalised(text: str) -> str:
    """The text with a large first letter."""
    return text[:1].upper() + text[1:]


def time_text(time: datetime) -> str:
    """A point in time, with its zone where it has one."""
    return f"{time:%Y-%m-%d %H:%M:%S} {time.tzname() or ''}".strip()
