"""Curve operations: hashing keys to Curve25519, multiplying points by a secret, and the checks on a peer's points.

A point is represented by its u-coordinate alone, 32 bytes, little endian, as in RFC 7748; n points are a uint8 array of
shape [n, 32]. Hashing follows RFC 9380, encode_to_curve with the suite curve25519_XMD:SHA-512_ELL2_NU_. The arithmetic is
that of `vsplit.kernels.curve25519`. Every function here is pure and importable by name, so that it may run in a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from psi.keys import KeyList
from vsplit.kernels import curve25519
from vsplit.protocol import Bytes

DST = b"vsplit-psi-v1-curve25519_XMD:SHA-512_ELL2_NU_"
"""The domain separation tag: the protocol's name and version, and the suite (RFC 9380, section 3.1)."""

POINT = curve25519.POINT
"""Bytes of a point."""

# The canonical u-coordinates of points of order 1, 2, 4 and 8 on the curve and of order 1, 2 and 4 on its twist.
_LOW_ORDER = (
    0,
    1,
    2**255 - 20,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A secret exponent, 32 bytes, clamped by X25519 (RFC 7748, section 5).

    A role draws one for each run and never returns it, so that it cannot be used twice.
    """

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) != POINT:
            raise ValueError(f"a scalar has {POINT} bytes, not {len(self.value)}")

    @classmethod
    def draw(cls, random_bytes: Callable[[int], bytes]) -> Scalar:
        """A fresh scalar from `random_bytes(n)`, which returns n bytes that no other party can know."""
        return cls(random_bytes(POINT))


def encode_to_curve(keys: KeyList, dst: bytes = DST) -> Bytes:
    """The points that `keys` hash to: encode_to_curve of RFC 9380, section 3, u-coordinates, uint8 [n, 32].

    A key that hashed to the neutral element would have u = 0, as in X25519; none is known, and `multiply` would refuse it.
    """
    packed = keys.packed()
    return curve25519.encode_to_curve(packed.data, packed.ends, dst)


def multiply(scalar: Scalar, points: Bytes) -> Bytes:
    """X25519 of `scalar` with each of `points`, uint8 [n, 32] in and out (RFC 7748, section 5).

    Raises ValueError if a point has low order, so that its product would be zero whatever the scalar.
    """
    products = curve25519.multiply(scalar.value, points)
    if not products.any(axis=1).all():
        raise ValueError("a point has low order: its product is zero whatever the scalar")
    return products


def check_points(points: Bytes) -> None:
    """Raise ValueError unless every one of `points`, uint8 [n, 32], is canonical and of large order.

    Canonical: the number is below the field's prime, so that one point has one form. Points on the twist pass; SPEC.md
    explains why they are harmless here.
    """
    words = np.ascontiguousarray(points).view("<u8")
    full = np.uint64(2**64 - 1)
    near_top = (words[:, 1] == full) & (words[:, 2] == full) & (words[:, 3] == np.uint64(2**63 - 1))
    if (words[:, 3] >> np.uint64(63)).any() or (near_top & (words[:, 0] >= np.uint64(2**64 - 19))).any():
        raise ValueError("a point that is not in canonical form")
    for low in _LOW_ORDER:
        if (words == np.frombuffer(low.to_bytes(POINT, "little"), dtype="<u8")).all(axis=1).any():
            raise ValueError("a point of low order")
