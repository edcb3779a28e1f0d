"""The yardstick: how many scalar multiplications a second this core does while the others do the same."""

from __future__ import annotations

import os
import time

import numpy as np

from benchmarks.psi_peers.party import Order
from psi.curve import Scalar, multiply

_SECONDS = 2.0
_PIECE = 8192  # points of one call, as a role cuts its work


class Core:
    """One process that multiplies until its time is over."""

    def __init__(self, order: Order) -> None:
        self.extra: dict[str, float] = {}
        rng = np.random.default_rng(order.party)
        self._points = rng.integers(0, 256, (_PIECE, 32), dtype=np.uint8)
        self._points[:, 31] &= 0x7F
        self._scalar = Scalar.draw(os.urandom)
        multiply(self._scalar, self._points)

    def run(self) -> None:
        start, done = time.monotonic(), 0
        while (passed := time.monotonic() - start) < _SECONDS:
            multiply(self._scalar, self._points)
            done += _PIECE
        self.extra["per_second"] = done / passed

    def found(self) -> None:
        return None

    def close(self) -> None:
        return None


def prepare(order: Order) -> Core:
    """One process of the yardstick."""
    return Core(order)
