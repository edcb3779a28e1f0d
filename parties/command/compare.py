"""`vsplit compare`: prints two finished runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from parties.command.console import Console
from parties.command.screen import print_text
from parties.local.text import json_line, visible
from parties.report.words import (
    METRIC_NAMES,
    bytes_text,
    count_text,
    duration_text,
    estimate_text,
    interval_text,
    score_text,
)
from parties.run.run_comparison import compare_runs

Rows = Iterable[tuple[str, ...]]


def print_comparison(first: Path, second: Path, console: Console, *, as_json: bool) -> int:
    """Compare two run folders and print the result. Raises ConfigError."""
    found = compare_runs(first, second)
    if as_json:
        print(json_line(found))
        return 0
    for place, run in zip(("first", "second"), found["runs"], strict=True):
        print_text(console, f"{place}: {run['path']} ({run['job']}, {run['party']}, ended {run['ended']})")
    for what in ("job", "versions"):
        if found[what]:
            _print(console, f"{what}, where they differ", _pairs(found[what], str))
        else:
            print_text(console, f"The {what} of the two runs are the same.")
    _print(console, "records", _pairs(found["records"], count_text))
    if found["metrics"] is not None:
        paired = found["paired_difference"]
        _print(console, "test rows", _metrics(found["metrics"]["test"], paired or {}), ("second minus first",))
        if paired is None:
            print_text(console, f"There is no paired difference, because {found['no_paired_difference_because']}")
    for direction, kinds in found["traffic"].items():
        _print(console, direction, _pairs(kinds, bytes_text))
    _print(console, "time", _time(found["time"]))
    return 0


def _time(pairs: Mapping[str, list[Any]]) -> Rows:
    for key, name in {"seconds": "from start to end", "seconds_per_epoch": "mean of an epoch"}.items():
        yield from _pairs({name: pairs[key]}, duration_text)
    for key, name in {"epochs": "epochs", "kept_epoch": "epoch of the weights", "resumed": "times resumed"}.items():
        yield from _pairs({name: pairs[key]}, count_text)


def _print(console: Console, title: str, rows: Rows, more: tuple[str, ...] = ()) -> None:
    table = Table(title, "first", "second", *more)
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    console.print(table)


def _pairs(pairs: Mapping[str, list[Any]], text: Callable[[Any], str]) -> Rows:
    """A row for each pair that has a value."""
    for key, pair in pairs.items():
        if pair != [None, None]:
            yield (key, *("" if value is None else text(value) for value in pair))


def _metrics(test: Mapping[str, Any], paired: Mapping[str, Any]) -> Rows:
    yield ("rows", *map(count_text, test["rows"]), "")
    for model in ("joint", "alone"):
        for metric, pair in test[model].items():
            name = f"{METRIC_NAMES.get(metric, metric)}, {model}"
            cells = ["not defined" if value is None else estimate_text(value, metric) for value in pair]
            difference = paired.get(metric) if model == "joint" else None
            yield (name, *cells, _difference(difference, metric) if difference else "")


def _difference(estimate: Any, metric: str) -> str:
    value = score_text(estimate["value"], metric, signed=True)
    return f"{value} ({interval_text(estimate, metric, signed=True)})"
