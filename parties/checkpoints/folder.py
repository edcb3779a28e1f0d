"""What a run that is not finished keeps in `OUTPUT/.unfinished`, so that the same command goes on with it.

    alignment-offered   this party's side of a common alignment, until all parties have theirs; then `alignment`
    step-N              this party's state after N steps; the last two
    final-offered       this party's outcome, until all parties have theirs; then `final`
    lock                held while a run lives, so that no second one uses the folder

Each is whole or absent. SPEC.md, section 4, says when they are written.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from parties.checkpoints.checksummed_file import (
    ChecksummedFile,
    DamagedError,
    Head,
    Kind,
    Origin,
    OtherVersionError,
    read_checksummed,
    write_checksummed,
)
from parties.local.atomic import rename, sync_folder
from parties.local.command_line import restart_hint
from vsplit.protocol import ConfigError, StorageError

if sys.platform != "win32":
    import fcntl

T = TypeVar("T")

UNFINISHED = ".unfinished"
STEPS_KEPT = 2

_OFFERED = "-offered"
_ALIGNMENT, _FINAL, _LOCK = "alignment", "final", "lock"
_STEP = re.compile(r"step-([1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class LocalState:
    """What a party holds of a run: the run's name (empty: nothing), the steps, the outcome.

    `agreed`: all parties have, or had, the alignment. `steps`: those at which this party can begin; 0, the beginning of the
    training, is among them as long as no more than its first state would be lost by that. `final`: this party's outcome is
    there; `over`: everybody's is. `finished` names the run whose results stand in the run folder (empty: none do).
    `restart`: it was told at home to begin afresh, and so to hold nothing.
    """

    run: bytes = b""
    agreed: bool = False
    steps: tuple[int, ...] = ()
    final: bool = False
    over: bool = False
    finished: bytes = b""
    restart: bool = False


class FolderInUseError(ConfigError):
    """Another process of this party uses the folder, so that this one has no part in the run."""


def in_use(output: Path) -> bool:
    """Whether a run is using the run folder `output` at this moment."""
    if sys.platform == "win32":
        return False
    try:
        descriptor = os.open(output / UNFINISHED / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


class CheckpointFolder:
    """The folder of a party that comes from `origin`. To be used in a `with`, which holds its lock.

    `say` is told, in a sentence, what a person should know. Raises ConfigError wherever the folder cannot be read or
    written, and what is there stays whole.
    """

    def __init__(self, output: Path, origin: Origin, say: Callable[[str], None] = lambda _sentence: None) -> None:
        self.folder = output / UNFINISHED
        self._origin = origin
        self._say = say
        self._lock: int | None = None
        self._made: list[Path] = []

    # --- what is there ------------------------------------------------------------------------------------------------

    def look(self, finished: str = "") -> LocalState:
        """What is there, all of it whole and from this origin. A damaged file is left out, and said.

        `finished` names the run whose folder is whole: of that one it does not matter what else is still there.
        Raises ConfigError for a run of another job, version or party, or of other data, and where no alignment can be
        read that all parties had.
        """
        agreed = self._has(_ALIGNMENT)
        alignment = self._read(_ALIGNMENT if agreed else _ALIGNMENT + _OFFERED)
        if self._is_over(finished):
            return LocalState(bytes.fromhex(finished), agreed, (), final=True, over=True)
        if alignment is None and agreed:
            raise ConfigError(
                f"The alignment of the unfinished run in {self.folder} is damaged, so that nothing can go on with it: put back "
                f"a copy of this folder, or {restart_hint()}."
            )
        # An alignment that was never agreed on is no loss, whatever it is of.
        if alignment is None or (not agreed and alignment.head.origin != self._origin_like(alignment)):
            return LocalState()
        self._check_origin(alignment)
        run = alignment.head.run
        states = [found for step in self._steps() if (found := self._of_run(f"step-{step}", "step", run, step))]
        del states[:-STEPS_KEPT]  # the program may have ended before an older one was taken away
        begin = (0,) if len(states) < STEPS_KEPT and all(state.head.first for state in states) else ()
        steps = (*begin, *(state.head.step for state in states))
        final = next((name for name in (_FINAL, _FINAL + _OFFERED) if self._of_run(name, "final", run)), None)
        return LocalState(bytes.fromhex(run), agreed, steps, final is not None, final == _FINAL)

    def alignment(self) -> ChecksummedFile:
        """The alignment, offered or agreed on."""
        return self._must(self._read(_ALIGNMENT) or self._read(_ALIGNMENT + _OFFERED), "alignment")

    def step(self, step: int) -> ChecksummedFile:
        """The state after `step` steps."""
        return self._must(self._read(f"step-{step}"), f"state of step {step:,}")

    def final(self) -> ChecksummedFile:
        """The outcome."""
        return self._must(self._read(_FINAL) or self._read(_FINAL + _OFFERED), "outcome")

    def changes(self, kept: ChecksummedFile) -> list[str]:
        """What is not as it was when this file was written, and may change the last bits of results."""
        then, now = kept.head.origin.environment, self._origin.environment
        return [
            f"{name} ({then.get(name, 'none')} before, {now[name]} now)" for name in now if then.get(name) != now[name]
        ]

    # --- what is written ----------------------------------------------------------------------------------------------

    def offer_alignment(self, run: bytes, told: object, body: bytes | memoryview) -> None:
        """Keep this party's side of an alignment; it counts once `agree_on_alignment` is called."""
        self._write(_ALIGNMENT + _OFFERED, "alignment", run, 0, told, body)

    def agree_on_alignment(self) -> None:
        """All parties have theirs."""
        self._agree(_ALIGNMENT)

    def keep_step(self, run: bytes, step: int, told: object, body: bytes | memoryview) -> None:
        """Keep the state after `step` steps, and of those before it the last."""
        first = not any(old != step for old in self._steps())
        self._write(f"step-{step}", "step", run, step, told, body, first=first)
        self._remove(*(f"step-{old}" for old in self._steps()[:-STEPS_KEPT]))

    def begin_at(self, step: int) -> None:
        """A training begins here again: what was kept of later steps, and an outcome, are no more."""
        later = (f"step-{one}" for one in self._steps() if one > step)
        self._remove(*later, _FINAL + _OFFERED, _FINAL, lastingly=True)

    def offer_final(self, run: bytes, step: int, told: object, body: bytes | memoryview) -> None:
        """Keep this party's outcome."""
        self._write(_FINAL + _OFFERED, "final", run, step, told, body)

    def agree_on_final(self) -> None:
        """All parties have theirs, so that nobody needs this party any more."""
        self._agree(_FINAL)

    def discard(self) -> list[str]:
        """Take all away, whatever it is of; returns what it was, in words."""
        told = [f"the {word}" for name, word in ((_ALIGNMENT, "alignment"), (_FINAL, "outcome")) if self._has(name)]
        told += [f"the state of step {step:,}" for step in self._steps()]
        self._remove(*self._all(), lastingly=True)
        return told

    def discard_run(self, run: bytes) -> None:
        """Take away what is of this run, which is over, and leave what is of another one.

        What cannot be read, and so may be of either, goes only where nothing else is of another run.
        """
        runs = self._runs()
        doubtful = not {*runs.values()} - {run.hex(), ""}
        self._remove(
            *(name for name, one in runs.items() if one == run.hex() or (not one and doubtful)), lastingly=True
        )

    def holds_other_than(self, run: str) -> bool:
        """Whether anything is kept that is not certainly of this run, 32 hexadecimal digits."""
        return any(one != run for one in self._runs().values())

    # --- the folder ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self._tried(self._open)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the lock; where nothing is kept, the folder goes as well."""
        with contextlib.suppress(OSError):
            if {file.name for file in self.folder.iterdir()} <= {_LOCK}:
                (self.folder / _LOCK).unlink(missing_ok=True)
                self.folder.rmdir()
                for folder in self._made:
                    folder.rmdir()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _open(self) -> Self:
        self._made = [folder for folder in self.folder.parents if not folder.exists()]
        output = self.folder.parent
        for folder in reversed([one for one in output.parents if not one.exists()]):
            folder.mkdir(mode=0o755, exist_ok=True)
        output.mkdir(mode=0o700, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if sys.platform == "win32":
            return self
        self._lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = None
            raise FolderInUseError(
                f"Another run is using {self.folder.parent} at this moment: wait for its end, or name another folder in the "
                "key output of the party file."
            ) from None
        return self

    def _is_over(self, finished: str) -> bool:
        """Whether the outcome that all parties have is that of the run whose folder is whole."""
        if not finished or not self._has(_FINAL):
            return False
        final = self._read(_FINAL)
        return final is not None and final.head.run == finished

    def _has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def _all(self) -> list[str]:
        """All that is kept, in the order in which it may go."""
        steps = (f"step-{step}" for step in self._steps())
        # The outcome of a run that is over goes last: as long as it stands here, there is only this to be cleared up.
        names = (*steps, _FINAL + _OFFERED, _ALIGNMENT, _ALIGNMENT + _OFFERED, _FINAL)
        return [name for name in names if self._has(name)]

    def _runs(self) -> dict[str, str]:
        """Of which run each file is, by its name; empty where it cannot be read."""
        found = {}
        for name in self._all():
            try:
                found[name] = read_checksummed(self.folder / name).head.run
            except (OSError, DamagedError, OtherVersionError):
                found[name] = ""
        return found

    def _steps(self) -> list[int]:
        """The steps of which there are files, whole or not, from the first to the last."""
        names = self._tried(lambda: [file.name for file in self.folder.iterdir()])
        return sorted(int(found[1]) for name in names if (found := _STEP.fullmatch(name)))

    def _write(
        self,
        name: str,
        kind: Kind,
        run: bytes,
        step: int,
        told: object,
        body: bytes | memoryview,
        *,
        first: bool = False,
    ) -> None:
        head = Head(kind, run.hex(), step, self._origin, msgspec.Raw(msgspec.json.encode(told)), first)
        self._tried(lambda: write_checksummed(self.folder / name, head, body))

    def _agree(self, name: str) -> None:
        if self._has(name + _OFFERED):
            self._tried(lambda: rename(self.folder / (name + _OFFERED), name))

    def _remove(self, *names: str, lastingly: bool = False) -> None:
        """Take these files away where they are, in this order; `lastingly`: also if the machine stops in this moment."""

        def remove() -> None:
            found = [self.folder / name for name in names if self._has(name)]
            for file in found:
                file.unlink(missing_ok=True)
            if found and lastingly:
                sync_folder(self.folder)

        self._tried(remove)

    def _read(self, name: str) -> ChecksummedFile | None:
        """The file, or None where there is none or it is damaged, which is said."""
        path = self.folder / name
        try:
            return read_checksummed(path)
        except FileNotFoundError:
            return None
        except OtherVersionError as error:
            raise self._of_other_version(error.version) from None
        except DamagedError as error:
            self._say(f"{path} is damaged ({error}) and is left out.")
            return None
        except OSError as error:
            raise ConfigError(f"The file {path} cannot be read: {error.strerror}.") from None

    def _of_run(self, name: str, kind: Kind, run: str, step: int | None = None) -> ChecksummedFile | None:
        """The file, if it is whole and of this run, and what its name says."""
        found = self._read(name)
        if found is None or found.head.run != run or found.head.kind != kind:
            return None
        if step is not None and found.head.step != step:  # somebody has renamed it
            return None
        self._check_origin(found)
        return found

    def _must(self, found: ChecksummedFile | None, what: str) -> ChecksummedFile:
        if found is None:
            raise ConfigError(f"The {what} in {self.folder} is gone or damaged since this run began; start it again.")
        return found

    def _origin_like(self, kept: ChecksummedFile) -> Origin:
        """This party's origin, but for the environment, in which `kept` may differ."""
        return msgspec.structs.replace(self._origin, environment=kept.head.origin.environment)

    def _check_origin(self, kept: ChecksummedFile) -> None:
        """Raise ConfigError, which names what differs, unless this party can go on with what it kept."""
        then, now = kept.head.origin, self._origin
        if then.version != now.version:
            raise self._of_other_version(then.version)
        if then.party != now.party:
            raise ConfigError(
                f"The unfinished run in {self.folder} is {then.party}'s, and this is {now.party}: give each party a folder of "
                "its own in the key output of its party file."
            )
        for where, mine, kept_ in (("of the job file", now.job, then.job), ("", now.home, then.home)):
            if mine != kept_:
                name = next((key for key in (*mine, *kept_) if mine.get(key) != kept_.get(key)), "")
                what = f"the key {name} {where}" if where else name
                raise ConfigError(
                    f"The unfinished run in {self.folder} began with something else than there is now: {what} is not as it "
                    f"was. Put it back as it was to go on, or {restart_hint()}."
                )

    def _of_other_version(self, version: str) -> ConfigError:
        return ConfigError(
            f"The unfinished run in {self.folder} is of vsplit {version}, and this is {self._origin.version}: install that "
            f"version at every party to go on with it, or {restart_hint()}."
        )

    def _tried(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except OSError as error:
            raise StorageError(
                f"The run's folder {self.folder} cannot be written ({error.strerror}): free some space, or mend its "
                "permissions. What was kept before is whole, and the same command goes on from there."
            ) from None
