"""The run folders of a party file, old ones too, and the removal of old ones.

A new run moves an older one from NAME to NAME-1, NAME-2 and so on. A folder is never removed if it is a link or has another
name, belongs to another party or party file, has a file that no run has written or that the party file names, or has a run
that may be resumed.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec

from parties.checkpoints.folder_lock import LOCK, UNFINISHED, in_use
from parties.config.reading import parse_any_yaml, read_text
from parties.local.plain_file import read_plain
from parties.run.named_files import NamedFiles
from parties.run.run_folder import FINISHED, PREDICTIONS
from vsplit.protocol import ConfigError, StorageError

State = Literal["finished", "unfinished", "running"]

WRITTEN = frozenset(
    {
        "alone_bottom.safetensors",
        "alone_top.safetensors",
        "bottom.safetensors",
        "job.yaml",
        "ledger.jsonl",
        "metrics.json",
        "model.json",
        "order.secret",
        "party.yaml",
        "predictions.parquet",
        "report.html",
        "top.safetensors",
        FINISHED,
    }
)
"""The files of a finished run."""

_MOST = 1 << 26
_MAIN_METRICS = ("auc", "macro_auc", "r2")
_OUTPUT = re.compile(r"^output[ \t]*:.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run folder. Without a finished run the times are None; `metric` is (name, value on the test rows).

    `state` is `unfinished` or `running` where the folder has a run that is not finished. `why_kept` says why the folder is
    never removed; empty: it may be.
    """

    path: Path
    state: State
    size: int
    run: str = ""
    job: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    metric: tuple[str, float] | None = None
    why_kept: str = ""


def past_runs(party_file: Path) -> list[PastRun]:
    """The run folders of a party file, the current one first and then from the newest to the oldest.

    Only the party file is read, and not its job, which may be gone. Raises ConfigError.
    """
    own = NamedFiles.read(party_file.absolute())
    found = [run for path in _folders(own.output) if (run := _read(path, own))]
    return sorted(found, key=lambda run: (run.path != own.output, -(run.ended.timestamp() if run.ended else 0)))


def to_remove(
    runs: Sequence[PastRun], now: datetime, *, keep: int | None = None, older_than: int | None = None
) -> list[PastRun]:
    """The runs that may be removed: not among the `keep` newest, or ended more than `older_than` days ago."""
    finished = [run for run in runs if run.ended is not None]
    if keep is not None:
        finished = finished[keep:]
    if older_than is not None:
        finished = [run for run in finished if run.ended and run.ended < now - timedelta(days=older_than)]
    return [run for run in finished if not run.why_kept]


def is_unchanged(run: PastRun, party_file: Path) -> bool:
    """Whether the folder is as it was when it was listed, and may still be removed. Raises ConfigError."""
    own = NamedFiles.read(party_file.absolute())
    found = _read(run.path, own) if _is(run.path, stat.S_ISDIR) else None
    return found is not None and not found.why_kept and (found.run, found.ended) == (run.run, run.ended)


def remove(run: PastRun) -> None:
    """Remove a run folder; run.json goes last, so that an interrupted removal is listed again. Raises StorageError."""
    try:
        names = os.listdir(run.path)  # noqa: PTH208 - names are enough
        for name in sorted(names, key=lambda name: (name == FINISHED, name != UNFINISHED)):
            if name == UNFINISHED:
                with contextlib.suppress(FileNotFoundError):
                    (run.path / name / LOCK).unlink()
                (run.path / name).rmdir()
            else:
                (run.path / name).unlink()
        run.path.rmdir()
    except OSError as error:
        raise StorageError(
            f"The run folder {run.path} cannot be removed completely ({error.strerror}): see who owns it and what is in it."
        ) from None


def _folders(output: Path) -> Iterator[Path]:
    """NAME, NAME-1, NAME-2, …, where they are folders and not links."""
    name = re.compile(re.escape(output.name) + r"(-[1-9][0-9]{0,8})?")
    try:
        with os.scandir(output.parent) as found:
            entries = list(found)
    except OSError:
        return
    for entry in entries:
        if name.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            yield output.parent / entry.name


def _read(path: Path, own: NamedFiles) -> PastRun | None:
    """The run in the folder `path`; None: there is none of this party."""
    current = path == own.output
    content = _json(path / FINISHED)
    state = _unfinished(path)
    if content.get("party") != own.party or not isinstance(content.get("run"), str):
        # A folder without results is this party's only where the party file names it.
        return (
            PastRun(path, state, _size(path), why_kept="has a run that may be resumed") if current and state else None
        )
    started, ended = _time(content.get("started")), _time(content.get("ended"))
    why = "has a run that may be resumed" if state else "has the latest run" if current else _foreign(path, own)
    return PastRun(
        path=path,
        state=state or "finished",
        size=_size(path),
        run=content["run"],
        job=str(content.get("job", "")),
        started=started,
        ended=ended,
        metric=_metric(path),
        why_kept=why or ("" if ended else "does not say when it ended"),
    )


def _unfinished(path: Path) -> State | None:
    folder = path / UNFINISHED
    if not _is(folder, stat.S_ISDIR):
        return None
    if in_use(path):
        return "running"
    try:
        return "unfinished" if set(os.listdir(folder)) - {LOCK} else None  # noqa: PTH208 - names are enough
    except OSError:
        return "unfinished"


def _foreign(path: Path, own: NamedFiles) -> str:
    """Why the folder of a finished run must not be removed; empty: it has nothing but what the run has written."""
    if any(used.is_relative_to(path) for used in own.used):
        return f"has a file that {own.file} names"
    output = _output_of(path)
    if output and output not in own.names:
        return f"has a run of another party file, whose output is {output}"
    if (path / PREDICTIONS).exists():
        return "has predictions, with the record of what crossed for them"
    with os.scandir(path) as entries:
        # The files of an unfinished run are checked elsewhere.
        known = [
            entry.name == UNFINISHED or (entry.name in WRITTEN and entry.is_file(follow_symlinks=False))
            for entry in entries
        ]
    return "" if all(known) else "has something that no run has written"


def _output_of(path: Path) -> str:
    """The name of the folder that the run was written to, by its copy of the party file; empty: it does not say."""
    copy = path / "party.yaml"
    try:
        lines = _OUTPUT.findall(read_text(copy))
        # This line alone, since with masked values the whole need not be YAML any more.
        found = parse_any_yaml(lines[0], copy) if len(lines) == 1 else None
    except ConfigError:
        return ""
    written = found.get("output") if isinstance(found, dict) else None
    return Path(written).name if isinstance(written, str) else ""


def _size(path: Path) -> int:
    """Bytes of all files; links are counted and not followed."""
    return sum(
        (Path(folder) / name).lstat().st_size for folder, _, names in os.walk(path, onerror=None) for name in names
    )


def _metric(path: Path) -> tuple[str, float] | None:
    joint: Any = _json(path / "metrics.json").get("test")
    joint = joint.get("joint") if isinstance(joint, dict) else None
    for name in _MAIN_METRICS if isinstance(joint, dict) else ():
        found = joint.get(name)
        if isinstance(found, dict) and isinstance(found.get("value"), int | float):
            return name, float(found["value"])
    return None


def _json(file: Path) -> dict[str, Any]:
    if not _is(file, stat.S_ISREG):
        return {}
    try:
        return msgspec.json.decode(read_plain(file, _MOST), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return {}


def _time(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _is(path: Path, kind: Any) -> bool:
    try:
        return bool(kind(path.lstat().st_mode))
    except OSError:
        return False
