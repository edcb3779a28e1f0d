"""Keys: what is generated, and what a receiver refuses."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Iterator

import gmpy2
import numpy as np
import pytest
from phe.paillier import PaillierPrivateKey, PaillierPublicKey

from vsplit.paillier import keys
from vsplit.paillier.keys import PrivateKey, PublicKey
from vsplit.protocol import Bytes, ConfigError, ProtocolError


def raw(number: int, size: int = 256) -> Bytes:
    return np.frombuffer(number.to_bytes(size, "little"), dtype=np.uint8)


def prime(bits: int, remainder: int, seed: str) -> int:
    """A prime of exactly `bits` bits, with its two highest set, that leaves this remainder modulo 4."""
    found = gmpy2.mpz(random.Random(seed).getrandbits(bits) | 3 << (bits - 2))
    while True:
        found = gmpy2.next_prime(found)
        if found % 4 == remainder:
            return int(found)


@pytest.mark.parametrize(("bits", "seed"), [(2048, "one"), (2048, "two"), (2112, "three"), (3072, "four")])
def test_a_key_is_of_the_kind_that_short_noise_needs(bits: int, seed: str) -> None:
    key = keys.generate(bits, random.Random(seed).randbytes)
    assert isinstance(key, PaillierPrivateKey)
    assert isinstance(key.public_key, PaillierPublicKey)
    n, p, q = key.public_key.n, int(key.p), int(key.q)
    assert n == p * q
    assert n.bit_length() == bits
    assert p.bit_length() == q.bit_length() == bits // 2
    assert p % 4 == q % 4 == 3
    assert math.gcd(p - 1, q - 1) == 2
    assert math.gcd(n, (p - 1) * (q - 1)) == 1
    assert gmpy2.is_prime(p)
    assert gmpy2.is_prime(q)
    assert all(math.gcd(n // 2, int(gmpy2.primorial(65_535))) == 1 for n in (p, q))
    assert keys.read_public(keys.public_bytes(key.public_key), bits, "clinic") == key.public_key


def test_a_key_depends_on_the_entropy_alone(private: PrivateKey) -> None:
    assert keys.generate(2048, random.Random("a key for tests").randbytes) == private
    assert keys.generate(2048, random.Random("another").randbytes) != private


def test_primes_that_share_a_factor_below_themselves_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    p, close = prime(1024, 3, "p"), prime(1024, 3, "close")
    # 7 divides both p - 1 and shared - 1, besides 2.
    p = next(n for n in iterate(p) if n % 7 == 1)
    shared = next(n for n in iterate(close) if n % 7 == 1)
    good = next(n for n in iterate(close) if math.gcd(n - 1, p - 1) == 2)
    near = next(n for n in iterate(p) if math.gcd(n - 1, p - 1) == 2)
    drawn = iter([p, shared, near, p, good])
    monkeypatch.setattr(keys, "_prime", lambda _bits, _entropy: gmpy2.mpz(next(drawn)))
    made = keys.generate(2048, random.Random(0).randbytes)
    assert made.public_key.n == p * good


def iterate(start: int) -> Iterator[int]:
    found = gmpy2.mpz(start)
    while True:
        found = gmpy2.next_prime(found)
        if found % 4 == 3:
            yield int(found)


@pytest.mark.parametrize("bits", [0, 1024, 2047, 2049, 2050, 8256, -2048])
def test_a_length_that_is_not_allowed_is_refused(bits: int) -> None:
    with pytest.raises(ConfigError, match=r"key_bits is .*2048 to 8192"):
        keys.generate(bits, random.Random(0).randbytes)
    with pytest.raises(ConfigError):
        keys.read_public(raw(1), bits, "clinic")


def refused(n: int, why: str, bits: int = 2048) -> None:
    with pytest.raises(ProtocolError, match=why) as caught:
        keys.read_public(raw(n), bits, "clinic")
    assert caught.value.peer == "clinic"
    assert "clinic" in str(caught.value)


def test_a_modulus_of_another_length_is_refused(public: PublicKey) -> None:
    refused(public.n >> 1, "has 2,047 bits where the job asks for 2,048")
    refused(0, "has 0 bits")
    refused(public.n, "came as 256 bytes where a key of 3,072 bits has 384", bits=3072)
    with pytest.raises(ProtocolError):
        keys.read_public(raw(public.n, 257), 2048, "clinic")
    with pytest.raises(ProtocolError):
        keys.read_public(raw(public.n).reshape(2, 128), 2048, "clinic")


def test_a_modulus_that_no_generator_makes_is_refused(public: PublicKey) -> None:
    refused(public.n - 1, "3 modulo 4")  # even
    refused(prime(1024, 1, "p") * prime(1024, 3, "q"), "3 modulo 4")
    refused(prime(2048, 1, "p"), "is a prime or the power")
    refused(prime(1024, 3, "p") ** 2, "is a prime or the power")
    refused(prime(512, 3, "p") ** 4, "is a prime or the power")


@pytest.mark.parametrize("factor", [3, 7, 251, 65_521])
def test_a_small_factor_is_found_wherever_it_stands(factor: int) -> None:
    rest = (1 << 2047) // factor + random.Random(factor).getrandbits(2000)
    while rest * factor % 4 != 1:
        rest += 1
    refused(rest * factor, "has a small factor")


def test_keys_travel_to_workers_and_show_nothing_of_themselves(private: PrivateKey) -> None:
    assert pickle.loads(pickle.dumps(private)) == private
    assert str(private.p) not in repr(private)
    assert str(private.public_key.n) not in repr(private)


def test_a_key_is_sent_least_significant_byte_first(public: PublicKey) -> None:
    assert keys.public_bytes(public).tobytes() == public.n.to_bytes(256, "little")
    assert keys.key_bytes(public) == 256
