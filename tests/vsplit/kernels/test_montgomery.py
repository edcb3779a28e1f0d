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
from vsplit.kernels.montgomery import FixedBase, SquareModulus
from vsplit.kernels.residues import Residues

BITS = 600
KINDS = ["fma", "ifma", "portable"]


@dataclass(frozen=True)
class Maker:
    """Makes moduli of one kind of kernels, compiled once for each length."""

    kind: str

    def __call__(self, root: int) -> SquareModulus:
        made = SquareModulus.__new__(SquareModulus)
        made.root, made.n = root, root * root
        made.residues = None if self.kind == "portable" else self.residues(root)
        return made

    def residues(self, root: int) -> Residues:
        """The kernels for the square of `root`; compiled ones only."""
        bits = root.bit_length()
        if (self.kind, bits) not in _BUILT:
            native = self.kind != "ifma" or "ifma" in engine.supported()
            _BUILT[self.kind, bits] = engine.build_montgomery(self.kind, bits, native=native)
        return Residues(_BUILT[self.kind, bits], root)


_BUILT: dict[tuple[str, int], engine.MontgomeryKernels] = {}


@pytest.fixture(scope="module", params=KINDS)
def modulus(request):
    return Maker(request.param)


def odd(bits):
    return secrets.randbits(bits) | 1 | 1 << (bits - 1)


def crafted(root):
    """Below the square of `root`: 0, 1, the ends, multiples of `root`, and numbers in which digits of any size used by
    a kernel are all ones, zeros or halves, each alone and all together, in either half of a pair."""
    n = root * root
    limbs = [1, 2**49 - 1, 2**49, 2**49 + 1, 2**50 - 1, 2**50, 2**51 - 1, 2**52 - 1]
    numbers = [0, 1, 2, n - 1, n - 2, n // 2, n // 2 + 1, root, root - 1, root + 1, n - root, n - root - 1]
    for radix in (50, 52):
        places = range(-(-root.bit_length() // radix))
        halves = [sum(limb << radix * at for at in places) % root for limb in limbs]
        halves += [(limb << radix * at) % root for limb in limbs for at in places]
        numbers += halves
        numbers += [(n - half * root) % n for half in halves]
        numbers += [(half - other * root) % n for half, other in zip(halves, reversed(halves), strict=True)]
    return numbers


def products(made, a, b):
    """a_i b_i modulo the square, by the kernels or by the twin's powers: x y = ((x + y)^2 - (x - y)^2) / 4."""
    if made.residues is not None:
        left, right = made.residues.enter(a), made.residues.enter(b)
        return made.residues.leave(made.residues.multiply(left, right), len(a))
    sums, differences = ([(x + sign * y) % made.n for x, y in zip(a, b, strict=True)] for sign in (1, -1))
    quarter = pow(4, -1, made.n)
    squares = zip(made.power(sums, 2), made.power(differences, 2), strict=True)
    return [(one - other) * quarter % made.n for one, other in squares]


@pytest.mark.parametrize("root", [2**BITS - 1, 2 ** (BITS - 1) + 1, None], ids=["all ones", "sparse", "random"])
def test_products_of_crafted_numbers(modulus, root):
    made = modulus(root or odd(BITS))
    numbers = crafted(made.root)
    others = [*numbers[1:], numbers[0]]
    for a, b in ((numbers, others), (numbers, numbers), (numbers, [made.n - 1] * len(numbers))):
        assert products(made, a, b) == [one * other % made.n for one, other in zip(a, b, strict=True)]


def test_products_of_many_random_numbers(modulus):
    for made in (modulus(odd(BITS)), modulus(odd(BITS))):
        a, b = ([secrets.randbelow(made.n) for _ in range(5000)] for _ in range(2))
        assert products(made, a, b) == [one * other % made.n for one, other in zip(a, b, strict=True)]


def test_powers_of_ten_thousand_random_and_crafted_numbers(modulus):
    """Five windows, so that squares, products and the choice from the table are met by each of them."""
    exponent = secrets.randbits(20) | 1 << 19
    for made in (modulus(odd(BITS)), modulus(2**BITS - 1)):
        bases = crafted(made.root)
        bases += [secrets.randbelow(made.n) for _ in range(5000 - len(bases))]
        assert made.power(bases, exponent) == [pow(base, exponent, made.n) for base in bases]


@pytest.mark.parametrize("bits", [1024, 2048])
def test_products_and_powers_of_the_lengths_in_use(modulus, bits):
    made = modulus(odd(bits))
    a, b = ([secrets.randbelow(made.n) for _ in range(20)] for _ in range(2))
    assert products(made, a, b) == [one * other % made.n for one, other in zip(a, b, strict=True)]
    exponent = secrets.randbits(200)
    assert made.power(a[:6], exponent) == [pow(one, exponent, made.n) for one in a[:6]]


@pytest.mark.parametrize("bits", [300, 1024])
@pytest.mark.parametrize("kind", ["fma", "ifma"])
def test_both_integers_of_a_pair_stay_below_twice_the_root(kind, bits):
    """Else a long chain of products would overflow in the end; the bound is that of SPEC.md, section 6."""
    maker = Maker(kind)
    for root in (2**bits - 1, 2 ** (bits - 1) + 1):
        residues = maker.residues(root)
        rows = residues.enter([*crafted(root)[:30], *(secrets.randbelow(root**2) for _ in range(10))])
        digits = residues._digits
        for _ in range(40):
            rows = residues.multiply(rows, rows)
            halves = rows.transpose(0, 2, 1).reshape(-1, digits)
            weights = [1 << residues._bits * at for at in range(digits)]
            assert all(abs(sum(int(d) * w for d, w in zip(half, weights, strict=True))) < 2 * root for half in halves)


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_powers_with_any_exponent(modulus, data):
    made = modulus(data.draw(st.integers(2 ** (BITS - 1), 2**BITS - 1)) | 1)
    exponent = data.draw(st.one_of(st.integers(0, 40), st.integers(0, 2**300)))
    bases = data.draw(st.lists(st.integers(0, made.n - 1), max_size=9))
    assert made.power(bases, exponent) == [pow(base, exponent, made.n) for base in bases]


def test_powers_of_crafted_numbers(modulus):
    made = modulus(odd(BITS))
    bases = crafted(made.root)[:60]
    for exponent in (1, 2, 15, 16, 17, 2**64 - 1, 2**64, made.root - 1):
        assert made.power(bases, exponent) == [pow(base, exponent, made.n) for base in bases]


def test_powers_of_a_fixed_base(modulus, monkeypatch):
    root = odd(BITS)
    n = root * root
    monkeypatch.setattr(montgomery, "square_modulus", modulus)
    base = secrets.randbelow(n - 1) + 1
    fixed = FixedBase(root, base, 13)
    exponents = [0, 1, 255, 256, 2**104 - 1, 2**99, *(secrets.randbits(104) for _ in range(20))]
    rows = np.array([list(one.to_bytes(13, "little")) for one in exponents], dtype=np.uint8)
    assert fixed.powers(rows) == [pow(base, exponent, n) for exponent in exponents]
    assert fixed.powers(rows[:0]) == []
    assert FixedBase(root, base, 1).powers(rows[:5, :1]) == [pow(base, int(row[0]), n) for row in rows[:5]]
    with pytest.raises(ValueError, match="exponents have shape"):
        fixed.powers(rows[:, :12])
    for wrong in (0, n):
        with pytest.raises(ValueError, match="between 0 and its modulus"):
            FixedBase(root, wrong, 13)


def test_tables_and_moduli_are_pickled_as_what_they_were_made_from():
    root = odd(BITS)
    made = montgomery.square_modulus(root)
    assert pickle.loads(pickle.dumps(made)) is made
    table = montgomery.fixed_base(root, 3, 2)
    assert pickle.loads(pickle.dumps(table)) is table
    assert str(root) not in repr(table) + repr(made)


def test_a_list_may_be_empty(modulus):
    assert modulus(odd(BITS)).power([], 3) == []


@pytest.mark.parametrize("root", [2**600, 1, 0, -(2**600) + 1])
def test_other_roots_are_refused(root):
    with pytest.raises(ValueError, match="odd and above one"):
        SquareModulus(root)


@pytest.mark.parametrize("root", [3, 2**256 - 1, odd(montgomery._LONGEST + 1)], ids=["tiny", "short", "long"])
def test_a_root_too_short_or_too_long_for_the_kernels_goes_to_the_portable_twin(root):
    made = SquareModulus(root)
    assert made.residues is None
    assert made.power([made.n - 1], 2) == [1]


@pytest.mark.skipif(engine.supported()[0] == "portable", reason="this CPU runs no kernels")
def test_the_chosen_kernels_are_compiled_once_for_a_length(monkeypatch):
    monkeypatch.setattr(
        engine._State, "choice", engine.Choice(engine.supported()[0], "whatever the environment asks for")
    )
    monkeypatch.setattr(engine._State, "montgomery", {})
    assert engine.montgomery(1023) is engine.montgomery(1024)
    made = SquareModulus(odd(1024))
    a = [int.from_bytes(os.urandom(250)) for _ in range(7)]
    assert made.power(a, 2) == [one * one % made.n for one in a]


def test_a_negative_exponent_is_refused(modulus):
    with pytest.raises(ValueError, match="not negative"):
        modulus(odd(BITS)).power([2], -1)


@pytest.mark.parametrize(("kind", "digits"), [("fma", 400), ("ifma", 700)])
def test_roots_whose_columns_could_overflow_make_no_code(kind, digits):
    with pytest.raises(ArithmeticError, match="a column of so many products"):
        engine.montgomery_code(kind, digits, 4)
