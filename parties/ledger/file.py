"""The file of a ledger: one write for each line, each with the hash of the line before. SPEC.md, section 8.

A line is handed to the operating system in one write before `append` returns, so a killed process leaves all that was
appended; `sync` forces it to the disk.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from parties.ledger.record import NO_HASH, AnyLine, chained, encode
from parties.local.atomic import sync_folder
from vsplit.protocol import ConfigError, StorageError

if sys.platform != "win32":
    import fcntl


class ChainFile:
    """The file at `path`, created where it is absent, and locked against other processes.

    `lines` is the number of its lines and `last` the hash of the last one, which the next line repeats. For a file that has
    lines already, call `resume_at` first. Raises ConfigError where it cannot be opened or is in use; once a line could not be
    written, every call raises that.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # In one tuple, so that an interruption leaves all three values as they were, or all as they are then.
        self._state = 0, NO_HASH, 0
        self._writing = False
        self._failure: StorageError | None = None
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            sync_folder(path.parent)  # so that a crash of the machine does not take the new name
        except OSError as error:
            raise StorageError(f"The ledger {path} cannot be written: {error.strerror}.") from None
        if sys.platform != "win32":
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self.close()
                raise ConfigError(
                    f"The ledger {path} is written by another process: is this party started twice? End one of the two."
                ) from None

    def resume_at(self, lines: int, last: str, size: int) -> None:
        """Continue after `lines` lines of `size` bytes in total, the last with the hash `last`; the rest is cut off."""
        self._state = lines, last, size
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise self._failed(error) from None

    @property
    def lines(self) -> int:
        """The number of lines."""
        return self._state[0]

    @property
    def last(self) -> str:
        """The hash of the last line."""
        return self._state[1]

    def append(self, line: AnyLine) -> None:
        """Append `line`, which has the next number and the hash of the last line."""
        self._raise_failure()
        if (line.line, line.before) != (self.lines + 1, self.last):
            raise ValueError("a line is chained to the one before it")
        raw, size = encode(line), self._state[2]
        try:
            if (
                self._writing
            ):  # an interruption came between a write and its bookkeeping, so that the write does not count
                os.ftruncate(self._descriptor, size)
            self._writing = True
            written = os.write(self._descriptor, raw + b"\n")
            if written != len(raw) + 1:
                raise OSError(0, "only a part of a line could be written, so the disk may be full")
        except OSError as error:
            raise self._failed(error) from None
        self._state = line.line, chained(raw), size + written
        self._writing = False

    def sync(self) -> None:
        """Force what was written to the disk."""
        self._raise_failure()
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _failed(self, error: OSError) -> StorageError:
        self._failure = StorageError(
            f"The ledger {self.path} cannot be written ({error.strerror}), and nothing leaves that is not on record: free "
            "some space, then give the same command again."
        )
        with contextlib.suppress(OSError):  # if not now, an incomplete line is cut off when the run resumes
            os.ftruncate(self._descriptor, self._state[2])
        return self._failure
