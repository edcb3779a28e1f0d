"""The portable twin of the curve's kernels: X25519 of `cryptography`, which is OpenSSL's, and gmpy2 for the field.

It serves CPUs that the kernels cannot run on, short lists, for which compiling takes longer, and the tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from gmpy2 import invert, legendre, mpz

from vsplit.protocol import Bytes

POINT = 32
"""Bytes of a point."""

_P = mpz(2) ** 255 - 19
_J = mpz(486662)  # the curve is y^2 = x^3 + J x^2 + x
_J2 = _J * _J
_A24 = 121665  # (J - 2) / 4, for doubling
_FIELD_BYTES = 48  # L = ceil((255 + 128) / 8), RFC 9380, section 5
_AFTER_Z_PAD = hashlib.sha512(bytes(128))  # b_0 starts with one block of zeros, the same for every message


def multiply(scalar: bytes, points: Bytes) -> Bytes:
    """X25519 of `scalar` (32 bytes) with each of `points`, uint8 [n, 32]; zero for a point of low order."""
    secret = X25519PrivateKey.from_private_bytes(scalar)
    raw = np.ascontiguousarray(points).tobytes()
    return _as_points(_exchange(secret, raw[at : at + POINT]) for at in range(0, len(raw), POINT))


def encode_to_curve(messages: Iterable[bytes], dst: bytes) -> Bytes:
    """encode_to_curve of RFC 9380, section 3, with curve25519_XMD:SHA-512_ELL2_NU_, u-coordinates, uint8 [n, 32].

    One inversion serves all messages (Montgomery's trick). Zero for a message that hashes to the neutral element.
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


def hash_to_field(message: bytes, dst: bytes) -> mpz:
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


def _exchange(secret: X25519PrivateKey, point: bytes) -> bytes:
    try:
        return secret.exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:  # OpenSSL refuses a product that is zero.
        return bytes(POINT)


def _as_points(rows: Iterable[bytes]) -> Bytes:
    return np.frombuffer(bytearray().join(rows), dtype=np.uint8).reshape(-1, POINT)
