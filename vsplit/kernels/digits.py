"""The digits of long integers in lanes: doubles or words, and how their products fall into columns."""

from __future__ import annotations

from typing import Protocol

from llvmlite import ir

from vsplit.kernels.fma51 import DOUBLE_BITS, split_product
from vsplit.kernels.ifma51 import IfmaField
from vsplit.kernels.lanes import Lanes, bits_of

POSITIVE = 2**61
"""What a column with a sign is lifted by before it is shifted; the value itself stays below."""


class Digits(Protocol):
    """Digits of `bits` bits in lanes. A column's word is its value plus a known offset, modulo 2^64."""

    lanes: Lanes
    bits: int
    vector: ir.Type
    low_offset: int
    """What the low half of a product adds to a column beside its value."""
    high_offset: int

    def add_product(self, low: ir.Value, high: ir.Value, x: ir.Value, y: ir.Value) -> tuple[ir.Value, ir.Value]:
        """`low` plus the low half of x y, `high` plus the high half, as words."""

    def quotient(self, column: ir.Value, inverse: ir.Value) -> ir.Value:
        """The digit m for which column + m n is a multiple of 2^bits; `column` without offset but for `settled`'s."""

    def digit(self, column: ir.Value) -> ir.Value:
        """The lowest digit of a column that was `settled`."""

    def settled(self) -> int:
        """What to add to a column's value so that `quotient`, `digit` and a shift by `bits` are right."""


class FmaDigits:
    """Digits of 51 bits as doubles in [-2^50, 2^50]: see `fma51`."""

    bits = 51

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.vector: ir.Type = lanes.doubles
        self.low_offset, self.high_offset = DOUBLE_BITS

    def add_product(self, low: ir.Value, high: ir.Value, x: ir.Value, y: ir.Value) -> tuple[ir.Value, ir.Value]:
        b = self.lanes.b
        more_low, more_high = split_product(self.lanes, x, y)
        return b.add(low, more_low), b.add(high, more_high)

    def quotient(self, column: ir.Value, inverse: ir.Value) -> ir.Value:
        lanes, b = self.lanes, self.lanes.b
        x = self.digit(column)
        anchor = lanes.double(1.5 * 2.0**103)
        name = f"llvm.fma.v{lanes.width}f64"
        high = lanes.intrinsic(name, lanes.doubles, [x, inverse, anchor])
        return lanes.intrinsic(name, lanes.doubles, [x, inverse, b.fsub(anchor, high)])

    def digit(self, column: ir.Value) -> ir.Value:
        lanes, b = self.lanes, self.lanes.b
        low = b.or_(b.and_(column, lanes.word(2**self.bits - 1)), lanes.word(bits_of(2.0**52)))
        return b.fsub(lanes.as_doubles(low), lanes.double(2.0**52 + 2.0**50))

    def settled(self) -> int:
        return POSITIVE + (1 << self.bits >> 1)


class IfmaDigits:
    """Digits of 52 bits as words that are not negative: see `ifma51`."""

    bits = 52
    low_offset = high_offset = 0

    def __init__(self, lanes: Lanes, *, native: bool = True) -> None:
        self.lanes = lanes
        self.vector: ir.Type = lanes.ints
        self._field = IfmaField(lanes, native=native)

    def add_product(self, low: ir.Value, high: ir.Value, x: ir.Value, y: ir.Value) -> tuple[ir.Value, ir.Value]:
        return self._field.low(low, x, y), self._field.high(high, x, y)

    def quotient(self, column: ir.Value, inverse: ir.Value) -> ir.Value:
        return self._field.low(self.lanes.word(0), self.digit(column), inverse)

    def digit(self, column: ir.Value) -> ir.Value:
        return self.lanes.b.and_(column, self.lanes.word(2**self.bits - 1))

    def settled(self) -> int:
        return 0
