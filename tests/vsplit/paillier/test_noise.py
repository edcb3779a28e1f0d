"""Noise: what it is made from, that it is what SPEC.md says, and that none serves twice."""

from __future__ import annotations

import copy
import hashlib
import math
import pickle
import random

import gmpy2
import numpy as np
import pytest
from phe.paillier import PaillierPublicKey

from vsplit.paillier import noise
from vsplit.paillier.keys import PrivateKey, PublicKey
from vsplit.paillier.noise import Kind, Noise, ReusedNoiseError
from vsplit.protocol import Bytes, LocalError


def integers(rows: Bytes) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def expanded(message: bytes, tag: bytes, length: int) -> bytes:
    """expand_message_xmd of RFC 9380 with SHA-512, written down a second time."""
    ending = tag + bytes([len(tag)])
    start = hashlib.sha512(bytes(128) + message + length.to_bytes(2, "big") + b"\0" + ending).digest()
    out = [hashlib.sha512(start + b"\1" + ending).digest()]
    while 64 * len(out) < length:
        mixed = bytes(a ^ b for a, b in zip(start, out[-1], strict=True))
        out.append(hashlib.sha512(mixed + bytes([len(out) + 1]) + ending).digest())
    return b"".join(out)[:length]


def test_the_base_follows_from_the_modulus_alone(public: PublicKey, private: PrivateKey) -> None:
    h, n = int(noise.hashed_base(public)), public.n
    x = int.from_bytes(expanded(n.to_bytes(256, "big"), b"vsplit-paillier-v1 base of the noise", 272), "big")
    assert h == -x * x % n
    assert gmpy2.jacobi(h, n) == 1
    # Minus a square is no square modulo a prime that is 3 modulo 4: h has a part of order two, as the paper wants.
    assert gmpy2.jacobi(h, int(private.p)) == gmpy2.jacobi(h, int(private.q)) == -1
    assert noise.hashed_base(PaillierPublicKey(n + 4)) != h


def test_a_modulus_that_its_hash_factors_is_refused() -> None:
    """Of the moduli that are products of many small primes, some share one with their hash."""
    with pytest.raises(ValueError, match="shares a factor"):
        for k in range(100):
            noise.hashed_base(PaillierPublicKey(3 * 5 * 7 * 11 * (2 * k + 1)))


def test_short_noise_is_a_power_of_the_base(public: PublicKey) -> None:
    n, table = public.n, noise.noise_table(public)
    secrets = noise.draw_secrets(public, "short", 3, random.Random(0).randbytes)
    assert secrets.shape == (3, 128)  # half the length of n, as in the paper
    h = int(noise.hashed_base(public))
    found = noise.short_noise(table, secrets)
    assert found.shape == (3, 512)
    assert integers(found) == [pow(h, n * a, n * n) for a in integers(secrets)]
    assert noise.noise_table(public) is table


def test_full_noise_is_a_power_of_a_uniform_number(public: PublicKey) -> None:
    n = public.n
    secrets = noise.draw_secrets(public, "full", 2, random.Random(0).randbytes)
    assert secrets.shape == (2, 272)
    assert integers(noise.full_noise(public, secrets)) == [pow(r % n, n, n * n) for r in integers(secrets)]
    with pytest.raises(ValueError, match="shares a factor"):
        noise.full_noise(public, np.zeros((1, 272), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["short", "full"])
def test_entropy_is_asked_for_once_and_all_of_it_is_used(public: PublicKey, kind: Kind) -> None:
    asked = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return random.Random(5).randbytes(size)

    secrets = noise.draw_secrets(public, kind, 4, entropy)
    assert asked == [4 * noise.secret_bytes(public, kind)]
    assert len(set(integers(secrets))) == 4


def test_noise_is_a_ciphertext_of_zero(public: PublicKey, private: PrivateKey) -> None:
    table = noise.noise_table(public)
    short = noise.short_noise(table, noise.draw_secrets(public, "short", 2, random.Random(1).randbytes))
    full = noise.full_noise(public, noise.draw_secrets(public, "full", 1, random.Random(1).randbytes))
    for number in [*integers(short), *integers(full)]:
        assert private.raw_decrypt(number) == 0
        assert math.gcd(number, public.n) == 1
        assert number != 1


def test_noise_is_taken_once() -> None:
    rows = np.ones((3, 8), dtype=np.uint8)
    once = Noise(rows)
    assert once.count == 3
    assert once.take() is rows
    for _ in range(2):
        with pytest.raises(ReusedNoiseError, match="would reveal their difference"):
            once.take()
    assert issubclass(ReusedNoiseError, LocalError)


def test_noise_cannot_be_doubled_and_shows_nothing() -> None:
    once = Noise(np.full((2, 8), 77, dtype=np.uint8))
    for double in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            double(once)
    assert repr(once) == "<Noise for 2 ciphertexts>"
    once.take()
    assert repr(once) == "<Noise for 2 ciphertexts, used>"
