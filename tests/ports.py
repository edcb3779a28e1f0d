"""Ports for tests that must name one before anybody listens there."""

from __future__ import annotations

import os
import random
import socket
from itertools import count

# Below the ports that kernels hand out for outgoing connections, so that no connection of a test beside this one takes it
# before the listener does; and each process of pytest-xdist has a thousand of its own.
_FIRST, _EACH, _PROCESSES = 12_000, 1_000, 20
_next = count(random.SystemRandom().randrange(_EACH))


def own_port() -> int:
    """A port of 127.0.0.1 that is free, and that no test beside this one is given."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for _ in range(_EACH):
        port = _FIRST + number % _PROCESSES * _EACH + next(_next) % _EACH
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no port from {_FIRST} on is free for this process")
