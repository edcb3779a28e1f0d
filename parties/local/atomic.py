"""Files that are whole or absent, whatever ends the program or the machine meanwhile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from parties.local.plain_file import open_plain

_PIECE = 1 << 20


def write_whole(file: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write `parts` one after another into `file`, readable by this user alone, in place of what stood there.

    When this returns the file is on the disk; before, the old one is untouched. Raises OSError, and leaves no half file.
    """
    half = file.with_name(f".{file.name}.part")
    try:
        half.unlink(missing_ok=True)
        _write(half, parts)
        half.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):  # what went wrong first is what counts
            half.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def write_new(file: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file that must not be there yet, readable by this user alone; when this returns it is on the disk.

    Raises FileExistsError where something is there, which stays as it is, or OSError, and then leaves no half file.
    """
    try:
        _write(file, parts)
    except FileExistsError:
        raise
    except BaseException:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def _write(file: Path, parts: Iterable[bytes | memoryview]) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        for part in parts:
            stream.write(part)
        stream.flush()
        os.fsync(stream.fileno())


def rename(file: Path, name: str) -> None:
    """Give `file` another name in its folder, in place of what had it. Raises OSError."""
    file.replace(file.with_name(name))
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """See that the names in `folder` are on the disk, where the system can be asked to. Raises OSError."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def pieces(file: Path) -> Iterator[bytes]:
    """What is in `file`, piece by piece, for `write_whole`. Raises OSError."""
    with open_plain(file) as stream:
        while piece := stream.read(_PIECE):
            yield piece
