"""The digits of long integers in lanes: doubles or words, and how their products fall into columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from llvmlite import ir

from vsplit.kernels.field import check
from vsplit.kernels.ifma51 import IfmaField
from vsplit.kernels.lanes import Lanes, bits_of

POSITIVE = 2**61
"""What a column with a sign is lifted by before it is shifted; the value itself stays below."""

_HIGH, _LOW = 1.5 * 2.0**102, 1.5 * 2.0**52
_MOST_PRODUCTS = 3


@dataclass(frozen=True, slots=True)
class Factors:
    """Two digits to be multiplied; `twice`: y is `doubled`, and the product counts twice."""

    x: ir.Value
    y: ir.Value
    twice: bool = False


class Digits(Protocol):
    """Digits of `bits` bits in lanes. A column's word is its value plus a known offset, modulo 2^64."""

    lanes: Lanes
    bits: int
    vector: ir.Type
    low_offset: int
    """What the low half of a product adds to a column beside its value."""
    high_offset: int

    most: int
    """What the value of a column stays below in absolute value."""

    def add_products(self, column: ir.Value, factors: Sequence[Factors]) -> tuple[ir.Value, ir.Value]:
        """`column` plus the low halves of all products, and the sum of their high halves, as words.

        The offsets are those of one product, however many there are.
        """

    def doubled(self, y: ir.Value) -> ir.Value:
        """What `Factors` take as y, where they are `twice` x y."""

    def as_low(self, digit: ir.Value) -> ir.Value:
        """A digit as a word, with the offset of the low half of a product."""

    def quotient(self, column: ir.Value, inverse: ir.Value) -> ir.Value:
        """The digit m for which column + m n is a multiple of 2^bits; `column` without offset but for `settled`'s."""

    def digit(self, column: ir.Value) -> ir.Value:
        """The lowest digit of a column that was `settled`."""

    def settled(self) -> int:
        """What to add to a column's value so that `quotient`, `digit` and a shift by `bits` are right."""


class FmaDigits:
    """Digits of 50 bits as doubles in [-2^49, 2^49].

    The high part of a sum of products is what fused multiply-adds find when they add each product to the one anchor,
    1.5 * 2^102, whose last bit is worth 2^50. What the sum grew by is what the product's low part lacks: see `fma51`.
    """

    bits = 50
    most = POSITIVE
    low_offset, high_offset = bits_of(_LOW), bits_of(_HIGH)

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.vector: ir.Type = lanes.doubles

    def add_products(self, column: ir.Value, factors: Sequence[Factors]) -> tuple[ir.Value, ir.Value]:
        lanes, b = self.lanes, self.lanes.b
        # Each low half is at most 2^49, so that the anchored sum of three stays between 2^52 and 2^53.
        check(len(factors) <= _MOST_PRODUCTS, "a sum of so many products")
        high, low = lanes.double(_HIGH), None
        for one in factors:
            before, high = high, self._fused(one.x, one.y, high)
            if low is None:
                low = self._fused(one.x, one.y, b.fsub(lanes.double(_HIGH + _LOW), high))
            else:
                low = b.fadd(low, self._fused(one.x, one.y, b.fsub(before, high)))
        return b.add(column, lanes.as_words(low)), lanes.as_words(high)

    def doubled(self, y: ir.Value) -> ir.Value:
        return self.lanes.b.fadd(y, y)

    def as_low(self, digit: ir.Value) -> ir.Value:
        return self.lanes.as_words(self.lanes.b.fadd(digit, self.lanes.double(_LOW)))

    def quotient(self, column: ir.Value, inverse: ir.Value) -> ir.Value:
        x, anchor = self.digit(column), self.lanes.double(_HIGH)
        return self._fused(x, inverse, self.lanes.b.fsub(anchor, self._fused(x, inverse, anchor)))

    def digit(self, column: ir.Value) -> ir.Value:
        lanes, b = self.lanes, self.lanes.b
        low = b.or_(b.and_(column, lanes.word(2**self.bits - 1)), lanes.word(bits_of(2.0**52)))
        return b.fsub(lanes.as_doubles(low), lanes.double(2.0**52 + 2.0 ** (self.bits - 1)))

    def settled(self) -> int:
        return POSITIVE + (1 << self.bits >> 1)

    def _fused(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        return self.lanes.intrinsic(f"llvm.fma.v{self.lanes.width}f64", self.lanes.doubles, [x, y, z])


class IfmaDigits:
    """Digits of 52 bits as words that are not negative: see `ifma51`."""

    bits = 52
    low_offset = high_offset = 0
    most = 2**64

    def __init__(self, lanes: Lanes, *, native: bool = True) -> None:
        self.lanes = lanes
        self.vector: ir.Type = lanes.ints
        self._field = IfmaField(lanes, native=native)

    def add_products(self, column: ir.Value, factors: Sequence[Factors]) -> tuple[ir.Value, ir.Value]:
        zero = self.lanes.word(0)
        low, high = column, zero
        for one in factors:
            if one.twice:  # a doubled digit has 53 bits, of which the instructions would drop one
                more_low, more_high = self._field.low(zero, one.x, one.y), self._field.high(zero, one.x, one.y)
                low = self.lanes.sum([low, more_low, more_low])
                high = self.lanes.sum([high, more_high, more_high])
            else:
                low, high = self._field.low(low, one.x, one.y), self._field.high(high, one.x, one.y)
        return low, high

    def doubled(self, y: ir.Value) -> ir.Value:
        return y

    def as_low(self, digit: ir.Value) -> ir.Value:
        return digit

    def quotient(self, column: ir.Value, inverse: ir.Value) -> ir.Value:
        return self._field.low(self.lanes.word(0), self.digit(column), inverse)

    def digit(self, column: ir.Value) -> ir.Value:
        return self.lanes.b.and_(column, self.lanes.word(2**self.bits - 1))

    def settled(self) -> int:
        return 0
