"""Writes files that are complete or absent, even if the program or the machine stops meanwhile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from parties.local.plain_file import open_plain

_PIECE = 1 << 20


def write_whole(file: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write `parts` one after another into `file`, readable by this user alone, and replace a file of that name.

    When this returns the new file is on the disk; until then the old one is unchanged. Raises OSError, and leaves no partial
    file.
    """
    partial = file.with_name(f".{file.name}.part")
    try:
        partial.unlink(missing_ok=True)
        _write(partial, parts)
        partial.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to report
            partial.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def write_new(file: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file that must not exist yet, readable by this user alone; when this returns it is on the disk.

    Raises FileExistsError where the name exists, and leaves what is there unchanged; or OSError, and leaves no partial file.
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
    """Give `file` another name in its folder, and replace a file of that name. Raises OSError."""
    file.replace(file.with_name(name))
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Flush the names in `folder` to the disk, where the system allows it. Raises OSError."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def pieces(file: Path) -> Iterator[bytes]:
    """The contents of `file`, piece by piece, for `write_whole`. Raises OSError."""
    with open_plain(file) as stream:
        while piece := stream.read(_PIECE):
            yield piece
