"""Packing as a user of a peer would write it: many fixed-point values in one whole number, in numpy.

The layout is that of `vsplit.paillier` (SPEC.md there, 3.3) less its tally, in as many slots as the peer's plaintexts hold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.secure_sum_peers.embeddings import BITS, REACH, Values

PARTIES = 2
SLOT = BITS + 2  # a bit for the sum of two parties, and one to spare
_TOP = (1 << BITS - 1) - 1


def pack(values: Values, slots: int) -> list[int]:
    """Plaintexts of `slots` values each, from values within the range."""
    units = (np.rint(values.astype(np.float64) * (_TOP / REACH)) + _TOP).astype("<u4")
    rows = -(-len(units) // slots)
    padded = np.zeros(rows * slots, dtype="<u4")
    padded[: len(units)] = units
    bits = np.unpackbits(padded.view(np.uint8).reshape(-1, 4), axis=1, count=SLOT, bitorder="little")
    packed = np.packbits(bits.reshape(rows, -1), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def unpack(totals: Sequence[int], slots: int, count: int) -> npt.NDArray[np.float64]:
    """The `count` sums that the decrypted totals of both parties hold."""
    size = -(-slots * SLOT // 8)
    raw = b"".join(int(total).to_bytes(size, "little") for total in totals)
    bits = np.unpackbits(np.frombuffer(raw, dtype=np.uint8).reshape(-1, size), axis=1, bitorder="little")
    spread = np.zeros((len(totals) * slots, 32), dtype=np.uint8)
    spread[:, :SLOT] = bits[:, : slots * SLOT].reshape(-1, SLOT)
    units = np.packbits(spread, axis=1, bitorder="little").view("<u4").reshape(-1)[:count]
    return (units.astype(np.float64) - PARTIES * _TOP) * (REACH / _TOP)
