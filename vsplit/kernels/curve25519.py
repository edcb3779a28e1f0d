"""Curve25519 for many points at once: X25519 by one scalar, and hashing to the curve.

Long lists use the compiled kernels, short ones the portable twin; both return the same bytes. Every call is pure, takes less
than 100 ms for the few thousand records of a piece of work, and releases Python's lock while the kernels compute.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vsplit.kernels import portable
from vsplit.protocol import Bytes

POINT = portable.POINT
"""Bytes of a point: its u-coordinate, little endian (RFC 7748, section 5)."""

WORTH_COMPILING = 2048
"""Records in one call from which on the kernels are used: for fewer, compiling them would take longer than the work."""


def multiply(scalar: bytes, points: Bytes) -> Bytes:
    """X25519 of `scalar`, 32 bytes, with each of `points`, uint8 [n, 32] in and out; zero for a point of low order."""
    if _is_short(len(points)):
        return portable.multiply(scalar, points)
    # LLVM is loaded only where it is needed: it takes a part of a second and a hundred megabytes of address space.
    from vsplit.kernels import compiled, engine

    return compiled.multiply(engine.kernels(), scalar, points)


def encode_to_curve(data: Bytes, ends: npt.NDArray[np.int64], dst: bytes) -> Bytes:
    """encode_to_curve of RFC 9380, curve25519_XMD:SHA-512_ELL2_NU_, of message i = data[ends[i] : ends[i + 1]].

    Returns u-coordinates, uint8 [n, 32]; zero for a message that hashes to the neutral element. `dst` has 1 to 255 bytes.
    """
    if _is_short(len(ends) - 1):
        raw = data.tobytes() if len(ends) > 1 else b""
        pairs = zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
        return portable.encode_to_curve([raw[start:end] for start, end in pairs], dst)
    from vsplit.kernels import compiled, engine

    return compiled.encode_to_curve(engine.kernels(), data, ends, dst)


def _is_short(records: int) -> bool:
    if records < WORTH_COMPILING:
        return True
    from vsplit.kernels import engine

    return engine.choice().kind == "portable"
