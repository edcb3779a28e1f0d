"""The run folder of one party: it is written only when a run has finished, and no older run is overwritten."""

from __future__ import annotations

import contextlib
import filecmp
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from parties.checkpoints.folder_lock import UNFINISHED
from parties.config.masking import masked_copy
from parties.config.party import Party
from parties.config.reading import read_text
from parties.local.atomic import pieces, sync_folder, write_whole
from parties.local.permissions import check_permissions
from parties.local.plain_file import read_plain
from parties.local.text import beside, json_text, without_surrogates
from vsplit.protocol import ConfigError, StorageError

FINISHED = "run.json"
PREDICTIONS = "predictions"
"""The folder of the predictions that were made with the run's model."""
_MOST = 1 << 26  # bytes of run.json
_RUN = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class _Pending:
    name: str
    content: bytes = field(repr=False)


class RunFolder:
    """The folder at `path`. The constructor checks that it can be written, and leaves no file.

    Small files are collected until the end of the run. `filling` then moves an older run aside, to the same name with a
    number, and files can be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.moved: Path | None = None
        self._collected: list[_Pending] = []
        self._written: list[Path] = []
        self._prove_writable()
        with contextlib.suppress(OSError):  # reported when something is to be written
            _restore_unfinished(path)

    def collect(self, name: str, data: bytes | str) -> None:
        """Keep a small file in memory; it is written first when the run has finished."""
        self._collected.append(_Pending(name, _as_bytes(data)))

    def collect_configs(self, job_file: Path, party_file: Path) -> None:
        """Collect copies of the job and the party file as they are now, with possible secrets masked. Raises ConfigError."""
        self.collect("job.yaml", masked_copy(read_text(job_file)))
        self.collect("party.yaml", masked_copy(read_text(party_file)))

    @contextlib.contextmanager
    def filling(self) -> Iterator[None]:
        """Files may be written inside; on any error all of them are removed, and an older run is moved back."""
        made: list[Path] = []
        try:
            self._make_room(made)
            for file in self._collected:
                self.write(file.name, file.content)
            yield
        except BaseException:
            self._empty(made)
            raise

    def finished_run(self) -> str:
        """The name of the finished run in the folder, by its run.json, 32 hexadecimal digits; empty: there is none."""
        try:
            content = msgspec.json.decode(read_plain(self.path / FINISHED, _MOST), type=dict[str, Any])
        except (OSError, msgspec.MsgspecError):
            return ""
        run = str(content.get("run", ""))
        return run if _RUN.fullmatch(run) else ""

    def write(self, name: str, data: bytes | str) -> Path:
        """Write the file `name` completely or not at all, readable by this user alone. Raises ConfigError."""
        file = self.path / name
        try:
            write_whole(file, [_as_bytes(data)])
            self._written.append(file)
        except OSError as error:
            raise StorageError(
                f"The file {file} cannot be written ({error.strerror}): free some space, or change `output` in the party file."
            ) from None
        return file

    def link(self, file: Path, name: str) -> Path:
        """Link `file` as `name`: what is appended to one is in the other. Raises ConfigError."""
        own = self.path / name
        try:
            own.unlink(missing_ok=True)
            try:
                own.hardlink_to(file)
            except OSError:  # a file system that has no such names
                write_whole(own, pieces(file))
            self._written.append(own)
        except OSError as error:
            raise StorageError(
                f"The file {own} cannot be written ({error.strerror}): free some space, or change `output` in the party file."
            ) from None
        return own

    def has(self, file: Path, name: str) -> bool:
        """Whether the folder has all of `file` as `name`. Raises OSError."""
        own = self.path / name
        return own.exists() and (own.samefile(file) or filecmp.cmp(file, own, shallow=False))

    def write_json(self, name: str, content: object) -> Path:
        """Write plain data as indented JSON."""
        return self.write(name, msgspec.json.format(json_text(content), indent=1) + "\n")

    def _prove_writable(self) -> None:
        """Hours of training must not be lost because the folder cannot be written.

        No folder is created, since other parties of this machine may do the same at the same time.
        """
        finished = (self.path / FINISHED).exists()
        places = [next(place for place in (self.path, *self.path.parents) if place.exists())]
        try:
            for place in [*places, self.path.parent] if finished else places:
                probe = place / f".writable-{secrets.token_hex(4)}"
                probe.touch()
                probe.unlink()
        except OSError as error:
            raise self._unwritable(error.strerror) from None
        if finished and self.path.is_mount():
            raise ConfigError(
                f"The run folder {self.path} has a finished run and is a mounted disk, which cannot be renamed to make "
                "room: change `output` in the party file to a folder inside it."
            )

    def _make_room(self, made: list[Path]) -> None:
        """Move an older run aside and create the folder; `made` receives the folders that were missing, the innermost first."""
        try:
            if (self.path / FINISHED).exists():
                # Stored before the move, so that it can be undone after any error.
                self.moved = _unused(self.path)
                self.path.rename(self.moved)
            made.extend(folder for folder in (self.path, *self.path.parents) if not folder.exists())
            for folder in reversed(made[1:]):
                folder.mkdir(mode=0o755, exist_ok=True)  # not writable by other users, whatever the umask is
            self.path.mkdir(mode=0o700, exist_ok=True)
            self._close()
            if self.moved is not None:
                _move_unfinished(self.moved, self.path)
            self._sync_names(made)
        except OSError as error:
            raise self._unwritable(error.strerror) from None

    def _close(self) -> None:
        """An existing folder may be readable by other users, who must not read the results."""
        with contextlib.suppress(PermissionError):  # that of a disk that was mounted for this user
            if os.name == "posix" and self.path.stat().st_mode & 0o077:
                self.path.chmod(0o700)

    def _sync_names(self, made: list[Path]) -> None:
        """Force to the disk what was moved and created."""
        changed = {self.path, *(folder.parent for folder in made)}
        if self.moved is not None:
            changed |= {self.moved, self.path.parent}
        for folder in changed:
            with contextlib.suppress(PermissionError):  # a folder that may be written and not read
                sync_folder(folder)

    def _empty(self, made: list[Path]) -> None:
        # An error here must not hide the first one.
        for file in self._written:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            if self.moved is not None:
                _move_unfinished(self.path, self.moved)
        for folder in made:
            with contextlib.suppress(OSError):  # another party of this machine may have its folder in the same place
                folder.rmdir()
        if self.moved is not None:
            with contextlib.suppress(OSError):
                self.moved.rename(self.path)
                sync_folder(self.path.parent)

    def _unwritable(self, reason: str | None) -> ConfigError:
        return StorageError(
            f"The run folder {self.path} cannot be written ({reason}): free some space, repair the folder's permissions, or "
            "change `output` in the party file."
        )


def check_output(party: Party) -> None:
    """Raise ConfigError where other users can write or replace the run folder, or where it has files that a run must not move
    aside: the party's files or its data."""
    check_permissions(beside(party.file, party.settings.output), f"In {party.file}, the key output", private=True)
    named = {
        "the party file": party.file,
        "the job file": party.job_file,
        "the key file": party.identity,
        "the count of runs with each partner": party.partners,
    }
    for what, file in {**named, "the data": party.source}.items():
        if file is not None and file.is_relative_to(party.output):
            raise ConfigError(
                f"In {party.file}, the key output names the folder {party.output}, which has {what}; name a folder "
                "that only runs use, for example ../runs/NAME."
            )


def _as_bytes(data: bytes | str) -> bytes:
    return without_surrogates(data).encode() if isinstance(data, str) else data


def _unused(path: Path) -> Path:
    number = 1
    while (other := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return other


def _move_unfinished(source: Path, target: Path) -> None:
    """The files of the current unfinished run do not belong to the older run, and stay where they were."""
    if (source / UNFINISHED).exists():
        (source / UNFINISHED).rename(target / UNFINISHED)


def _restore_unfinished(path: Path) -> None:
    """Where the program was killed while it moved an older run aside, the unfinished run was moved with it."""
    older = _unused(path)
    number = int(older.name.rpartition("-")[2]) - 1
    last = path.with_name(f"{path.name}-{number}")
    if number and not (path / UNFINISHED).exists() and not (path / FINISHED).exists() and (last / UNFINISHED).exists():
        path.mkdir(mode=0o700, exist_ok=True)
        _move_unfinished(last, path)
        for folder in (last, path, path.parent):
            sync_folder(folder)
