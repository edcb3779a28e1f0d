"""The run folders of a party file, old ones too, and taking old ones away.

A new run moves an older one from NAME to NAME-1, NAME-2 and so on. What is no such folder, is a link, belongs to another
party or party file, holds what no run has written or what the party file names, or holds a run that may still go on is never
taken away.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec

from parties.checkpoints.folder_lock import UNFINISHED
from parties.config.errors import validate
from parties.config.party_file import PartyFile
from parties.config.reading import parse_any_yaml, parse_yaml, read_text
from parties.config.urls import is_url
from parties.local.plain_file import read_plain, real_path
from parties.local.text import beside
from parties.run.run_folder import FINISHED
from vsplit.protocol import ConfigError, StorageError

if sys.platform != "win32":
    import fcntl

State = Literal["finished", "unfinished", "running"]

WRITTEN = frozenset(
    {
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
"""What a finished run leaves in its folder."""

_LOCK = "lock"
_MOST = 1 << 26
_MAIN_METRICS = ("auc", "macro_auc", "r2")
_OUTPUT = re.compile(r"^output[ \t]*:.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run folder. Of one that holds no finished run the times are None; `metric` is (name, value on the test rows).

    `state` is `unfinished` or `running` where a run that is not finished stands in it, whatever else does. `why_kept` says
    why it is not taken away, whatever is asked; empty: it may be.
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


@dataclass(frozen=True, slots=True)
class _Own:
    """What a party file says of its run folders: the latest, the last step of how it is written, and what else it names."""

    file: Path
    party: str
    output: Path
    names: frozenset[str]
    used: frozenset[Path]

    @classmethod
    def read(cls, file: Path) -> _Own:
        """Raises ConfigError."""
        settings = validate(PartyFile, parse_yaml(read_text(file), file), file)
        data, log = settings.data, settings.log
        source = (
            data.source.rpartition("://")[2].partition("?")[0].removeprefix("/") if is_url(data.source) else data.source
        )
        named = [settings.job, settings.identity, settings.partners, settings.order, source]
        named += [settings.bottom.folder, log.file if log else None]
        output = real_path(beside(file, settings.output))
        return cls(
            file=file,
            party=settings.party,
            output=output,
            names=frozenset({output.name, Path(settings.output).name}),
            used=frozenset(real_path(beside(file, one)) for one in named if one) | {real_path(file)},
        )


def past_runs(party_file: Path) -> list[PastRun]:
    """The run folders of a party file, the current one first and then from the newest to the oldest.

    Only the party file is read, and not its job, which may be gone. Raises ConfigError.
    """
    own = _Own.read(party_file.absolute())
    found = [run for path in _folders(own.output) if (run := _read(path, own))]
    return sorted(found, key=lambda run: (run.path != own.output, -(run.ended.timestamp() if run.ended else 0)))


def to_remove(
    runs: Sequence[PastRun], now: datetime, *, keep: int | None = None, older_than: int | None = None
) -> list[PastRun]:
    """Those of the runs that may be taken away and are not among the `keep` newest, or ended `older_than` days ago."""
    finished = [run for run in runs if run.ended is not None]
    if keep is not None:
        finished = finished[keep:]
    if older_than is not None:
        finished = [run for run in finished if run.ended and run.ended < now - timedelta(days=older_than)]
    return [run for run in finished if not run.why_kept]


def stands(run: PastRun, party_file: Path) -> bool:
    """Whether the folder is what it was when it was listed, and may be taken away still. Raises ConfigError."""
    own = _Own.read(party_file.absolute())
    found = _read(run.path, own) if _is(run.path, stat.S_ISDIR) else None
    return found is not None and not found.why_kept and (found.run, found.ended) == (run.run, run.ended)


def remove(run: PastRun) -> None:
    """Take a run folder away; run.json goes last, so that one that was begun with is found again. Raises StorageError."""
    try:
        names = os.listdir(run.path)  # noqa: PTH208 - names are enough
        for name in sorted(names, key=lambda name: (name == FINISHED, name != UNFINISHED)):
            if name == UNFINISHED:
                with contextlib.suppress(FileNotFoundError):
                    (run.path / name / _LOCK).unlink()
                (run.path / name).rmdir()
            else:
                (run.path / name).unlink()
        run.path.rmdir()
    except OSError as error:
        raise StorageError(
            f"The run folder {run.path} cannot be taken away whole ({error.strerror}): see who owns it and what it holds."
        ) from None


def _folders(output: Path) -> Iterator[Path]:
    """NAME, NAME-1, NAME-2, …, as far as they are folders and no links."""
    name = re.compile(re.escape(output.name) + r"(-[1-9][0-9]{0,8})?")
    try:
        with os.scandir(output.parent) as found:
            entries = list(found)
    except OSError:
        return
    for entry in entries:
        if name.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            yield output.parent / entry.name


def _read(path: Path, own: _Own) -> PastRun | None:
    """None: nothing of a run of this party stands there."""
    current = path == own.output
    content = _json(path / FINISHED)
    state = _unfinished(path)
    if content.get("party") != own.party or not isinstance(content.get("run"), str):
        # A folder without results is this party's only where the party file names it.
        return PastRun(path, state, _size(path), why_kept="holds a run that may go on") if current and state else None
    started, ended = _time(content.get("started")), _time(content.get("ended"))
    why = "holds a run that may go on" if state else "holds the latest run" if current else _foreign(path, own)
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
    if _is_locked(folder / _LOCK):
        return "running"
    try:
        return "unfinished" if set(os.listdir(folder)) - {_LOCK} else None  # noqa: PTH208 - names are enough
    except OSError:
        return "unfinished"


def _is_locked(lock: Path) -> bool:
    if sys.platform == "win32":
        return False
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _foreign(path: Path, own: _Own) -> str:
    """Why a folder of a finished run is not one to take away by itself; empty: it holds what the run has written."""
    if any(used.is_relative_to(path) for used in own.used):
        return f"holds a file that {own.file} names"
    output = _output_of(path)
    if output and output not in own.names:
        return f"holds a run of another party file, whose output is {output}"
    with os.scandir(path) as entries:
        # What is kept of a run that may go on is judged elsewhere.
        known = [
            entry.name == UNFINISHED or (entry.name in WRITTEN and entry.is_file(follow_symlinks=False))
            for entry in entries
        ]
    return "" if all(known) else "holds something that no run has written"


def _output_of(path: Path) -> str:
    """The name of the folder into which the run was written, by its copy of the party file; empty: that does not say it."""
    copy = path / "party.yaml"
    try:
        lines = _OUTPUT.findall(read_text(copy))
        # By itself, since with what is masked in it the whole need be no YAML any more.
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
