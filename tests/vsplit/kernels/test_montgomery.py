"""Products and powers modulo long numbers: the kernels and the portable twin against Python's own `pow`."""

from __future__ import annotations

import os
import pickle
import secrets
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsplit.kernels import engine, montgomery
from vsplit.kernels.montgomery import FixedBase, Modulus
from vsplit.kernels.residues import Residues

BITS = 600
KINDS = ["fma", "ifma", "portable"]


@dataclass(frozen=True)
class Maker:
    """Makes moduli of one kind of kernels, compiled once for each length."""

    kind: str

    def __call__(self, n: int) -> Modulus:
        made = Modulus.__new__(Modulus)
        made.n = n
        made.residues = None if self.kind == "portable" else Residues(self._kernels(n.bit_length()), n)
        return made

    def _kernels(self, bits: int) -> engine.MontgomeryKernels:
        if (self.kind, bits) not in _BUILT:
            native = self.kind != "ifma" or "ifma" in engine.supported()
            _BUILT[self.kind, bits] = engine.build_montgomery(self.kind, bits, native=native)
        return _BUILT[self.kind, bits]


_BUILT: dict[tuple[str, int], engine.MontgomeryKernels] = {}


@pytest.fixture(scope="module", params=KINDS)
def modulus(request):
    return Maker(request.param)


def odd(bits):
    return secrets.randbits(bits) | 1 | 1 << (bits - 1)


def crafted(n):
    """0, 1, n - 1, and numbers whose digits, of either size, are all ones, zeros or halves, each alone and all together."""
    limbs = [0, 1, 2**50 - 1, 2**50, 2**50 + 1, 2**51 - 1, 2**51, 2**52 - 1]
    numbers = [0, 1, 2, n - 1, n - 2, n // 2, n // 2 + 1]
    for radix in (51, 52):
        places = range(-(-n.bit_length() // radix))
        numbers += [sum(limb << radix * at for at in places) % n for limb in limbs]
        numbers += [(limb << radix * at) % n for limb in limbs for at in places]
        numbers += [(n - (limb << radix * at)) % n for limb in limbs for at in places]
    return numbers


@pytest.mark.parametrize("n", [2**BITS - 1, 2 ** (BITS - 1) + 1, None], ids=["all ones", "sparse", "random"])
def test_products_of_crafted_numbers(modulus, n):
    n = n or odd(BITS)
    numbers = crafted(n)
    others = [*numbers[1:], numbers[0]]
    for a, b in ((numbers, others), (numbers, numbers), (numbers, [n - 1] * len(numbers))):
        assert modulus(n).multiply(a, b) == [one * other % n for one, other in zip(a, b, strict=True)]


def test_products_of_many_random_numbers(modulus):
    for n in (odd(BITS), odd(BITS)):
        a, b = ([secrets.randbelow(n) for _ in range(5000)] for _ in range(2))
        assert modulus(n).multiply(a, b) == [one * other % n for one, other in zip(a, b, strict=True)]


@pytest.mark.parametrize("bits", [2048, 4096])
def test_products_and_powers_of_the_lengths_in_use(modulus, bits):
    n = odd(bits)
    made = modulus(n)
    a, b = ([secrets.randbelow(n) for _ in range(20)] for _ in range(2))
    assert made.multiply(a, b) == [one * other % n for one, other in zip(a, b, strict=True)]
    exponent = secrets.randbits(200)
    assert made.power(a[:6], exponent) == [pow(one, exponent, n) for one in a[:6]]


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_powers_with_any_exponent(modulus, data):
    n = data.draw(st.integers(2 ** (BITS - 1), 2**BITS - 1)) | 1
    exponent = data.draw(st.one_of(st.integers(0, 40), st.integers(0, 2**300)))
    bases = data.draw(st.lists(st.integers(0, n - 1), max_size=9))
    assert modulus(n).power(bases, exponent) == [pow(base, exponent, n) for base in bases]


def test_powers_of_crafted_numbers(modulus):
    n = odd(BITS)
    bases = crafted(n)[:60]
    for exponent in (1, 2, 15, 16, 17, 2**64 - 1, 2**64, n - 1):
        assert modulus(n).power(bases, exponent) == [pow(base, exponent, n) for base in bases]


def test_powers_of_a_fixed_base(modulus, monkeypatch):
    n = odd(BITS)
    monkeypatch.setattr(montgomery, "modulus", modulus)
    base = secrets.randbelow(n - 1) + 1
    fixed = FixedBase(n, base, 13)
    exponents = [0, 1, 255, 256, 2**104 - 1, 2**99, *(secrets.randbits(104) for _ in range(20))]
    rows = np.array([list(one.to_bytes(13, "little")) for one in exponents], dtype=np.uint8)
    assert fixed.powers(rows) == [pow(base, exponent, n) for exponent in exponents]
    assert fixed.powers(rows[:0]) == []
    assert FixedBase(n, base, 1).powers(rows[:5, :1]) == [pow(base, int(row[0]), n) for row in rows[:5]]
    with pytest.raises(ValueError, match="exponents have shape"):
        fixed.powers(rows[:, :12])
    for wrong in (0, n):
        with pytest.raises(ValueError, match="between 0 and its modulus"):
            FixedBase(n, wrong, 13)


def test_tables_and_moduli_are_pickled_as_what_they_were_made_from():
    n = odd(BITS)
    assert pickle.loads(pickle.dumps(montgomery.modulus(n))) is montgomery.modulus(n)
    table = montgomery.fixed_base(n, 3, 2)
    assert pickle.loads(pickle.dumps(table)) is table
    assert str(n) not in repr(table)


def test_empty_lists(modulus):
    made = modulus(odd(BITS))
    assert made.multiply([], []) == []
    assert made.power([], 3) == []


@pytest.mark.parametrize("n", [2**600, 1, 0, -(2**600) + 1])
def test_other_moduli_are_refused(n):
    with pytest.raises(ValueError, match="a modulus is odd and above one"):
        Modulus(n)


@pytest.mark.parametrize("n", [3, 2**512 - 1, odd(montgomery._LONGEST + 1)], ids=["tiny", "short", "long"])
def test_a_modulus_too_short_or_too_long_for_the_kernels_goes_to_the_portable_twin(n):
    made = Modulus(n)
    assert made.residues is None
    assert made.multiply([n - 1], [n - 1]) == [1]


@pytest.mark.skipif(engine.supported()[0] == "portable", reason="this CPU runs no kernels")
def test_the_chosen_kernels_are_compiled_once_for_a_length():
    assert engine.montgomery(1023) is engine.montgomery(1024)
    n = odd(1024)
    a = [int.from_bytes(os.urandom(120)) for _ in range(7)]
    assert Modulus(n).multiply(a, a) == [one * one % n for one in a]


def test_a_negative_exponent_is_refused(modulus):
    with pytest.raises(ValueError, match="not negative"):
        modulus(odd(BITS)).power([2], -1)


@pytest.mark.parametrize("kind", ["fma", "ifma"])
def test_moduli_whose_columns_could_overflow_make_no_code(kind):
    with pytest.raises(ArithmeticError, match="a column of so many products"):
        engine.montgomery_code(kind, 300, 4)
