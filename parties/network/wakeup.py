"""Waking a thread that polls."""

from __future__ import annotations

import contextlib
import socket


class Wakeup:
    """Wakes a thread that polls: call `set` in any thread, and `clear` in the one that was woken."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def fileno(self) -> int:
        """The descriptor to be polled for POLLIN; -1 once it is closed."""
        return self._receiver.fileno()

    def set(self) -> None:
        """Wake the thread that polls. Does nothing where it is set already, or closed."""
        with contextlib.suppress(OSError):
            self._sender.send(b"!")

    def clear(self) -> None:
        """Reset it."""
        with contextlib.suppress(OSError):
            self._receiver.recv(4096)

    def close(self) -> None:
        """Close both ends."""
        self._receiver.close()
        self._sender.close()
