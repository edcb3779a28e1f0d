"""The folder of an unfinished run: it is created, and locked while a process of the party uses it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from vsplit.protocol import ConfigError

if sys.platform != "win32":
    import fcntl

UNFINISHED = ".unfinished"
"""The folder's name in the run folder."""
LOCK = "lock"


class FolderInUseError(ConfigError):
    """Another process of this party uses the folder, so that this one has no part in the run."""


def in_use(output: Path) -> bool:
    """Whether a run is using the run folder `output` at this moment."""
    if sys.platform == "win32":
        return False
    try:
        descriptor = os.open(output / UNFINISHED / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


class FolderLock:
    """The folder of an unfinished run in the run folder `output`, with its lock."""

    def __init__(self, output: Path) -> None:
        self.folder = output / UNFINISHED
        self._lock: int | None = None
        self._made: list[Path] = []

    def acquire(self) -> None:
        """Create the folder and lock it. Raises FolderInUseError or OSError."""
        self._made = [folder for folder in self.folder.parents if not folder.exists()]
        output = self.folder.parent
        for folder in reversed([folder for folder in output.parents if not folder.exists()]):
            folder.mkdir(mode=0o755, exist_ok=True)
        output.mkdir(mode=0o700, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if sys.platform == "win32":
            return
        self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._close()
            raise FolderInUseError(
                f"Another run is using {output} at this moment: wait for its end, or name another folder in the "
                "key output of the party file."
            ) from None

    def release(self) -> None:
        """Unlock the folder, and remove it where nothing is stored in it."""
        with contextlib.suppress(OSError):
            if {file.name for file in self.folder.iterdir()} <= {LOCK}:
                (self.folder / LOCK).unlink(missing_ok=True)
                self.folder.rmdir()
                for folder in self._made:
                    folder.rmdir()
        self._close()

    def _close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
