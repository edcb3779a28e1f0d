"""The cipher, beside phe as an independent implementation, and what is refused."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st
from phe.paillier import PaillierPublicKey

from vsplit.paillier import arithmetic, cipher, noise
from vsplit.paillier.keys import PrivateKey, PublicKey
from vsplit.protocol import Bytes, ProtocolError


def rows(numbers: list[int], width: int = 512) -> Bytes:
    return arithmetic.rows([mpz(number) for number in numbers], width)


def integers(found: Bytes) -> list[int]:
    return [int(number) for number in arithmetic.numbers(found)]


def some_noise(public: PublicKey, count: int, seed: object = 0) -> Bytes:
    secrets = noise.draw_secrets(public, "short", count, random.Random(repr(seed)).randbytes)
    return noise.short_noise(noise.noise_table(public), secrets)


def messages(public: PublicKey) -> list[int]:
    rng = random.Random(3)
    return [0, 1, 2, public.n - 1, public.n >> 1, 1 << 2046, *(rng.randrange(public.n) for _ in range(3))]


def test_phe_decrypts_ours_and_we_decrypt_phes(public: PublicKey, private: PrivateKey) -> None:
    plain = messages(public)
    ours = cipher.encrypt(public, rows(plain, 256), some_noise(public, len(plain)))
    assert [private.raw_decrypt(number) for number in integers(ours)] == plain
    theirs = rows([public.raw_encrypt(message) for message in plain])
    assert integers(cipher.decrypt(private, theirs)) == plain
    assert integers(cipher.decrypt(private, ours)) == plain
    both = cipher.add(public, ours, theirs)
    wanted = [2 * message % public.n for message in plain]
    assert integers(cipher.decrypt(private, both)) == wanted
    assert [private.raw_decrypt(number) for number in integers(both)] == wanted


def test_we_encrypt_to_the_same_number_as_phe_with_the_same_randomness(public: PublicKey) -> None:
    plain = messages(public)
    secrets = noise.draw_secrets(public, "full", len(plain), random.Random(4).randbytes)
    ours = cipher.encrypt(public, rows(plain, 256), noise.full_noise(public, secrets))
    drawn = [number % public.n for number in integers(secrets)]
    assert integers(ours) == [public.raw_encrypt(m, r_value=r) for m, r in zip(plain, drawn, strict=True)]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_ciphertext_decrypts_as_phe_decrypts_it(public: PublicKey, private: PrivateKey, seed: int) -> None:
    rng = random.Random(seed)
    found = [rng.randrange(1, public.nsquare), 1, public.nsquare - 1, 1 + public.n]
    assert integers(cipher.decrypt(private, rows(found))) == [private.raw_decrypt(number) for number in found]


def test_rerandomising_changes_every_ciphertext_and_no_plaintext(public: PublicKey, private: PrivateKey) -> None:
    before = cipher.encrypt(public, rows([5, 6], 256), some_noise(public, 2))
    after = cipher.add(public, before, some_noise(public, 2, "other"))
    assert not set(integers(before)) & set(integers(after))
    assert integers(cipher.decrypt(private, after)) == [5, 6]


def test_empty_batches(public: PublicKey, private: PrivateKey) -> None:
    nothing = np.zeros((0, 256), dtype=np.uint8)
    assert cipher.encrypt(public, nothing, some_noise(public, 0)).shape == (0, 512)
    assert cipher.decrypt(private, rows([])).shape == (0, 256)
    cipher.check_ciphertexts(public, rows([]), 0, "lab")


def test_a_plaintext_that_is_too_large_and_missing_noise_are_faults_of_the_program(public: PublicKey) -> None:
    with pytest.raises(ValueError, match="not below the modulus"):
        cipher.encrypt(public, rows([public.n], 256), some_noise(public, 1))
    with pytest.raises(ValueError, match="zip"):
        cipher.encrypt(public, rows([1, 2], 256), some_noise(public, 1))


def test_what_can_be_a_ciphertext_is_let_through(public: PublicKey) -> None:
    cipher.check_ciphertexts(public, rows([1, public.nsquare - 1, 1 + public.n]), 3, "lab")


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("kind", ["zero", "square", "more", "largest", "n", "p", "multiple of q", "p squared"])
def test_what_cannot_be_a_ciphertext_names_its_sender(
    public: PublicKey, private: PrivateKey, kind: str, place: int
) -> None:
    p, q = int(private.p), int(private.q)
    bad = {
        "zero": 0,
        "square": public.nsquare,
        "more": public.nsquare + 1,
        "largest": (1 << 4096) - 1,
        "n": public.n,
        "p": p,
        "multiple of q": q * 12345,
        "p squared": p * p,
    }[kind]
    found = [7, 8, 9]
    found[place] = bad
    with pytest.raises(ProtocolError, match=r"not between 0 and|a factor in common") as caught:
        cipher.check_ciphertexts(public, rows(found), 3, "lab")
    assert caught.value.peer == "lab"
    assert all(len(word) < 20 for word in str(caught.value).split())  # no number of the key or the message


def test_two_that_would_be_coprime_together_are_still_refused(public: PublicKey, private: PrivateKey) -> None:
    with pytest.raises(ProtocolError, match="a factor in common"):
        cipher.check_ciphertexts(public, rows([int(private.p), int(private.q)]), 2, "lab")


@pytest.mark.parametrize("shape", [(2, 512), (4, 512), (3, 511), (3, 513), (3, 256), (1536,), (3, 512, 1)])
def test_another_shape_is_refused(public: PublicKey, shape: tuple[int, ...]) -> None:
    with pytest.raises(ProtocolError, match="where 3 ciphertexts were due"):
        cipher.check_ciphertexts(public, np.ones(shape, dtype=np.uint8), 3, "lab")


def test_a_changed_bit_ends_as_another_plaintext_all_over(public: PublicKey, private: PrivateKey) -> None:
    """A bit changed in a ciphertext makes a plaintext that no packed sum is like; `Packing.unpack` finds it."""
    made = cipher.encrypt(public, rows([1], 256), some_noise(public, 1)).copy()
    made[0, 3] ^= 4
    found = integers(cipher.decrypt(private, made))[0]
    assert found.bit_length() > 2000


def test_pieces_of_work_travel(public: PublicKey, private: PrivateKey) -> None:
    found = some_noise(public, 1)
    for piece in ((public, rows([1], 256), found), (private, found), (noise.noise_table(public), found[:, :128])):
        again = pickle.loads(pickle.dumps(piece))
        assert again[0] == piece[0]
        assert (again[1] == piece[1]).all()
    for function in (cipher.encrypt, cipher.add, cipher.decrypt, noise.short_noise, noise.full_noise):
        assert pickle.loads(pickle.dumps(function)) is function


def test_the_key_of_another_decrypts_to_something_else(public: PublicKey) -> None:
    other = PaillierPublicKey(public.n + 4)
    assert integers(cipher.add(other, rows([2]), rows([3]))) == [6]
