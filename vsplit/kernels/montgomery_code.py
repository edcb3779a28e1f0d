"""Montgomery products of long integers as generated code: one odd modulus, as many pairs at once as there are lanes.

The integers are rows of digits, `digits` of them, least significant first; a block is `width` integers, digit by digit. The
method is the operand scanning of Koc, Acar and Kaliski (Analyzing and Comparing Montgomery Multiplication Algorithms, IEEE
Micro 1996) with carries put off to the end: a column is a 64-bit word and takes all products of its weight as they come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from llvmlite import ir

from vsplit.kernels.field import check
from vsplit.kernels.fma51 import DOUBLE_BITS, split_product
from vsplit.kernels.ifma51 import IfmaField
from vsplit.kernels.lanes import WORD, Lanes, bits_of

_POSITIVE = 2**61
WINDOW = 4
"""Bits of an exponent that are taken together."""


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
        return _POSITIVE + (1 << self.bits >> 1)


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


def multiply_blocks(made: Digits, digits: int, arguments: Sequence[ir.Value]) -> None:
    """Emit a b / R modulo n for blocks of pairs: (results, a, b, modulus, inverse, columns, blocks), R = 2^(bits digits).

    `modulus` has `digits` digits, `inverse` is the digit -1 / n modulo 2^bits, `columns` room for 2 `digits` vectors. With
    4 n < R and factors below 2 n in absolute value, so are the results; they may be negative where digits may.
    """
    results, a, b_digits, modulus, inverse, columns, blocks = arguments
    lanes, b = made.lanes, made.lanes.b

    def one_block(number: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
        first = b.mul(number, WORD(digits * lanes.width))
        places = [lanes.address(one, first) for one in (results, a, b_digits)]
        _product(made, digits, [*places, modulus, inverse, columns])
        return []

    lanes.repeat(blocks, [], one_block)


def power_blocks(made: Digits, digits: int, arguments: Sequence[ir.Value]) -> None:
    """Emit bases^e for blocks of bases in Montgomery's form, with one secret e for all.

    (results, bases, one, exponent, modulus, inverse, columns, table, windows, blocks): `exponent` is e in windows of
    WINDOW bits, a word each, the highest first; `one` is 1 in Montgomery's form, one block; `table` has room for
    2^WINDOW blocks. The entry for a window is found by reading all entries, so that no address depends on e.
    """
    results, bases, one, exponent, modulus, inverse, columns, table, windows, blocks = arguments
    lanes, b = made.lanes, made.lanes.b
    size = digits * lanes.width

    def product(to: ir.Value, left: ir.Value, right: ir.Value) -> None:
        _product(made, digits, [to, left, right, modulus, inverse, columns])

    def one_block(number: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
        first = b.mul(number, WORD(size))
        result, base = lanes.address(results, first), lanes.address(bases, first)
        entries = [lanes.address(table, WORD(at * size)) for at in range(2**WINDOW)]
        _copy(lanes, digits, one, entries[0])
        _copy(lanes, digits, base, entries[1])

        def next_entry(at: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
            last = lanes.address(table, b.mul(b.add(at, WORD(1)), WORD(size)))
            product(lanes.address(last, WORD(size)), last, base)
            return []

        lanes.repeat(2**WINDOW - 2, [], next_entry)
        chosen = lanes.address(table, WORD(2**WINDOW * size))
        _copy(lanes, digits, one, result)

        def window(step: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
            for _ in range(WINDOW):
                product(result, result, result)
            _choose(lanes, digits, entries, lanes.splat_from(exponent, step), chosen)
            product(result, result, chosen)
            return []

        lanes.repeat(windows, [], window)
        return []

    lanes.repeat(blocks, [], one_block)


def chain_blocks(made: Digits, digits: int, arguments: Sequence[ir.Value]) -> None:
    """Emit the product of several factors for each of many numbers: (results, factors, modulus, inverse, columns, block,
    count, blocks).

    `factors` are in Montgomery's form, number by number and not in blocks: the first factor of all, then the second of
    all and so on, `count` of them; the results are in blocks. `block` has room for one.
    """
    results, factors, modulus, inverse, columns, block, count, blocks = arguments
    lanes, b = made.lanes, made.lanes.b
    size = WORD(digits * lanes.width)

    def one_block(number: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
        first = b.mul(number, size)
        result = lanes.address(results, first)
        _gather(lanes, digits, lanes.address(factors, first), result)

        def next_factor(at: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
            place = b.add(first, b.mul(b.mul(b.add(at, WORD(1)), blocks), size))
            _gather(lanes, digits, lanes.address(factors, place), block)
            _product(made, digits, [result, result, block, modulus, inverse, columns])
            return []

        lanes.repeat(b.sub(count, WORD(1)), [], next_factor)
        return []

    lanes.repeat(blocks, [], one_block)


def _gather(lanes: Lanes, digits: int, numbers: ir.Value, to: ir.Value) -> None:
    """Emit: as many numbers as there are lanes, which stand one after another, become a block."""

    def one(number: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
        lanes.store(lanes.load_column(numbers, number, digits, 0), to, lanes.b.mul(number, WORD(lanes.width)))
        return []

    lanes.repeat(digits, [], one)


def _copy(lanes: Lanes, digits: int, source: ir.Value, to: ir.Value) -> None:
    def one(number: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
        at = lanes.b.mul(number, WORD(lanes.width))
        lanes.store(lanes.load(source, at), to, at)
        return []

    lanes.repeat(digits, [], one)


def _choose(lanes: Lanes, digits: int, entries: Sequence[ir.Value], wanted: ir.Value, to: ir.Value) -> None:
    b = lanes.b
    differs = [lanes.not_zero(b.xor(wanted, lanes.word(at))) for at in range(len(entries))]

    def one(number: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
        at = b.mul(number, WORD(lanes.width))
        found = lanes.word(0)
        for entry, other in zip(entries, differs, strict=True):
            found = b.or_(found, b.select(other, lanes.word(0), lanes.load(entry, at)))
        lanes.store(found, to, at)
        return []

    lanes.repeat(digits, [], one)


def _product(made: Digits, digits: int, places: Sequence[ir.Value]) -> None:
    """Call: one block of products, (result, a, b, modulus, inverse, columns); the result may stand where a factor does."""

    def body(arguments: list[ir.Value]) -> list[ir.Value]:
        _emit_product(made, digits, arguments)
        return []

    made.lanes.subroutine("montgomery_product", places, [], body)


def _emit_product(made: Digits, digits: int, places: Sequence[ir.Value]) -> None:
    result, a, b_digits, modulus, inverse, columns = places
    lanes, b = made.lanes, made.lanes.b
    check(digits * 4 * 2**made.bits < _POSITIVE, "a column of so many products")
    width = lanes.width
    pair, carried = 2 * (made.low_offset + made.high_offset), _carried(made)
    inverse_digit = lanes.splat_as(inverse, WORD(0), made.vector)
    for at in range(digits):
        lanes.store(lanes.word(carried if at == 0 else 0), columns, at * width)

    def row(step: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        window = b.mul(step, WORD(width))
        factor = lanes.load(b_digits, window, made.vector)

        def column(at: int) -> ir.Value:
            return b.add(window, WORD(at * width))

        zero = lanes.word(0)
        low, high = made.add_product(lanes.load(columns, column(0)), zero, lanes.load(a, 0, made.vector), factor)
        lowest = b.add(low, lanes.splat(state[0]))
        quotient = made.quotient(lowest, inverse_digit)
        lowest, high = made.add_product(lowest, high, lanes.splat_as(modulus, WORD(0), made.vector), quotient)
        above = b.add(high, b.lshr(lowest, lanes.word(made.bits)))
        for at in range(1, digits):
            before = b.add(lanes.load(columns, column(at)), above)
            low, high = made.add_product(before, zero, lanes.load(a, at * width, made.vector), factor)
            low, above = made.add_product(low, high, lanes.splat_as(modulus, WORD(at), made.vector), quotient)
            lanes.store(low, columns, column(at))
        lanes.store(above, columns, column(digits))
        return [b.sub(state[0], WORD(pair))]

    lanes.repeat(digits, [WORD(made.settled() - made.low_offset - carried)], row)
    _carry(made, digits, result, columns)


def _carried(made: Digits) -> int:
    """The offset that a carry out of a settled column brings: that of the low half of the quotient's product included."""
    offset: int = (made.settled() + made.low_offset) % 2**64
    return offset >> made.bits


def _carry(made: Digits, digits: int, result: ir.Value, columns: ir.Value) -> None:
    """Emit: the upper columns as digits to `result`. Column r has had r rows fewer than the first of them."""
    lanes, b = made.lanes, made.lanes.b
    width = lanes.width
    pair, carried = 2 * (made.low_offset + made.high_offset), _carried(made)
    over_offset = made.settled() >> made.bits
    start = made.settled() - 2 * made.high_offset - (digits - 1) * pair

    def column(number: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        place = b.mul(number, WORD(width))
        word = lanes.load(columns, b.add(place, WORD(digits * width)))
        settled = lanes.sum([word, lanes.splat(state[0]), state[1]])
        lanes.store(made.digit(settled), result, place)
        return [b.add(state[0], WORD(pair)), b.sub(b.lshr(settled, lanes.word(made.bits)), lanes.word(over_offset))]

    lanes.repeat(digits, [WORD(start), lanes.word(-carried)], column)
