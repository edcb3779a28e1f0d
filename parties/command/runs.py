"""`vsplit runs`: lists the run folders of a party file, and deletes old ones."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from parties.command.screen import print_text
from parties.local.text import json_line
from parties.report.words import bytes_text
from parties.run.past_runs import PastRun, is_unchanged, past_runs, remove, to_remove
from vsplit.protocol import ConfigError


def print_runs(file: Path, console: Console, *, as_json: bool) -> int:
    """List the run folders of a party file. Raises ConfigError."""
    runs = past_runs(file)
    if as_json:
        print(json_line({"runs": [_shown(run) for run in runs]}))
    elif runs:
        console.print(_table(runs))
    else:
        print_text(console, f"There is no run folder of {file} yet.")
    return 0


def prune_runs(
    file: Path, console: Console, *, keep: int | None, older_than: int | None, sure: bool, as_json: bool
) -> int:
    """Delete old run folders and print which; asks first, unless `sure`. Raises ConfigError, StorageError."""
    if (keep is None) == (older_than is None):
        raise ConfigError("--prune needs either --keep N, the number of runs to keep, or --older-than DAYS.")
    runs = past_runs(file)
    chosen = to_remove(runs, datetime.now(UTC), keep=keep, older_than=older_than)
    wanted = {
        run.path for run in to_remove([_any(run) for run in runs], datetime.now(UTC), keep=keep, older_than=older_than)
    }
    left = [run for run in runs if run.path in wanted and run.why_kept]
    if chosen and not sure:
        _ask(chosen, console)
    removed = []
    changed = []
    for run in chosen:
        if not is_unchanged(run, file):  # other runs may have changed it before the person confirmed
            changed.append(replace(run, why_kept="is no longer the one that was listed"))
            continue
        remove(run)
        removed.append(run)
        if not as_json:
            print_text(console, f"Deleted {run.path} ({_when(run)}, {bytes_text(run.size)}).")
    left += changed
    if as_json:
        outcome = {"removed": [_shown(run) for run in removed], "left": [_shown(run) for run in left]}
        print(json_line(outcome))
        return 0
    for run in left:
        print_text(console, f"Kept {run.path}: it {run.why_kept}.")
    if not removed:
        print_text(console, "Nothing was deleted.")
    return 0


def _any(run: PastRun) -> PastRun:
    """The run without a reason to keep it, to find which of the requested ones are kept."""
    return PastRun(run.path, run.state, run.size, run.run, run.job, run.started, run.ended, run.metric)


def _ask(chosen: Sequence[PastRun], console: Console) -> None:
    for run in chosen:
        print_text(console, f"{run.path} ({_when(run)}, {bytes_text(run.size)})")
    what = f"{len(chosen)} run folder{'' if len(chosen) == 1 else 's'}"
    if not sys.stdin.isatty():
        raise ConfigError(f"Nothing was deleted: to delete {what} without confirmation, add --yes.")
    print_text(console, f"Delete {what} permanently? Type yes:")
    if sys.stdin.readline().strip().lower() != "yes":
        raise ConfigError("Nothing was deleted: the answer was not yes.")


def _table(runs: Sequence[PastRun]) -> Table:
    table = Table("run folder", "ended (UTC)", "state", "job", "size", "test metric")
    for run in runs:
        metric = f"{run.metric[0]} {run.metric[1]:.3f}" if run.metric else ""
        cells = (run.path.name, _when(run) if run.ended else "", run.state, run.job, bytes_text(run.size), metric)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _when(run: PastRun) -> str:
    return f"{run.ended.astimezone(UTC):%Y-%m-%d %H:%M}" if run.ended else "unfinished"


def _shown(run: PastRun) -> dict[str, Any]:
    return {
        "name": run.path.name,
        "path": str(run.path),
        "state": run.state,
        "job": run.job or None,
        "run": run.run or None,
        "started": run.started.isoformat() if run.started else None,
        "ended": run.ended.isoformat() if run.ended else None,
        "bytes": run.size,
        "metric": {"name": run.metric[0], "value": run.metric[1]} if run.metric else None,
        "kept_because": run.why_kept or None,
    }
