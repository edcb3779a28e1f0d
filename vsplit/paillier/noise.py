"""The random part of ciphertexts, generated in advance; each piece of this noise is used once.

SPEC.md, section 4: *short* noise is h^(n a) for a base h that every party derives from n and a secret a of half n's length
(Damgård, Jurik and Nielsen), computed with a table; *full* noise is r^n for a uniform r, which takes many times as long and
needs no assumption beyond Paillier's. Either is a uint8 [count, 2 * key bytes].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NoReturn

import numpy as np
from gmpy2 import gcd, mpz, powmod

from vsplit.kernels.montgomery import FixedBase, fixed_base
from vsplit.kernels.portable import expand_message_xmd
from vsplit.paillier import arithmetic
from vsplit.paillier.keys import PublicKey, key_bytes
from vsplit.protocol import Bytes, LocalError

Kind = Literal["short", "full"]

_TAG = b"vsplit-paillier-v1 base of the noise"
_SPARE = 16
"""Bytes by which hashed or drawn numbers are longer than n, so that n divides them evenly up to 2^-128."""


class BadModulusError(ValueError):
    """A drawn or hashed number shares a factor with the modulus, which cannot happen with two large primes."""


class ReusedNoiseError(LocalError):
    """Noise was about to encrypt a second plaintext, which would reveal the difference of the two."""


class Noise:
    """Noise for one batch, uint8 [count, 2 * key bytes], that can be taken once; neither copied nor pickled."""

    __slots__ = ("_rows", "count")

    def __init__(self, rows: Bytes) -> None:
        self._rows: Bytes | None = rows
        self.count = len(rows)

    def take(self) -> Bytes:
        """All rows. Raises ReusedNoiseError when they were taken before."""
        if self._rows is None:
            raise ReusedNoiseError(
                "Noise that was used for one batch was requested for another, which would reveal their difference: this is a "
                "fault of the program; nothing was sent."
            )
        rows, self._rows = self._rows, None
        return rows

    def __reduce__(self) -> NoReturn:
        raise TypeError("noise is neither copied nor pickled: it must not be used twice")

    def __repr__(self) -> str:
        return f"<Noise for {self.count} ciphertexts{'' if self._rows is not None else ', used'}>"


def secret_bytes(key: PublicKey, kind: Kind) -> int:
    """Bytes of entropy for the noise of one ciphertext."""
    return -(-key_bytes(key) // 2) if kind == "short" else key_bytes(key) + _SPARE


def draw_secrets(key: PublicKey, kind: Kind, count: int, random_bytes: Callable[[int], bytes]) -> Bytes:
    """Fresh secrets for the noise of `count` ciphertexts, uint8 [count, secret_bytes]; never used twice, never stored."""
    size = secret_bytes(key, kind)
    return np.frombuffer(random_bytes(count * size), dtype=np.uint8).reshape(count, size)


def hashed_base(key: PublicKey) -> mpz:
    """h = -x^2 mod n, where x is n hashed to a number below n; so no party, the key's owner included, has chosen it."""
    n, size = mpz(key.n), key_bytes(key)
    x = mpz.from_bytes(expand_message_xmd(n.to_bytes(size, "big"), _TAG, size + _SPARE), "big") % n
    if gcd(x, n) != 1:
        raise BadModulusError("the hash of the modulus shares a factor with it")
    return -x * x % n


def noise_table(key: PublicKey) -> FixedBase:
    """The table for short noise under this key: powers of h^n modulo n^2. Takes a second, some tens of megabytes.

    It is computed once in a process; later calls return the same. Pickled, it is as small as the key.
    """
    n = mpz(key.n)
    return fixed_base(int(n), int(powmod(hashed_base(key), n, n * n)), secret_bytes(key, "short"))


def short_noise(table: FixedBase, secrets: Bytes) -> Bytes:
    """h^(n a) modulo n^2 for each secret a, uint8 [count, secret_bytes]. A piece of Work."""
    return arithmetic.rows(arithmetic.fixed_base_power(table, secrets), -(-table.n.bit_length() // 8))


def full_noise(key: PublicKey, secrets: Bytes) -> Bytes:
    """r^n modulo n^2, with r each secret modulo n, uint8 [count, secret_bytes]. A piece of Work."""
    n = mpz(key.n)
    uniform = [number % n for number in arithmetic.numbers(secrets)]
    # A number that shares a factor with n, zero included, would factor n: this is as unlikely as guessing a prime of it.
    if any(gcd(number, n) != 1 for number in uniform):
        raise BadModulusError("drawn noise shares a factor with the modulus")
    return arithmetic.rows(arithmetic.power_mod_square(uniform, n, n), 2 * key_bytes(key))
