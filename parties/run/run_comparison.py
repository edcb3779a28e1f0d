"""Compares two finished runs of one task at one role: jobs, records, metrics, traffic and time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from parties.run.finished_run import FinishedRun, read_finished_run
from vsplit.evaluation.metrics import Estimates, compare
from vsplit.protocol import ConfigError

NOT_SET = "(not set)"
_BOOTSTRAP_SEED = 0  # equal folders give equal intervals
_ABOUT = ("job", "party", "role", "run", "started", "ended")

Pair = list[Any]
"""What the first run has, and what the second one has."""


def compare_runs(first: Path, second: Path) -> dict[str, Any]:
    """Both runs side by side, as plain data. Raises ConfigError where they cannot be compared."""
    runs = [read_finished_run(path) for path in (first, second)]
    for what, values in {"roles": [run.content.get("role") for run in runs], "tasks": _values(runs, "task")}.items():
        if values[0] != values[1]:
            raise ConfigError(
                f"{first} and {second} are runs of different {what} ({values[0]} and {values[1]}), which cannot be compared."
            )
    try:
        paired, why_not = _paired(*runs)
        return {
            "runs": [{"path": str(run.path)} | {key: run.content[key] for key in _ABOUT} for run in runs],
            "task": runs[0].job["task"],
            "job": _differing(*(run.job for run in runs)),
            "versions": _differing(*(run.content["versions"] for run in runs)),
            "records": _side_by_side(*(run.content["records"] for run in runs)),
            "metrics": _metrics(*runs),
            "paired_difference": paired,
            "no_paired_difference_because": why_not,
            "traffic": _traffic(*runs),
            "time": _side_by_side(*map(_time, runs)),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{first} and {second} cannot be compared: a file in one of them is damaged, or was written by another version of "
            "vsplit with other keys."
        ) from error


def _values(runs: Iterable[FinishedRun], key: str) -> Pair:
    return [run.job.get(key) for run in runs]


def _side_by_side(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Pair]:
    return {key: [first.get(key), second.get(key)] for key in {**first, **second}}


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Pair]:
    pairs = {key: [first.get(key, NOT_SET), second.get(key, NOT_SET)] for key in {**first, **second}}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _metrics(first: FinishedRun, second: FinishedRun) -> dict[str, Any] | None:
    """For each split and model: each metric's estimate in both runs. None at a feature party, which has none."""
    if first.metrics is None or second.metrics is None:
        return None
    return {
        split: {
            "rows": [first.metrics[split]["rows"], second.metrics[split]["rows"]],
            **{
                model: _side_by_side(first.metrics[split].get(model, {}), second.metrics[split].get(model, {}))
                for model in ("joint", "alone")
            },
        }
        for split in ("validation", "test")
    }


def _traffic(first: FinishedRun, second: FinishedRun) -> dict[str, dict[str, Pair]]:
    """Bytes sent and received of each kind of message, all parties together."""
    found = {}
    for direction in ("sent", "received"):
        sizes = [_sizes(run.content["traffic"], direction) for run in (first, second)]
        found[direction] = {kind: [one or 0 for one in pair] for kind, pair in _side_by_side(*sizes).items()}
        found[direction]["total"] = [sum(size.values()) for size in sizes]
    return found


def _sizes(traffic: Iterable[Mapping[str, Any]], direction: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for one in traffic:
        if one["direction"] == direction:
            sizes[one["kind"]] = sizes.get(one["kind"], 0) + one["size"]
    return sizes


def _time(run: FinishedRun) -> dict[str, Any]:
    """Seconds from start to end, and the epochs."""
    started, ended = (datetime.fromisoformat(run.content[key]) for key in ("started", "ended"))
    epochs = [one["seconds"] for one in run.content["training"]["epochs"]]
    return {
        "seconds": (ended - started).total_seconds(),
        "epochs": len(epochs),
        "kept_epoch": run.content["training"]["kept"],
        "seconds_per_epoch": float(np.mean(epochs)) if epochs else None,
        "resumed": len(run.content["resumed"]),
    }


# --- the paired difference --------------------------------------------------------------------------------------------


def _paired(first: FinishedRun, second: FinishedRun) -> tuple[Estimates | None, str | None]:
    """Each metric of the second joint model minus that of the first, on the same resamples of the test rows; or why not."""
    if first.metrics is None or second.metrics is None:
        return None, "only the label party has predictions."
    tables = []
    for run in (first, second):
        table = run.predictions()
        tables.append(table[table["split"] == "test"].reset_index(drop=True))
    if not _same_people(*tables):
        return None, "the test rows of the two runs are not the same people with the same labels in the same order."
    task, classes = first.job["task"], first.classes()
    if classes != second.classes():
        return None, "the two models have different classes."
    truth = _truth(tables[0]["label"], classes)
    if truth is None:
        return None, "the labels in predictions.parquet are not the classes in model.json."
    persons: npt.NDArray[np.int64] | None = None
    if "persons" in first.metrics["test"]:
        persons = tables[0].groupby(_keys(tables[0]), sort=False, dropna=False).ngroup().to_numpy().astype(np.int64)
    scores = [_scores(table, task, classes) for table in reversed(tables)]
    return compare(task, truth, *scores, seed=_BOOTSTRAP_SEED, persons=persons)["difference"], None


def _keys(table: pd.DataFrame) -> list[str]:
    """The key columns: those before the number of the row."""
    return [str(name) for name in table.columns[: table.columns.get_loc("row")]]


def _same_people(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    names = [*_keys(first), "label"]
    return names == [*_keys(second), "label"] and first[names].equals(second[names])


def _truth(label: pd.Series[Any], classes: list[str]) -> npt.NDArray[Any] | None:
    """The labels as codes of the classes, or as numbers where there are no classes; None where one is no class."""
    if not classes:
        return pd.to_numeric(label).to_numpy(np.float64)
    codes = pd.Index(classes).get_indexer(pd.Index(label.astype(str)))
    return None if (codes < 0).any() else codes.astype(np.int64)


def _scores(table: pd.DataFrame, task: str, classes: list[str]) -> npt.NDArray[np.float64]:
    columns = [f"joint_{name}" for name in classes] if task == "multiclass" else "joint"
    return table[columns].to_numpy(np.float64)
