"""The batch operations equal Python's own, on random numbers and at the edges."""

from __future__ import annotations

import random

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from vsplit.kernels.montgomery import fixed_base
from vsplit.paillier import arithmetic

MODULUS = random.Random(0).getrandbits(512) | 1 << 511 | 1
sizes = st.integers(1, 600)


@settings(max_examples=40, deadline=None)
@given(bits=sizes, count=st.integers(0, 9), seed=st.integers(0, 2**32))
def test_products_and_powers_are_pythons(bits: int, count: int, seed: int) -> None:
    rng = random.Random(seed)
    modulus = rng.getrandbits(bits) | 1 << bits | 1
    edges = [0, 1, modulus - 1, modulus >> 1]
    left = [rng.choice([*edges, rng.randrange(modulus)]) for _ in range(count)]
    right = [rng.choice([*edges, rng.randrange(modulus)]) for _ in range(count)]
    exponent = rng.getrandbits(bits) + 1
    a, b, m, e = [mpz(x) for x in left], [mpz(x) for x in right], mpz(modulus), mpz(exponent)
    assert arithmetic.multiply_mod(a, b, m) == [x * y % modulus for x, y in zip(left, right, strict=True)]
    assert arithmetic.power_mod_square(a, e, m) == [pow(x, exponent, modulus**2) for x in left]


@settings(max_examples=20, deadline=None)
@given(exponents=st.lists(st.integers(0, 2**64 - 1), max_size=9))
def test_powers_of_a_fixed_base_are_pythons(exponents: list[int]) -> None:
    table = fixed_base(MODULUS, 3, 8)
    edges = [*exponents, 0, 1, 255, 256, 2**64 - 1]
    rows = np.array(edges, dtype="<u8").view(np.uint8).reshape(-1, 8)
    assert arithmetic.fixed_base_power(table, rows) == [pow(3, e, MODULUS**2) for e in edges]
    assert arithmetic.fixed_base_power(table, rows[:0]) == []


def test_lists_of_different_lengths_are_not_multiplied() -> None:
    with pytest.raises(ValueError, match="zip"):
        arithmetic.multiply_mod([mpz(1)], [], mpz(7))


@given(st.lists(st.integers(0, 2**80 - 1), max_size=20))
def test_numbers_and_rows_are_each_others_inverse(found: list[int]) -> None:
    rows = arithmetic.rows([mpz(each) for each in found], 10)
    assert rows.shape == (len(found), 10)
    assert arithmetic.numbers(rows) == found
    assert [int.from_bytes(row.tobytes(), "little") for row in rows] == found
    turned = np.asfortranarray(rows)  # the order in memory does not matter
    assert arithmetic.numbers(turned) == found


def test_a_number_is_never_cut() -> None:
    with pytest.raises(OverflowError):
        arithmetic.rows([mpz(256)], 1)
    with pytest.raises(ValueError, match="rows of bytes"):
        arithmetic.numbers(np.zeros(5, dtype=np.uint8))
