"""A way to wake a thread that polls."""

from __future__ import annotations

import contextlib
import socket


class Bell:
    """Wakes a thread that polls: `ring` from any thread, `hush` in the one that heard it."""

    def __init__(self) -> None:
        self._ear, self._rope = socket.socketpair()
        self._ear.setblocking(False)
        self._rope.setblocking(False)

    def fileno(self) -> int:
        """The descriptor to be polled for POLLIN; -1 once it is closed."""
        return self._ear.fileno()

    def ring(self) -> None:
        """Wake whoever polls; a bell that is closed or rings already stays as it is."""
        with contextlib.suppress(OSError):
            self._rope.send(b"!")

    def hush(self) -> None:
        """Take the ringing back."""
        with contextlib.suppress(OSError):
            self._ear.recv(4096)

    def close(self) -> None:
        """Free both ends."""
        self._ear.close()
        self._rope.close()
