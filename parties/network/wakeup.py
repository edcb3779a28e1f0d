"""A way to wake a thread that polls."""

from __future__ import annotations

import contextlib
import socket


class Wakeup:
    """Wakes a thread that polls: `set` from any thread, `clear` in the one that heard it."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def fileno(self) -> int:
        """The descriptor to be polled for POLLIN; -1 once it is closed."""
        return self._receiver.fileno()

    def set(self) -> None:
        """Wake whoever polls; a bell that is closed or rings already stays as it is."""
        with contextlib.suppress(OSError):
            self._sender.send(b"!")

    def clear(self) -> None:
        """Take the ringing back."""
        with contextlib.suppress(OSError):
            self._receiver.recv(4096)

    def close(self) -> None:
        """Free both ends."""
        self._receiver.close()
        self._sender.close()
