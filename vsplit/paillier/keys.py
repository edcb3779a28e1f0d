"""Key pairs: how the label party generates one, and what a feature party checks of the public key that it receives.

The classes are those of phe, so that its users know them and any key here also works there. The primes are generated here,
since the noise of SPEC.md, section 4, needs primes of a kind that phe's own generator returns one time in five.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from gmpy2 import gcd, is_power, is_prime, mpz, primorial

from vsplit.protocol import Bytes, ConfigError, ProtocolError

if TYPE_CHECKING:  # phe is imported only where a key is made, so that all else works without it
    from phe.paillier import PaillierPrivateKey, PaillierPublicKey

PublicKey: TypeAlias = "PaillierPublicKey"
PrivateKey: TypeAlias = "PaillierPrivateKey"

LEAST_BITS, MOST_BITS = 2048, 8192
"""Allowed lengths of a key. Below 2048 bits a modulus may be factored while the data still needs protection."""

_ROUNDS = 40  # GMP runs a Baillie-PSW test and then Miller-Rabin tests up to this count.
_SMALLEST, _SMALL = 1 << 10, 1 << 16
_APART = 100  # Fermat's method finds primes whose difference is this many bits shorter than they are at the most.


def phe_paillier() -> Any:
    """The module `phe.paillier`. Raises ConfigError where phe is not installed."""
    try:
        import phe.paillier
    except ImportError:
        raise ConfigError(
            "The job's model.aggregate is paillier_sum, which needs the package phe, and phe is not installed here: install "
            "it with pip install phe, or agree on another aggregation in the job; masked_sum needs no further package."
        ) from None
    return phe.paillier


def check_bits(bits: int) -> None:
    """Raise ConfigError unless keys of `bits` bits are allowed: 2048 to 8192, in steps of 64."""
    if not LEAST_BITS <= bits <= MOST_BITS or bits % 64:
        raise ConfigError(
            f"model.secure_sum.key_bits is {bits}, but a Paillier key has {LEAST_BITS} to {MOST_BITS} bits, a multiple of 64: "
            "shorter keys can be broken. 3072 is the default."
        )


def generate(bits: int, random_bytes: Callable[[int], bytes]) -> PrivateKey:
    """A fresh private key, whose `public_key` has a modulus n = p q of exactly `bits` bits.

    Both primes are 3 modulo 4, have bits / 2 bits, and neither (p - 1) / 2 nor (q - 1) / 2 has a factor below 65,536;
    gcd(p - 1, q - 1) is 2. `random_bytes(k)` returns k bytes that no other party can know; for which k it is called, and how
    often, depends on chance. Raises ConfigError for a length that is not allowed.
    """
    check_bits(bits)
    phe = phe_paillier()
    p = _prime(bits // 2, random_bytes)
    while True:
        q = _prime(bits // 2, random_bytes)
        if gcd(p - 1, q - 1) == 2 and abs(p - q).bit_length() > bits // 2 - _APART:
            return phe.PaillierPrivateKey(phe.PaillierPublicKey(int(p * q)), int(p), int(q))


def public_bytes(key: PublicKey) -> Bytes:
    """The public key as it is sent: its modulus, uint8 [bits / 8], least significant byte first."""
    return np.frombuffer(key.n.to_bytes(key_bytes(key), "little"), dtype=np.uint8)


def read_public(raw: Bytes, bits: int, sender: str) -> PublicKey:
    """The public key that `sender` sent as `raw`, uint8 [bits / 8], of the length that the job asks for.

    Raises ProtocolError, which names the sender, for a modulus of another length, and for one that no generator of
    section 2 of SPEC.md returns: even, not 1 modulo 4, with a factor below 65,536, prime, or the power of a number.
    That n has exactly two large prime factors, and of the right kind, can be checked only by its owner.
    """
    check_bits(bits)
    n = mpz.from_bytes(raw.tobytes(), "little")
    if raw.shape != (bits // 8,):
        raise _bad(sender, f"came as {len(raw):,} bytes where a key of {bits:,} bits has {bits // 8:,}")
    if n.bit_length() != bits:
        raise _bad(sender, f"has {n.bit_length():,} bits where the job asks for {bits:,}")
    if n % 4 != 1:  # p and q are 3 modulo 4, so their product is 1.
        raise _bad(sender, "is not the product of two primes that are 3 modulo 4")
    if gcd(n, _primes_below(_SMALL)) != 1:
        raise _bad(sender, "has a small factor")
    if is_prime(n) or is_power(n):
        raise _bad(sender, "is a prime or the power of a number, so that anybody could decrypt with it")
    return phe_paillier().PaillierPublicKey(int(n))


def key_bytes(key: PublicKey) -> int:
    """How many bytes the modulus has, and a plaintext; a ciphertext has twice as many."""
    length: int = key.n.bit_length()
    return -(-length // 8)


def _prime(bits: int, random_bytes: Callable[[int], bytes]) -> mpz:
    # The two highest bits are set so that a product of two such primes has exactly twice as many bits; the two lowest
    # make the number 3 modulo 4. All others are drawn for each candidate, so that all primes are equally likely.
    fixed = mpz(3) << (bits - 2) | 3
    while True:
        candidate = mpz.from_bytes(random_bytes(bits // 8), "little") | fixed
        half = candidate >> 1  # (candidate - 1) / 2
        # Most candidates have a factor among the smallest primes, whose test takes a hundredth of the time of all small ones.
        few = all(gcd(number, _primes_below(_SMALLEST)) == 1 for number in (candidate, half))
        if few and gcd(half, _primes_below(_SMALL)) == 1 and is_prime(candidate, _ROUNDS):
            return candidate


@cache
def _primes_below(bound: int) -> mpz:
    """The product of all odd primes below `bound`."""
    return primorial(bound - 1) // 2


def _bad(sender: str, what: str) -> ProtocolError:
    return ProtocolError(
        sender,
        f"The Paillier key of {sender} {what}; its program is another version, or it does not follow the protocol, ask "
        "there.",
    )
