"""The files of a run that is not finished, in `OUTPUT/.unfinished`, from which the same command resumes it.

    alignment-offered   this party's side of a common alignment, until all parties have theirs; then `alignment`
    step-N              this party's state after N steps; the last two
    final-offered       this party's outcome, until all parties have theirs; then `final`
    lock                locked while the party runs, so that no second process uses the folder

Each is complete or absent. SPEC.md, section 4, says when they are written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from parties.checkpoints.checksummed_file import (
    ChecksummedFile,
    DamagedError,
    Head,
    Kind,
    OtherVersionError,
    read_checksummed,
    write_checksummed,
)
from parties.checkpoints.folder_lock import FolderLock
from parties.checkpoints.local_state import STEPS_STORED, LocalState
from parties.checkpoints.origin import Origin
from parties.local.atomic import rename, sync_folder
from parties.local.command_line import restart_hint
from vsplit.protocol import ConfigError, StorageError

T = TypeVar("T")

_OFFERED = "-offered"
_ALIGNMENT, _FINAL = "alignment", "final"
_STEP = re.compile(r"step-([1-9][0-9]{0,17})")


class CheckpointFolder:
    """The folder of a party whose files have the origin `origin`. To be used in a `with`, which holds its lock.

    `say` is called with sentences for the operator. Raises ConfigError wherever the folder cannot be read or written; what is
    in it stays complete.
    """

    def __init__(self, output: Path, origin: Origin, say: Callable[[str], None] = lambda _sentence: None) -> None:
        self._lock = FolderLock(output)
        self.folder = self._lock.folder
        self.origin = origin
        self._say = say

    def read_state(self, finished: str = "") -> LocalState:
        """What is stored: complete, and of this origin. A damaged file is reported and left out.

        `finished` names the run whose run folder is complete: of that one it does not matter what else is still stored.
        Raises ConfigError for a run of another job, version or party, or of other data, and where the alignment that all
        parties had cannot be read.
        """
        agreed = self._has(_ALIGNMENT)
        alignment = self._read(_ALIGNMENT if agreed else _ALIGNMENT + _OFFERED)
        if self._is_finished(finished):
            return LocalState(bytes.fromhex(finished), agreed, (), final=True, finished_by_all=True)
        if alignment is None and agreed:
            raise ConfigError(
                f"The alignment of the unfinished run in {self.folder} is damaged, so that it cannot be resumed: put back "
                f"a copy of this folder, or {restart_hint()}."
            )
        # An alignment that was never agreed on is no loss, whatever its origin.
        if alignment is None or (not agreed and not self.origin.is_like(alignment.head.origin)):
            return LocalState()
        self.origin.check_resumes(alignment.head.origin, self.folder)
        run = alignment.head.run
        states = [file for step in self._steps() if (file := self._of_run(f"step-{step}", "step", run, step))]
        del states[:-STEPS_STORED]  # the program may have ended before it removed an older one
        begin = (0,) if len(states) < STEPS_STORED and all(state.head.first for state in states) else ()
        steps = (*begin, *(state.head.step for state in states))
        final = next((name for name in (_FINAL, _FINAL + _OFFERED) if self._of_run(name, "final", run)), None)
        return LocalState(bytes.fromhex(run), agreed, steps, final is not None, final == _FINAL)

    def alignment(self) -> ChecksummedFile:
        """The alignment, offered or agreed on."""
        return self._required(self._read(_ALIGNMENT) or self._read(_ALIGNMENT + _OFFERED), "alignment")

    def step(self, step: int) -> ChecksummedFile:
        """The state after `step` steps."""
        return self._required(self._read(f"step-{step}"), f"state of step {step:,}")

    def final(self) -> ChecksummedFile:
        """The outcome."""
        return self._required(self._read(_FINAL) or self._read(_FINAL + _OFFERED), "outcome")

    def offer_alignment(self, run: bytes, record: object, body: bytes | memoryview) -> None:
        """Store this party's side of an alignment; it counts once `confirm_alignment` is called."""
        self._write(_ALIGNMENT + _OFFERED, "alignment", run, 0, record, body)

    def confirm_alignment(self) -> None:
        """All parties have theirs."""
        self._confirm(_ALIGNMENT)

    def store_step(self, run: bytes, step: int, record: object, body: bytes | memoryview) -> None:
        """Store the state after `step` steps; of the older ones the last is retained."""
        first = not any(old != step for old in self._steps())
        self._write(f"step-{step}", "step", run, step, record, body, first=first)
        self._remove(*(f"step-{old}" for old in self._steps()[:-STEPS_STORED]))

    def restart_at(self, step: int) -> None:
        """A training restarts here: the states of later steps, and an outcome, are removed."""
        later = (f"step-{stored}" for stored in self._steps() if stored > step)
        self._remove(*later, _FINAL + _OFFERED, _FINAL, synced=True)

    def offer_final(self, run: bytes, step: int, record: object, body: bytes | memoryview) -> None:
        """Store this party's outcome."""
        self._write(_FINAL + _OFFERED, "final", run, step, record, body)

    def confirm_final(self) -> None:
        """All parties have theirs, so that no party needs this one any more."""
        self._confirm(_FINAL)

    def discard(self) -> list[str]:
        """Remove all files, of whatever run; returns what they were, in words."""
        removed = [f"the {word}" for name, word in ((_ALIGNMENT, "alignment"), (_FINAL, "outcome")) if self._has(name)]
        removed += [f"the state of step {step:,}" for step in self._steps()]
        self._remove(*self._all(), synced=True)
        return removed

    def discard_run(self, run: bytes) -> None:
        """Remove the files of this run, which has finished, and retain those of another one.

        Files that cannot be read, and so may be of either, are removed only where no other file is of another run.
        """
        runs, removed = self._runs(), {run.hex()}
        if not {*runs.values()} - {run.hex(), ""}:
            removed.add("")
        self._remove(*(name for name, of_run in runs.items() if of_run in removed), synced=True)

    def has_other_than(self, run: str) -> bool:
        """Whether any file is not certainly of this run, 32 hexadecimal digits."""
        return any(of_run != run for of_run in self._runs().values())

    def __enter__(self) -> Self:
        self._checked(self._lock.acquire)
        return self

    def __exit__(self, *_error: object) -> None:
        self._lock.release()

    def _is_finished(self, finished: str) -> bool:
        """Whether the outcome that all parties have is that of the run whose run folder is complete."""
        if not finished or not self._has(_FINAL):
            return False
        final = self._read(_FINAL)
        return final is not None and final.head.run == finished

    def _has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def _all(self) -> list[str]:
        """All files, in the order in which they may be removed."""
        steps = (f"step-{step}" for step in self._steps())
        # The outcome of a finished run is removed last: as long as it is stored, the next command only clears up.
        names = (*steps, _FINAL + _OFFERED, _ALIGNMENT, _ALIGNMENT + _OFFERED, _FINAL)
        return [name for name in names if self._has(name)]

    def _runs(self) -> dict[str, str]:
        """Of which run each file is, by its name; empty where it cannot be read."""
        runs = {}
        for name in self._all():
            try:
                runs[name] = read_checksummed(self.folder / name).head.run
            except (OSError, DamagedError, OtherVersionError):
                runs[name] = ""
        return runs

    def _steps(self) -> list[int]:
        """The steps of which there are files, complete or not, from the first to the last."""
        names = self._checked(lambda: [file.name for file in self.folder.iterdir()])
        return sorted(int(match[1]) for name in names if (match := _STEP.fullmatch(name)))

    def _write(
        self,
        name: str,
        kind: Kind,
        run: bytes,
        step: int,
        record: object,
        body: bytes | memoryview,
        *,
        first: bool = False,
    ) -> None:
        head = Head(kind, run.hex(), step, self.origin, msgspec.Raw(msgspec.json.encode(record)), first)
        self._checked(lambda: write_checksummed(self.folder / name, head, body))

    def _confirm(self, name: str) -> None:
        if self._has(name + _OFFERED):
            self._checked(lambda: rename(self.folder / (name + _OFFERED), name))

    def _remove(self, *names: str, synced: bool = False) -> None:
        """Remove those of these files that exist, in this order; `synced`: and force that to the disk."""

        def remove() -> None:
            files = [self.folder / name for name in names if self._has(name)]
            for file in files:
                file.unlink(missing_ok=True)
            if files and synced:
                sync_folder(self.folder)

        self._checked(remove)

    def _read(self, name: str) -> ChecksummedFile | None:
        """The file; None where there is none, or where it is damaged, which is reported."""
        path = self.folder / name
        try:
            return read_checksummed(path)
        except FileNotFoundError:
            return None
        except OtherVersionError as error:
            raise self.origin.other_version(error.version, self.folder) from None
        except DamagedError as error:
            self._say(f"{path} is damaged ({error}) and is left out.")
            return None
        except OSError as error:
            raise ConfigError(f"The file {path} cannot be read: {error.strerror}.") from None

    def _of_run(self, name: str, kind: Kind, run: str, step: int | None = None) -> ChecksummedFile | None:
        """The file, if it is complete, of this run, and what its name says."""
        file = self._read(name)
        if file is None or file.head.run != run or file.head.kind != kind:
            return None
        if step is not None and file.head.step != step:  # the file was renamed
            return None
        self.origin.check_resumes(file.head.origin, self.folder)
        return file

    def _required(self, file: ChecksummedFile | None, what: str) -> ChecksummedFile:
        if file is None:
            raise ConfigError(f"The {what} in {self.folder} is gone or damaged since this run began; start it again.")
        return file

    def _checked(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except OSError as error:
            raise StorageError(
                f"The run's folder {self.folder} cannot be written ({error.strerror}): free some space, or correct its "
                "permissions. What was stored before is complete, and the same command resumes from there."
            ) from None
