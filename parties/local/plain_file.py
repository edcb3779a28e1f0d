"""Opening files that a person or a partner names, without ever waiting for one.

A named pipe in the place of a file holds up whoever opens it until somebody writes into it, and a device such as /dev/zero has
no end. So every file that is named on a command line, in a config or in data is opened here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, cast

_NEVER_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


_OF_THE_SYSTEM = ("/proc/", "/sys/")
"""What is there looks like a plain file, and may have no end, or make whoever reads it wait."""
MOST_AT_ONCE = 1 << 33
"""No file that is read whole is longer, in bytes; the largest are models and checkpoints."""


class NotPlainError(OSError):
    """What was named is there, and is no plain file; `strerror` says what it is, and fits into a sentence on any OSError."""

    def __init__(self, mode: int, path: Path) -> None:
        what = _KINDS.get(stat.S_IFMT(mode), "a file of the system" if _is_of_the_system(path) else "something else")
        super().__init__(errno.EINVAL, f"it is {what} and no plain file", str(path))


def open_plain(path: Path) -> BinaryIO:
    """The plain file at `path`, or at the end of a link, open for reading. It never waits.

    Raises NotPlainError for anything else but a folder, and OSError where there is nothing to open.
    """
    _check(path, path.stat().st_mode)  # before it is opened, since to open some devices does something already
    file = cast(BinaryIO, open(path, "rb", opener=_without_waiting))  # noqa: SIM115 - the caller closes it
    try:
        _check(path, os.fstat(file.fileno()).st_mode)
    except NotPlainError:
        file.close()
        raise
    return file


def read_plain(path: Path, most: int = MOST_AT_ONCE) -> bytes:
    """All that is in the plain file at `path`, of at most `most` bytes. Raises as `open_plain` does."""
    with open_plain(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"it is longer than {most:,} bytes", str(path))
        return file.read()


def real_path(path: Path) -> Path:
    """The path with all links followed; one whose links lead in a circle stays, and opening it says so."""
    return Path(os.path.realpath(path))


def check_plain(path: Path) -> None:
    """Raise as `open_plain` does, for whoever hands the path on to something that opens it."""
    open_plain(path).close()


def open_to_append(path: str, flags: int) -> int:
    """An opener for a log, which this user alone can read. A device may stand there, but no pipe, which waits for a reader."""
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(path).st_mode  # noqa: PTH116 - an opener is given text
        if stat.S_ISFIFO(mode):
            raise NotPlainError(mode, Path(path))
    return os.open(path, flags, 0o600)


def _check(path: Path, mode: int) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or _is_of_the_system(path):  # a folder, opening it refuses
        raise NotPlainError(mode, path)


def _is_of_the_system(path: Path) -> bool:
    return os.path.realpath(path).startswith(_OF_THE_SYSTEM)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | _NEVER_WAIT)
