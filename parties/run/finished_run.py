"""A finished run as its folder has it: results, job and metrics, for commands that only read them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from parties.config.job import load_job
from parties.config.reading import parse_yaml, read_text
from parties.local.plain_file import read_plain
from parties.run.model_store import DESCRIPTION
from parties.run.run_folder import FINISHED
from vsplit.protocol import ConfigError

METRICS, PREDICTIONS, JOB = "metrics.json", "predictions.parquet", "job.yaml"
_MOST = 1 << 26  # bytes of a JSON file


@dataclass(frozen=True, slots=True, eq=False)
class FinishedRun:
    """`content` is run.json and `metrics` is metrics.json, None at a feature party; `job` has dotted names."""

    path: Path
    content: dict[str, Any]
    job: dict[str, Any]
    metrics: dict[str, Any] | None

    def classes(self) -> list[str]:
        """The classes in the order of their codes; empty in a regression. Raises ConfigError."""
        found: list[str] = read_json(self.path / DESCRIPTION)["top"]["classes"]
        return found

    def predictions(self) -> pd.DataFrame:
        """The table of predictions. Raises ConfigError."""
        try:
            return pd.read_parquet(io.BytesIO(read_plain(self.path / PREDICTIONS)))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.path / PREDICTIONS} cannot be read: {_reason(error)}.") from None


def read_finished_run(path: Path) -> FinishedRun:
    """Read a run folder. Raises ConfigError where it is not that of a finished run, or where a file of it is damaged."""
    if not (path / FINISHED).exists():
        raise ConfigError(
            f"{path} is not the folder of a finished run: it has no {FINISHED}. Name a folder that `vsplit runs` lists."
        )
    content = read_json(path / FINISHED)
    metrics = read_json(path / METRICS) if content.get("role") == "label" else None
    return FinishedRun(path, content, _job(path / JOB), metrics)


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file of a run folder. Raises ConfigError."""
    try:
        return msgspec.json.decode(read_plain(file, _MOST), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{file} cannot be read: {_reason(error)}.") from None


def _job(file: Path) -> dict[str, Any]:
    """The keys of the job, defaults included, unless the job is one of another version of vsplit."""
    try:
        values = load_job(file).model_dump(mode="json")
    except ConfigError:
        values = parse_yaml(read_text(file), file)
    return dict(_flat(values))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is damaged; copy the whole run folder again"
