"""Ends an earlier start of a party's command that has failed and still notifies the other parties.

Otherwise it would block the port, or notify them of a failure that no longer matters. While a start notifies them, it has a
locked file in the system's folder for temporary files, named by the party's public identity and the job's address. A later
start removes the file, which the earlier one detects, and waits for the lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from parties.network.identity import PublicIdentity

if sys.platform != "win32":
    import fcntl

_PATIENCE = 5.0  # seconds in which an earlier start ends
_STEP = 0.05


def end_earlier_notice(identity: PublicIdentity, address: str) -> None:
    """End an earlier start of this party's command that does nothing but notify the other parties of its failure."""
    if sys.platform == "win32":
        return
    path = _path(identity, address)
    with contextlib.suppress(OSError):  # there is none, or its file cannot be opened: then it continues
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            path.unlink(missing_ok=True)
            until = time.monotonic() + _PATIENCE
            while not _lock(descriptor) and time.monotonic() < until:
                time.sleep(_STEP)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def notice_lock(identity: PublicIdentity, address: str) -> Iterator[Callable[[], bool]]:
    """Inside, the function that is yielded returns whether the command has been started again."""
    end_earlier_notice(identity, address)
    descriptor = _mark(_path(identity, address))
    try:
        yield lambda: descriptor is not None and not _is_in_place(_path(identity, address), descriptor)
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                if _is_in_place(_path(identity, address), descriptor):
                    _path(identity, address).unlink()
            os.close(descriptor)


def _path(identity: PublicIdentity, address: str) -> Path:
    name = hashlib.sha256(identity.key + address.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"vsplit-tells-{name}"


def _mark(path: Path) -> int | None:
    """The descriptor of the locked file; None where this machine allows none."""
    if sys.platform == "win32":
        return None
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with contextlib.suppress(OSError):
            if _lock(descriptor):
                return descriptor
        os.close(descriptor)
    return None


def _lock(descriptor: int) -> bool:
    if os.fstat(descriptor).st_uid != os.getuid():
        raise PermissionError("a file of another user")  # every user may create files there
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_in_place(path: Path, descriptor: int) -> bool:
    try:
        present = path.lstat()
    except FileNotFoundError:
        return False
    own = os.fstat(descriptor)
    return (present.st_dev, present.st_ino) == (own.st_dev, own.st_ino)
