"""The run folder of one party: every file in it is whole or not there, and an older run is never overwritten."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import msgspec

from parties.config.urls import masked_copy
from vsplit.protocol import ConfigError

FINISHED = "run.json"


class RunFolder:
    """The folder at `path`. A finished run that stands there already is moved aside, to the same name with a number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.moved: Path | None = None
        try:
            if (path / FINISHED).exists():
                self.moved = _unused(path)
                path.rename(self.moved)
            path.mkdir(parents=True, exist_ok=True)
            probe = path / f".writable-{secrets.token_hex(4)}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ConfigError(
                f"The run folder {path} cannot be written ({error.strerror}): change `output` in the party file, or the "
                "folder's permissions."
            ) from None

    def write(self, name: str, data: bytes | str, *, private: bool = False) -> Path:
        """Write the file `name`, whole or not at all; `private`: readable by this user alone. Raises ConfigError."""
        file = self.path / name
        half = file.with_name(f".{name}.part")
        content = data.encode() if isinstance(data, str) else data
        try:
            half.unlink(missing_ok=True)
            descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o644)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            half.replace(file)
        except OSError as error:
            half.unlink(missing_ok=True)
            raise ConfigError(
                f"The file {file} cannot be written ({error.strerror}): free some space, or change `output` in the party file."
            ) from None
        return file

    def write_json(self, name: str, content: object) -> Path:
        """Write plain data as indented JSON."""
        return self.write(name, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")

    def copy_config(self, name: str, source: Path) -> None:
        """Keep a copy of a config file, with any password masked."""
        self.write(name, masked_copy(source.read_text(encoding="utf-8")))


def _unused(path: Path) -> Path:
    number = 1
    while (other := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return other
