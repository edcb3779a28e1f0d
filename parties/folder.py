"""The run folder of one party: nothing stands in it before a run has come to its end, and no older run is overwritten."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from parties.config.party import Party
from parties.config.reading import read_text
from parties.config.urls import masked_copy
from vsplit.protocol import ConfigError

FINISHED = "run.json"


@dataclass(frozen=True, slots=True)
class _Held:
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
        self._held: list[_Held] = []
        self._written: list[Path] = []
        self._prove_writable()

    def hold(self, name: str, data: bytes | str) -> None:
        """Keep a small file in memory; it is written first of all when the run has come to its end."""
        self._held.append(_Held(name, _as_bytes(data)))

    def hold_configs(self, party: Party) -> None:
        """Hold copies of the job and the party file as they are now, with any password masked. Raises ConfigError."""
        self.hold("job.yaml", masked_copy(read_text(party.job_file)))
        self.hold("party.yaml", masked_copy(read_text(party.file)))

    @contextlib.contextmanager
    def filling(self) -> Iterator[None]:
        """Files may be written inside this; if anything fails there, all of them go and an older run comes back."""
        made = self._make_room()
        try:
            for one in self._held:
                self.write(one.name, one.content)
            yield
        except BaseException:
            self._empty(made)
            raise

    def write(self, name: str, data: bytes | str) -> Path:
        """Write the file `name`, whole or not at all, readable by this user alone. Raises ConfigError."""
        file = self.path / name
        half = file.with_name(f".{name}.part")
        try:
            half.unlink(missing_ok=True)
            descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._written.append(half)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(_as_bytes(data))
                stream.flush()
                os.fsync(stream.fileno())
            half.replace(file)
            self._written.append(file)
        except OSError as error:
            raise ConfigError(
                f"The file {file} cannot be written ({error.strerror}): free some space, or change `output` in the party file."
            ) from None
        return file

    def write_json(self, name: str, content: object) -> Path:
        """Write plain data as indented JSON."""
        return self.write(name, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")

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

    def _make_room(self) -> list[Path]:
        """Move an older run aside and make the folder; returns the folders that were missing, the inmost first."""
        try:
            if (self.path / FINISHED).exists():
                other = _unused(self.path)
                self.path.rename(other)
                self.moved = other
            missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error.strerror) from None
        return missing

    def _empty(self, made: list[Path]) -> None:
        # Whatever fails here, the person has to hear of what went wrong first.
        for file in self._written:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another party of this machine may have its folder in the same place
            for folder in made:
                folder.rmdir()
        if self.moved is not None:
            with contextlib.suppress(OSError):
                self.moved.rename(self.path)

    def _unwritable(self, reason: str | None) -> ConfigError:
        return ConfigError(
            f"The run folder {self.path} cannot be written ({reason}): change `output` in the party file, or the folder's "
            "permissions."
        )


def check_output(party: Party) -> None:
    """Raise ConfigError where the run folder holds what a run must not move aside: the party's files or its data."""
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
    return data.encode() if isinstance(data, str) else data


def _unused(path: Path) -> Path:
    number = 1
    while (other := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return other
