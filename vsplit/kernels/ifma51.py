"""Arithmetic modulo 2^255 - 19 with AVX-512's 52-bit multiply-add (IFMA), eight numbers at once.

Limbs are integers that are not negative. `vpmadd52luq` and `vpmadd52huq` multiply the low 52 bits of two lanes and add the
low or the high 52 bits of the product to a third; since limbs here have 51 bits, the high half counts double. Elsewhere
the two instructions can be put together from others, slowly: so the tests run this code on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from vsplit.kernels.field import BITS, LIMBS, MASK, Element, P, Sum, check, reduced, times_19
from vsplit.kernels.lanes import Lanes

_FACTOR = 2**52
_MOST_COLUMN = 2**62


class IfmaField:
    """`Field` for CPUs with AVX-512 IFMA; with `native=False` for all others, to test it."""

    tight = 2**BITS + 2**15

    def __init__(self, lanes: Lanes, *, native: bool = True) -> None:
        self.lanes = lanes
        self.vector: ir.Type = lanes.ints
        self._native = native

    def multiply(self, a: Element, b: Element) -> Sum:
        columns = _Columns(self)
        for i in range(LIMBS):
            for j in range(LIMBS):
                columns.add_product(i + j, a.limbs[i], b.limbs[j], (a.bound, b.bound))
        return columns.folded()

    def square(self, a: Element) -> Sum:
        columns = _Columns(self)
        for i in range(LIMBS):
            for j in range(i, LIMBS):
                columns.add_product(i + j, a.limbs[i], a.limbs[j], (a.bound, a.bound), twice=i != j)
        return columns.folded()

    def times(self, a: Element, factor: int) -> Sum:
        columns = _Columns(self)
        for i in range(LIMBS):
            columns.add_product(i, a.limbs[i], self.lanes.word(factor), (a.bound, factor))
        return columns.folded()

    def lift(self, a: Element) -> Sum:
        return Sum(a.limbs, [0] * LIMBS, [a.bound] * LIMBS)

    def add(self, a: Sum, b: Sum) -> Sum:
        words = [self.lanes.b.add(one, other) for one, other in zip(a.words, b.words, strict=True)]
        return Sum(words, [0] * LIMBS, [one + other for one, other in zip(a.bounds, b.bounds, strict=True)])

    def subtract(self, a: Sum, b: Sum) -> Sum:
        times_p = max(b.bounds) // (P & MASK) + 1
        filled = [times_p * (P & MASK), *[times_p * MASK] * (LIMBS - 1)]
        words = [
            self.lanes.b.sub(self.lanes.b.add(one, self.lanes.word(more)), other)
            for one, other, more in zip(a.words, b.words, filled, strict=True)
        ]
        return Sum(words, [0] * LIMBS, [one + more for one, more in zip(a.bounds, filled, strict=True)])

    def carry(self, a: Sum) -> Element:
        check(max(a.bounds) < _MOST_COLUMN, "a column before its carry")
        lanes, b = self.lanes, self.lanes.b
        over = [b.lshr(word, lanes.word(BITS)) for word in a.words]
        rest = [b.and_(word, lanes.word(MASK)) for word in a.words]
        into = [times_19(lanes, over[-1]), *over[:-1]]
        bound = MASK + max(19 * (a.bounds[-1] >> BITS), *(one >> BITS for one in a.bounds[:-1]))
        check(bound <= self.tight, "a limb after its carry")
        return Element([b.add(one, more) for one, more in zip(rest, into, strict=True)], bound)

    def difference(self, a: Element, b: Element) -> Element:
        return self.carry(self.subtract(self.lift(a), self.lift(b)))

    def from_limbs(self, words: Sequence[ir.Value], bound: int) -> Element:
        return self.carry(Sum(words, [0] * LIMBS, [bound] * LIMBS))

    def to_limbs(self, a: Element) -> list[ir.Value]:
        return reduced(self.lanes, a.limbs)

    def low(self, total: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
        """`total` plus the low 52 bits of x y."""
        if self._native:
            return self.lanes.intrinsic("llvm.x86.avx512.vpmadd52l.uq.512", self.lanes.ints, [total, x, y])
        product = self.lanes.b.mul(x, y)
        return self.lanes.b.add(total, self.lanes.b.and_(product, self.lanes.word(_FACTOR - 1)))

    def high(self, total: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
        """`total` plus the high 52 bits of the 104 of x y."""
        if self._native:
            return self.lanes.intrinsic("llvm.x86.avx512.vpmadd52h.uq.512", self.lanes.ints, [total, x, y])
        lanes, b = self.lanes, self.lanes.b
        half, low = lanes.word(26), lanes.word(2**26 - 1)
        x0, x1, y0, y1 = b.and_(x, low), b.lshr(x, half), b.and_(y, low), b.lshr(y, half)
        middle = lanes.sum([b.lshr(b.mul(x0, y0), half), b.mul(x1, y0), b.mul(x0, y1)])
        return lanes.sum([total, b.lshr(middle, half), b.mul(x1, y1)])


class _Columns:
    """The ten columns of a product: low and high halves separately, and separately those that count twice in a square."""

    def __init__(self, field: IfmaField) -> None:
        self._field = field
        self._words: list[dict[int, ir.Value]] = [{} for _ in range(2 * LIMBS)]
        self._bounds = [0] * (2 * LIMBS)

    def add_product(
        self, column: int, x: ir.Value, y: ir.Value, bounds: tuple[int, int], *, twice: bool = False
    ) -> None:
        """Add x y, or twice that, to `column` and the one above it."""
        check(max(bounds) < _FACTOR, "a factor of more than 52 bits")
        weight = 2 if twice else 1
        zero = self._field.lanes.word(0)
        lower, upper = self._words[column], self._words[column + 1]
        lower[weight] = self._field.low(lower.get(weight, zero), x, y)
        upper[2 * weight] = self._field.high(upper.get(2 * weight, zero), x, y)
        product = bounds[0] * bounds[1]
        self._bounds[column] += weight * min(product, _FACTOR - 1)
        self._bounds[column + 1] += 2 * weight * (product >> 52)

    def folded(self) -> Sum:
        """The five columns that remain when 2^255 is replaced by 19."""
        lanes = self._field.lanes
        words, bounds = [], []
        for low, high in zip(range(LIMBS), range(LIMBS, 2 * LIMBS), strict=True):
            bounds.append(self._bounds[low] + 19 * self._bounds[high])
            check(bounds[-1] < _MOST_COLUMN, "a folded column")
            upper = [times_19(lanes, _weighed(lanes, self._words[high]))] if self._words[high] else []
            words.append(lanes.sum([_weighed(lanes, self._words[low]), *upper]))
        return Sum(words, [0] * LIMBS, bounds)


def _weighed(lanes: Lanes, by_weight: dict[int, ir.Value]) -> ir.Value:
    """The sum of words times their weights 1, 2 and 4, by doublings from the heaviest down."""
    total = None
    for weight in (4, 2, 1):
        if total is not None:
            total = lanes.b.add(total, total)
        if weight in by_weight:
            total = by_weight[weight] if total is None else lanes.b.add(total, by_weight[weight])
    return total
