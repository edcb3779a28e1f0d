"""Reading a non-blocking TLS stream: as much as there is, and what is left before it is closed."""

from __future__ import annotations

import contextlib
import ssl

_MOST_LEFTOVERS = 512  # reads, each of a TLS record, that empty a stream before it is closed


def read_into(stream: ssl.SSLSocket, room: memoryview) -> int:
    """Read into `room`, which ends where a frame ends at the latest; returns the bytes read, 0 where the stream has ended.

    A TLS record holds 16 KiB and a frame sixteen of them, between which there is nothing to decide. Raises as `recv_into`
    does where nothing was read at all.
    """
    count = came = stream.recv_into(room)
    while came and count < len(room):
        try:
            came = stream.recv_into(room[count:])
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            break
        count += came
    return count


def discard_unread(stream: ssl.SSLSocket) -> None:
    """Read unread bytes: they would turn the close into a reset, which may overtake the last frames sent."""
    with contextlib.suppress(OSError):
        for _ in range(_MOST_LEFTOVERS):
            if not stream.recv(1 << 14):
                break
