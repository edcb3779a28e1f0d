"""Opens files that a person or a partner names, without ever blocking.

Opening a named pipe blocks until another program writes into it, and a device such as /dev/zero has no end. So every file that
is named on a command line, in a config or in data is opened here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, cast

_NON_BLOCKING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


_OF_THE_SYSTEM = ("/proc/", "/sys/")
"""Files there look like plain files, but may have no end, or block when they are read."""
MOST_AT_ONCE = 1 << 33
"""The greatest length, in bytes, of a file that is read whole; the largest are models and checkpoints."""


class NotPlainError(OSError):
    """The path exists and is not a plain file; `strerror` says what it is, for use in a sentence like that of any OSError."""

    def __init__(self, mode: int, path: Path) -> None:
        what = _KINDS.get(stat.S_IFMT(mode), "a system file" if _is_of_the_system(path) else "something else")
        super().__init__(errno.EINVAL, f"it is {what}, not a plain file", str(path))


def open_plain(path: Path) -> BinaryIO:
    """The plain file at `path`, or at the end of a link, open for reading. It never blocks.

    Raises NotPlainError for anything else but a folder, and OSError where there is nothing to open.
    """
    _check(path, path.stat().st_mode)  # before opening, since opening some devices has an effect
    file = cast(BinaryIO, open(path, "rb", opener=_open_non_blocking))  # noqa: SIM115 - the caller closes it
    try:
        _check(path, os.fstat(file.fileno()).st_mode)
    except NotPlainError:
        file.close()
        raise
    return file


def read_plain(path: Path, most: int = MOST_AT_ONCE) -> bytes:
    """The contents of the plain file at `path`, at most `most` bytes. Raises as `open_plain` does."""
    with open_plain(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"it is longer than {most:,} bytes", str(path))
        return file.read()


def real_path(path: Path) -> Path:
    """The path with all links followed; one whose links form a loop is unchanged, and fails when it is opened."""
    return Path(os.path.realpath(path))


def check_plain(path: Path) -> None:
    """Raise as `open_plain` does, for a path that another library opens."""
    open_plain(path).close()


def open_to_append(path: str, flags: int) -> int:
    """An opener for a log that this user alone can read. A device is allowed, but not a pipe, which waits for a reader."""
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(path).st_mode  # noqa: PTH116 - an opener is given text
        if stat.S_ISFIFO(mode):
            raise NotPlainError(mode, Path(path))
    return os.open(path, flags, 0o600)


def _check(path: Path, mode: int) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or _is_of_the_system(path):  # opening a folder fails
        raise NotPlainError(mode, path)


def _is_of_the_system(path: Path) -> bool:
    return os.path.realpath(path).startswith(_OF_THE_SYSTEM)


def _open_non_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | _NON_BLOCKING)
