"""The curve: hashing keys to Curve25519, and multiplying points by a secret; the package's only curve arithmetic.

A point is known by its u-coordinate alone, 32 bytes, little endian, as in RFC 7748; n points are a uint8 array of
shape [n, 32]. Hashing follows RFC 9380, encode_to_curve with the suite curve25519_XMD:SHA-512_ELL2_NU_, with field
arithmetic from gmpy2. Multiplication is X25519 of `cryptography`, which is OpenSSL's. Every function here is pure and
importable by name, so that it may run in a worker process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from gmpy2 import invert, legendre, mpz

from vsplit.protocol import Bytes

DST = b"vsplit-psi-v1-curve25519_XMD:SHA-512_ELL2_NU_"
"""The domain separation tag: the protocol's name and version, and the suite (RFC 9380, section 3.1)."""

POINT = 32
"""Bytes of a point."""

_P = mpz(2) ** 255 - 19
_J = mpz(486662)  # the curve is y^2 = x^3 + J x^2 + x
_J2 = _J * _J
_A24 = 121665  # (J - 2) / 4, for doubling
_FIELD_BYTES = 48  # L = ceil((255 + 128) / 8), RFC 9380, section 5
_AFTER_Z_PAD = hashlib.sha512(bytes(128))  # b_0 starts with one block of zeros, the same for every message

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

    A role draws one for each pair of parties and each run, and never hands it out, so that it cannot be used twice.
    """

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) != POINT:
            raise ValueError(f"a scalar has {POINT} bytes, not {len(self.value)}")

    @classmethod
    def draw(cls, random_bytes: Callable[[int], bytes]) -> Scalar:
        """A fresh scalar from `random_bytes(n)`, which returns n bytes that nobody else can know."""
        return cls(random_bytes(POINT))


def expand_message_xmd(message: bytes, dst: bytes, length: int) -> bytes:
    """`length` uniform bytes from `message`: expand_message_xmd with SHA-512 (RFC 9380, section 5.3.1).

    Raises ValueError for a tag over 255 bytes, an empty tag, or more than 255 blocks.
    """
    blocks = -(-length // 64)
    if not 0 < len(dst) <= 255 or not 0 < blocks <= 255:
        raise ValueError("a domain separation tag has 1 to 255 bytes, and an expansion 1 to 16,320")
    dst_prime = dst + bytes([len(dst)])
    start = _AFTER_Z_PAD.copy()
    start.update(message + length.to_bytes(2, "big") + b"\x00" + dst_prime)
    first = start.digest()
    block = hashlib.sha512(first + b"\x01" + dst_prime).digest()
    if blocks == 1:
        return block[:length]
    out = [block]
    for number in range(2, blocks + 1):
        mixed = bytes(x ^ y for x, y in zip(first, out[-1], strict=True))
        out.append(hashlib.sha512(mixed + bytes([number]) + dst_prime).digest())
    return b"".join(out)[:length]


def hash_to_field(message: bytes, dst: bytes = DST) -> mpz:
    """One element of the field from `message` (RFC 9380, section 5.2, with count 1)."""
    return mpz.from_bytes(expand_message_xmd(message, dst, _FIELD_BYTES), "big") % _P


def map_to_curve(element: mpz) -> tuple[mpz, mpz]:
    """Elligator 2 (RFC 9380, section 6.7.1, with Z = 2), the u-coordinate alone, as (numerator, denominator).

    The denominator d = 1 + 2 element^2 is never zero, since -1 is a square of the field and 2 is none. Of the two
    candidates -J / d and J / d - J exactly one is on the curve; the Legendre symbol of g(first) * d^4 says which.
    """
    d = (2 * element * element + 1) % _P
    if legendre(-_J * d * (_J2 - _J2 * d + d * d), _P) == 1:
        return -_J, d
    return _J - _J * d, d


def clear_cofactor(x: mpz, z: mpz) -> tuple[mpz, mpz]:
    """Eight times the point with u-coordinate x / z, as a fraction; the neutral element has denominator 0 mod p.

    Three doublings with the formula of RFC 7748, section 5.
    """
    for _ in range(3):
        added, taken = x + z, x - z
        aa, bb = added * added % _P, taken * taken % _P
        e = aa - bb
        x, z = aa * bb % _P, e * (aa + _A24 * e) % _P
    return x, z


def encode_to_curve(messages: Sequence[bytes], dst: bytes = DST) -> Bytes:
    """The points that `messages` hash to: encode_to_curve of RFC 9380, section 3, u-coordinates, uint8 [n, 32].

    One inversion serves all messages (Montgomery's trick), so hand over a few thousand at a time. A message that hashed
    to the neutral element would have u = 0, as X25519 has it; none is known, and `multiply` would refuse it.
    """
    numerators, denominators, products = [], [], [mpz(1)]
    for message in messages:
        x, z = clear_cofactor(*map_to_curve(hash_to_field(message, dst)))
        if z == 0:
            x, z = mpz(0), mpz(1)
        numerators.append(x)
        denominators.append(z)
        products.append(products[-1] * z % _P)
    inverse = invert(products.pop(), _P)
    out = []
    while numerators:
        u = numerators.pop() * (inverse * products.pop() % _P) % _P
        inverse = inverse * denominators.pop() % _P
        out.append(u.to_bytes(POINT, "little"))
    return _as_points(reversed(out))


def multiply(scalar: Scalar, points: Bytes) -> Bytes:
    """X25519 of `scalar` with each of `points`, uint8 [n, 32] in and out (RFC 7748, section 5).

    Raises ValueError if a point has low order, so that its product would be zero whatever the scalar.
    """
    secret = X25519PrivateKey.from_private_bytes(scalar.value)
    raw = np.ascontiguousarray(points).tobytes()
    try:
        return _as_points(
            secret.exchange(X25519PublicKey.from_public_bytes(raw[at : at + POINT])) for at in range(0, len(raw), POINT)
        )
    except ValueError:
        raise ValueError("a point has low order: its product is zero whatever the scalar") from None


def check_points(points: Bytes) -> None:
    """Raise ValueError unless every one of `points`, uint8 [n, 32], is canonical and of large order.

    Canonical: the number is below the field's prime, so that one point has one form. Points on the twist pass; SPEC.md
    says why they are harmless here.
    """
    words = np.ascontiguousarray(points).view("<u8")
    full = np.uint64(2**64 - 1)
    near_top = (words[:, 1] == full) & (words[:, 2] == full) & (words[:, 3] == np.uint64(2**63 - 1))
    if (words[:, 3] >> np.uint64(63)).any() or (near_top & (words[:, 0] >= np.uint64(2**64 - 19))).any():
        raise ValueError("a point that is not in canonical form")
    for low in _LOW_ORDER:
        if (words == np.frombuffer(low.to_bytes(POINT, "little"), dtype="<u8")).all(axis=1).any():
            raise ValueError("a point of low order")


def _as_points(rows: Iterable[bytes]) -> Bytes:
    return np.frombuffer(bytearray().join(rows), dtype=np.uint8).reshape(-1, POINT)
