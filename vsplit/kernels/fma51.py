"""Arithmetic modulo 2^255 - 19 with the fused multiply-add of doubles, for CPUs without 52-bit integer products.

Limbs are doubles that hold integers, balanced around zero. A product x y below 2^102 is split exactly by two fused
multiply-adds. The first adds 1.5 * 2^103, whose last bit is worth 2^51, so the low bits of its result are the integer
nearest to x y / 2^51. The second takes that part away from x y and adds 1.5 * 2^52, so the low bits of its result are the
rest. Both results are then added as integers. (The technique: N. Emmart, J. Luitjens, C. Weems, C. Woolley. Optimizing
Modular Multiplication for NVIDIA's Maxwell GPUs. ARITH 2016, there for doubles that round towards zero; here with the
usual rounding, for which the limbs are balanced.)
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from vsplit.kernels.field import BITS, LIMBS, MASK, Element, P, Sum, check, reduced, times_19
from vsplit.kernels.lanes import Lanes, bits_of

_HIGH = 1.5 * 2.0**103
_LOW = 1.5 * 2.0**52
_HIGH_BITS, _LOW_BITS = bits_of(_HIGH), bits_of(_LOW)
_MOST_PRODUCT = 2**102
_HALF = 2 ** (BITS - 1)
_POSITIVE = 2**61  # A multiple of 2^51 that makes every column positive before it is shifted.
_ANCHOR = 2.0**52 + 2.0**51
_MOST_COLUMN = 2**60


class FmaField:
    """`Field` for any CPU with a fused multiply-add, such as those with AVX2 and FMA."""

    tight = _HALF + 2**14

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.vector: ir.Type = lanes.doubles

    def multiply(self, a: Element, b: Element) -> Sum:
        columns = _Columns(self)
        # Row by row: six columns are in use at a time, which fit into registers.
        for i in range(LIMBS):
            for j in range(LIMBS):
                columns.add_product(i + j, a.limbs[i], b.limbs[j], a.bound * b.bound)
        return columns.folded()

    def square(self, a: Element) -> Sum:
        columns = _Columns(self)
        doubled = [self.lanes.b.fadd(limb, limb) for limb in a.limbs]
        for i in range(LIMBS):
            for j in range(i, LIMBS):
                left, times = (a.limbs[i], 1) if i == j else (doubled[i], 2)
                columns.add_product(i + j, left, a.limbs[j], times * a.bound**2)
        return columns.folded()

    def times(self, a: Element, factor: int) -> Sum:
        columns = _Columns(self)
        for i in range(LIMBS):
            columns.add_product(i, a.limbs[i], self.lanes.double(float(factor)), a.bound * factor)
        return columns.folded()

    def lift(self, a: Element) -> Sum:
        check(a.bound <= 2**51, "a number too large to be added to a sum")
        words = [self.lanes.as_words(self.lanes.b.fadd(limb, self.lanes.double(_LOW))) for limb in a.limbs]
        return Sum(words, [_LOW_BITS] * LIMBS, [a.bound] * LIMBS)

    def add(self, a: Sum, b: Sum) -> Sum:
        return Sum(
            [self.lanes.b.add(one, other) for one, other in zip(a.words, b.words, strict=True)],
            [one + other for one, other in zip(a.offsets, b.offsets, strict=True)],
            [one + other for one, other in zip(a.bounds, b.bounds, strict=True)],
        )

    def subtract(self, a: Sum, b: Sum) -> Sum:
        return Sum(
            [self.lanes.b.sub(one, other) for one, other in zip(a.words, b.words, strict=True)],
            [one - other for one, other in zip(a.offsets, b.offsets, strict=True)],
            [one + other for one, other in zip(a.bounds, b.bounds, strict=True)],
        )

    def carry(self, a: Sum) -> Element:
        check(max(a.bounds) < _MOST_COLUMN, "a column before its carry")
        lanes, b = self.lanes, self.lanes.b
        shifts = [lanes.word(_POSITIVE + _HALF - offset) for offset in a.offsets]
        words = [b.add(word, shift) for word, shift in zip(a.words, shifts, strict=True)]
        over = [b.lshr(word, lanes.word(BITS)) for word in words]
        into = [b.mul(over[-1], lanes.word(19)), *over[:-1]]
        limbs = []
        for at, word in enumerate(words):
            excess = (_POSITIVE >> BITS) * (19 if at == 0 else 1)
            anchored = b.add(b.and_(word, lanes.word(MASK)), lanes.word(bits_of(_ANCHOR) - excess))
            limb = lanes.as_doubles(b.add(anchored, into[at]))
            limbs.append(b.fsub(limb, lanes.double(_ANCHOR + _HALF)))
        bound = _HALF + max(19 * ((a.bounds[-1] >> BITS) + 1), *((one >> BITS) + 1 for one in a.bounds[:-1]))
        check(bound <= self.tight, "a limb after its carry")
        return Element(limbs, bound)

    def difference(self, a: Element, b: Element) -> Element:
        limbs = [self.lanes.b.fsub(one, other) for one, other in zip(a.limbs, b.limbs, strict=True)]
        return Element(limbs, a.bound + b.bound)

    def from_limbs(self, words: Sequence[ir.Value], bound: int) -> Element:
        return self.carry(Sum(words, [0] * LIMBS, [bound] * LIMBS))

    def to_limbs(self, a: Element) -> list[ir.Value]:
        lifted = self.lift(a)
        # Four times p in limbs that are all larger than any limb of `a`.
        fours = [4 * (P & MASK), *[4 * MASK] * (LIMBS - 1)]
        positive = [
            self.lanes.b.add(word, self.lanes.word(four - offset))
            for word, four, offset in zip(lifted.words, fours, lifted.offsets, strict=True)
        ]
        return reduced(self.lanes, positive)


def _split_product(lanes: Lanes, x: ir.Value, y: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The two halves of x y, below 2^102 in absolute value, as words: x y = low + 2^51 high, |low| <= 2^50.

    The words are `_LOW_BITS` and `_HIGH_BITS` above them, modulo 2^64.
    """
    name = f"llvm.fma.v{lanes.width}f64"
    high = lanes.intrinsic(name, lanes.doubles, [x, y, lanes.double(_HIGH)])
    rest = lanes.b.fsub(lanes.double(_HIGH + _LOW), high)
    low = lanes.intrinsic(name, lanes.doubles, [x, y, rest])
    return lanes.as_words(low), lanes.as_words(high)


class _Columns:
    """The ten columns of a product during the summation."""

    def __init__(self, field: FmaField) -> None:
        self._lanes = field.lanes
        self._words: list[ir.Value | None] = [None] * (2 * LIMBS)
        self._offsets = [0] * (2 * LIMBS)
        self._bounds = [0] * (2 * LIMBS)

    def add_product(self, column: int, x: ir.Value, y: ir.Value, bound: int) -> None:
        """Add x y, at most `bound`, to `column` and the one above it."""
        check(bound < _MOST_PRODUCT, "a product of two limbs")
        low, high = _split_product(self._lanes, x, y)
        self._put(column, low, _LOW_BITS, _HALF)
        self._put(column + 1, high, _HIGH_BITS, (bound >> BITS) + 1)

    def _put(self, column: int, word: ir.Value, offset: int, bound: int) -> None:
        held = self._words[column]
        self._words[column] = word if held is None else self._lanes.b.add(held, word)
        self._offsets[column] += offset
        self._bounds[column] += bound

    def folded(self) -> Sum:
        """The five columns that remain when 2^255 is replaced by 19."""
        words, offsets, bounds = [], [], []
        for low, high in zip(range(LIMBS), range(LIMBS, 2 * LIMBS), strict=True):
            word, upper = self._words[low], self._words[high]
            if upper is not None:
                check(self._bounds[high] < 2**58, "a column before it is folded")
                upper = times_19(self._lanes, upper)
                word = upper if word is None else self._lanes.b.add(word, upper)
            words.append(word)
            offsets.append(self._offsets[low] + 19 * self._offsets[high])
            bounds.append(self._bounds[low] + 19 * self._bounds[high])
        return Sum(words, offsets, bounds)
