"""Paillier's cipher on batches: encrypt, add, decrypt. Each function is pure and can be a piece of Work.

Plaintexts are uint8 [count, b] and ciphertexts uint8 [count, 2 b], where b is the modulus's length in bytes; each row is
a number, least significant byte first. The generator is 1 + n throughout, as in phe.
"""

from __future__ import annotations

from gmpy2 import gcd, mpz

from vsplit.paillier import arithmetic
from vsplit.paillier.keys import PrivateKey, PublicKey, key_bytes
from vsplit.protocol import Bytes, ProtocolError


def encrypt(key: PublicKey, plaintexts: Bytes, noise: Bytes) -> Bytes:
    """(1 + n)^m * noise modulo n^2 for each plaintext m < n; `noise` is fresh, one row for each (`vsplit.paillier.noise`).

    Raises ValueError for a plaintext that is not below n, or another number of rows of noise.
    """
    n = mpz(key.n)
    messages = arithmetic.numbers(plaintexts)
    if any(message >= n for message in messages):
        raise ValueError("a plaintext is not below the modulus")
    # (1 + n)^m is 1 + m n modulo n^2, by the binomial theorem.
    bare = [1 + message * n for message in messages]
    return _as_rows(key, arithmetic.multiply_mod(bare, arithmetic.numbers(noise), n * n))


def add(key: PublicKey, left: Bytes, right: Bytes) -> Bytes:
    """Ciphertexts of the sums of the plaintexts of `left` and `right`, row by row; their noise is that of both."""
    n = mpz(key.n)
    return _as_rows(key, arithmetic.multiply_mod(arithmetic.numbers(left), arithmetic.numbers(right), n * n))


def check_ciphertexts(key: PublicKey, ciphertexts: Bytes, count: int, sender: str) -> None:
    """Raise ProtocolError, which names `sender`, unless `ciphertexts` are `count` possible ciphertexts.

    Each must be above 0, below n^2 and without a factor in common with n.
    """
    n = mpz(key.n)
    if ciphertexts.shape != (count, 2 * key_bytes(key)):
        raise _bad(sender, f"an array of shape {ciphertexts.shape} where {count:,} ciphertexts were due")
    numbers = arithmetic.numbers(ciphertexts)
    square = n * n
    if any(not 0 < number < square for number in numbers):
        raise _bad(sender, "a ciphertext that is not between 0 and the square of the modulus")
    product = mpz(1)
    for number in numbers:  # The product has a factor in common with n exactly if one of the numbers has.
        product = product * number % n
    if gcd(product, n) != 1:
        raise _bad(sender, "a ciphertext that has a factor in common with the modulus")


def decrypt(key: PrivateKey, ciphertexts: Bytes) -> Bytes:
    """The plaintexts, uint8 [count, b], computed modulo both primes, each half as long (Paillier, section 7).

    The caller checks the ciphertexts first (`check_ciphertexts`).
    """
    numbers = arithmetic.numbers(ciphertexts)
    p, q, inverse = mpz(key.p), mpz(key.q), mpz(key.p_inverse)
    modulo_p = _half(numbers, p, mpz(key.hp))
    modulo_q = _half(numbers, q, mpz(key.hq))
    found = [a + p * ((b - a) * inverse % q) for a, b in zip(modulo_p, modulo_q, strict=True)]
    return arithmetic.rows(found, key_bytes(key.public_key))


def _half(numbers: list[mpz], prime: mpz, h: mpz) -> list[mpz]:
    square = prime * prime
    powers = arithmetic.power_mod_square([number % square for number in numbers], prime - 1, prime)
    # A power is 1 modulo the prime (Fermat), so the division has no remainder.
    return [(power - 1) // prime * h % prime for power in powers]


def _as_rows(key: PublicKey, numbers: list[mpz]) -> Bytes:
    return arithmetic.rows(numbers, 2 * key_bytes(key))


def _bad(sender: str, what: str) -> ProtocolError:
    return ProtocolError(
        sender,
        f"{sender} sent {what}; its program is another version, or the network has changed it. Nothing was trained on it.",
    )
