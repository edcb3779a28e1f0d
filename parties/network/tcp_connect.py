"""One TCP connection to a host that may have several addresses, some of which may drop every packet."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from itertools import chain, zip_longest
from typing import Any

# RFC 8305 ("Happy Eyeballs"): the next address is tried after so many seconds, while the earlier attempts continue.
NEXT_ADDRESS = 0.25

_Found = tuple[socket.AddressFamily, Any]


def open_connection(host: str, port: int, timeout: float) -> socket.socket:
    """A connection to the first address of the host that answers, within `timeout` seconds for all of them.

    Addresses of both families are tried alternately. Raises OSError: TimeoutError where none has answered, otherwise the error
    of the first attempt that failed.
    """
    waiting = _addresses(host, port)
    until = time.monotonic() + timeout
    turn = 0.0  # of the next address
    first_error: OSError | None = None
    trying: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as stack:
        while waiting or trying:
            now = time.monotonic()
            if now >= until:
                raise TimeoutError("timed out")
            if waiting and (now >= turn or not trying):
                turn = now + NEXT_ADDRESS
                try:
                    one = _begin(*waiting.pop(0))
                except OSError as error:
                    first_error = first_error or error
                    turn = now
                    continue
                stack.callback(one.close)
                trying[one.fileno()] = one
            for descriptor in _ready(trying, (min(until, turn) if waiting else until) - now):
                one = trying.pop(descriptor)
                code = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code == 0:
                    return _duplicate(one)
                one.close()
                first_error = first_error or OSError(code, os.strerror(code))
                turn = now
    raise first_error or OSError(f"the name {host} has no address")


def set_options(connection: socket.socket) -> None:
    """Set the options of a connection, dialled or accepted."""
    # No keepalive and no TCP_USER_TIMEOUT: the links have a heartbeat of their own, and Linux would also end a connection whose
    # other side works, computes for long and has its queue full meanwhile.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _addresses(host: str, port: int) -> list[_Found]:
    found = [(entry[0], entry[4]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    first = [one for one in found if one[0] == found[0][0]]
    others = [one for one in found if one[0] != found[0][0]]
    return [one for one in chain.from_iterable(zip_longest(first, others)) if one is not None]


def _begin(family: socket.AddressFamily, address: Any) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(address)
    except BaseException:
        one.close()
        raise
    return one


def _ready(trying: dict[int, socket.socket], seconds: float) -> list[int]:
    poll = select.poll()
    for descriptor in trying:
        poll.register(descriptor, select.POLLOUT)
    return [descriptor for descriptor, _ in poll.poll(1000 * max(0.0, seconds))]


def _duplicate(one: socket.socket) -> socket.socket:
    """The same connection under a descriptor of its own, since all attempts are closed."""
    found = one.dup()
    found.setblocking(True)
    return found
