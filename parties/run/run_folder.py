"""The run folder of one party: nothing stands in it before a run has come to its end, and no older run is overwritten."""

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

from parties.checkpoints.folder import UNFINISHED
from parties.config.masking import masked_copy
from parties.config.party import Party
from parties.config.reading import read_text
from parties.local.atomic import pieces, sync_folder, write_whole
from parties.local.permissions import check_permissions
from parties.local.plain_file import read_plain
from parties.local.text import beside, json_text, without_surrogates
from vsplit.protocol import ConfigError, StorageError

FINISHED = "run.json"
_MOST = 1 << 26  # bytes of run.json
_RUN = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class _Pending:
    name: str
    content: bytes = field(repr=False)


class RunFolder:
    """The folder at `path`. Making one proves that it can be written, and leaves nothing behind.

    Small files of the run's beginning are held until its end. `filling` then moves an older run aside, to the same name
    with a number, and lets files be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.moved: Path | None = None
        self._held: list[_Pending] = []
        self._written: list[Path] = []
        self._prove_writable()
        with contextlib.suppress(OSError):  # found again, and said, when something is to be written
            _bring_unfinished_back(path)

    def hold(self, name: str, data: bytes | str) -> None:
        """Keep a small file in memory; it is written first of all when the run has come to its end."""
        self._held.append(_Pending(name, _as_bytes(data)))

    def hold_configs(self, party: Party) -> None:
        """Hold copies of the job and the party file as they are now, with what may be a secret masked. Raises ConfigError."""
        self.hold("job.yaml", masked_copy(read_text(party.job_file)))
        self.hold("party.yaml", masked_copy(read_text(party.file)))

    @contextlib.contextmanager
    def filling(self) -> Iterator[None]:
        """Files may be written inside this; if anything fails there, all of them go and an older run comes back."""
        made: list[Path] = []
        try:
            self._make_room(made)
            for one in self._held:
                self.write(one.name, one.content)
            yield
        except BaseException:
            self._empty(made)
            raise

    def finished_run(self) -> str:
        """The name of the finished run that stands here, as its run.json has it, 32 hexadecimal digits; or empty."""
        try:
            content = msgspec.json.decode(read_plain(self.path / FINISHED, _MOST), type=dict[str, Any])
        except (OSError, msgspec.MsgspecError):
            return ""
        run = str(content.get("run", ""))
        return run if _RUN.fullmatch(run) else ""

    def write(self, name: str, data: bytes | str) -> Path:
        """Write the file `name`, whole or not at all, readable by this user alone. Raises ConfigError."""
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
        """Let `file` stand here as `name` as well; what is added to it in the one place is in the other. Raises ConfigError."""
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
        """Whether what is in `file` stands here as `name`, all of it. Raises OSError."""
        own = self.path / name
        return own.exists() and (own.samefile(file) or filecmp.cmp(file, own, shallow=False))

    def write_json(self, name: str, content: object) -> Path:
        """Write plain data as indented JSON."""
        return self.write(name, msgspec.json.format(json_text(content), indent=1) + "\n")

    def _prove_writable(self) -> None:
        """Hours of training must not end at a folder that could never have been written.

        Nothing is made for it, since other parties of this machine may do the same beside this one just now.
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
                f"The run folder {self.path} holds a finished run and is a mounted disk, which cannot be renamed to make "
                "room: change `output` in the party file to a folder inside it."
            )

    def _make_room(self, made: list[Path]) -> None:
        """Move an older run aside and make the folder; `made` is told the folders that were missing, the inmost first."""
        try:
            if (self.path / FINISHED).exists():
                # Where it goes is known before it goes, so that it comes back whatever ends this.
                self.moved = _unused(self.path)
                self.path.rename(self.moved)
            made.extend(folder for folder in (self.path, *self.path.parents) if not folder.exists())
            for folder in reversed(made[1:]):
                folder.mkdir(mode=0o755, exist_ok=True)  # closed to what others would write, whatever the umask is
            self.path.mkdir(mode=0o700, exist_ok=True)
            self._close()
            if self.moved is not None:
                _move_unfinished(self.moved, self.path)
            self._sync_names(made)
        except OSError as error:
            raise self._unwritable(error.strerror) from None

    def _close(self) -> None:
        """A folder that was there before may be open to readers, and what comes into it is nobody else's."""
        with contextlib.suppress(PermissionError):  # that of a disk that somebody has mounted for this user
            if os.name == "posix" and self.path.stat().st_mode & 0o077:
                self.path.chmod(0o700)

    def _sync_names(self, made: list[Path]) -> None:
        """Force to the disk what was moved and made."""
        changed = {self.path, *(folder.parent for folder in made)}
        if self.moved is not None:
            changed |= {self.moved, self.path.parent}
        for folder in changed:
            with contextlib.suppress(PermissionError):  # a folder that may be written and not read
                sync_folder(folder)

    def _empty(self, made: list[Path]) -> None:
        # Whatever fails here, the person has to hear of what went wrong first.
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
            f"The run folder {self.path} cannot be written ({reason}): free some space, mend the folder's permissions, or "
            "change `output` in the party file."
        )


def check_output(party: Party) -> None:
    """Raise ConfigError where others can write the run folder or replace it, or where it holds what a run must not move
    aside: the party's files or its data."""
    check_permissions(beside(party.file, party.settings.output), f"In {party.file}, the key output", private=True)
    kept = {
        "the party file": party.file,
        "the job file": party.job_file,
        "the key file": party.identity,
        "the count of runs with each partner": party.partners,
    }
    for what, file in {**kept, "the data": party.source}.items():
        if file is not None and file.is_relative_to(party.output):
            raise ConfigError(
                f"In {party.file}, the key output names the folder {party.output}, in which {what} stands; name a folder "
                "that nothing but runs will use, for example ../runs/NAME."
            )


def _as_bytes(data: bytes | str) -> bytes:
    return without_surrogates(data).encode() if isinstance(data, str) else data


def _unused(path: Path) -> Path:
    number = 1
    while (other := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return other


def _move_unfinished(source: Path, target: Path) -> None:
    """What the run of this moment keeps is not the older run's, and stays where it was."""
    if (source / UNFINISHED).exists():
        (source / UNFINISHED).rename(target / UNFINISHED)


def _bring_unfinished_back(path: Path) -> None:
    """Where the program was killed while an older run was moved aside, what it kept went with the older run."""
    older = _unused(path)
    number = int(older.name.rpartition("-")[2]) - 1
    last = path.with_name(f"{path.name}-{number}")
    if number and not (path / UNFINISHED).exists() and not (path / FINISHED).exists() and (last / UNFINISHED).exists():
        path.mkdir(mode=0o700, exist_ok=True)
        _move_unfinished(last, path)
        for folder in (last, path, path.parent):
            sync_folder(folder)
