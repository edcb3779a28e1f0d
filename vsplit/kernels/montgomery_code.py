"""Montgomery products of long integers as generated code: one odd modulus, as many pairs at once as there are lanes.

The integers are rows of digits, `digits` of them, least significant first; a block is `width` integers, digit by digit. The
method is the operand scanning of Koc, Acar and Kaliski (Analyzing and Comparing Montgomery Multiplication Algorithms, IEEE
Micro 1996) with carries put off to the end: a column is a 64-bit word and takes all products of its weight as they come.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from vsplit.kernels.digits import POSITIVE, Digits
from vsplit.kernels.field import check
from vsplit.kernels.lanes import WORD


def product(made: Digits, digits: int, places: Sequence[ir.Value]) -> None:
    """Call: one block of products, (result, a, b, modulus, inverse, columns); the result may stand where a factor does."""

    def body(arguments: list[ir.Value]) -> list[ir.Value]:
        _emit_product(made, digits, arguments)
        return []

    made.lanes.subroutine("montgomery_product", places, [], body)


def square(made: Digits, digits: int, places: Sequence[ir.Value]) -> None:
    """Call: one block of squares, (result, a, modulus, inverse, columns); the result may stand where the factor does."""

    def body(arguments: list[ir.Value]) -> list[ir.Value]:
        _emit_square(made, digits, arguments)
        return []

    made.lanes.subroutine("montgomery_square", places, [], body)


def _emit_product(made: Digits, digits: int, places: Sequence[ir.Value]) -> None:
    result, a, b_digits, modulus, inverse, columns = places
    lanes, b = made.lanes, made.lanes.b
    check(digits * 4 * 2**made.bits < POSITIVE, "a column of so many products")
    width = lanes.width
    for at in range(digits):
        lanes.store(lanes.word(_carried(made) if at == 0 else 0), columns, at * width)
    inverse_digit = lanes.splat_as(inverse, WORD(0), made.vector)

    def row(step: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        window = lanes.address(columns, b.mul(step, WORD(width)))
        factor = lanes.load(b_digits, b.mul(step, WORD(width)), made.vector)
        zero = lanes.word(0)
        low, high = made.add_product(lanes.load(window, 0), zero, lanes.load(a, 0, made.vector), factor)
        quotient, above = _cancelled(made, b.add(low, lanes.splat(state[0])), high, modulus, inverse_digit)
        for at in range(1, digits):
            before = b.add(lanes.load(window, at * width), above)
            low, high = made.add_product(before, zero, lanes.load(a, at * width, made.vector), factor)
            low, above = made.add_product(low, high, lanes.splat_as(modulus, WORD(at), made.vector), quotient)
            lanes.store(low, window, at * width)
        lanes.store(above, window, digits * width)
        return [b.sub(state[0], WORD(2 * _pair(made)))]

    lanes.repeat(digits, [WORD(made.settled() - made.low_offset - _carried(made))], row)
    _carry(made, digits, result, columns, rows=2)


def _emit_square(made: Digits, digits: int, places: Sequence[ir.Value]) -> None:
    """First the whole square, with each pair of different digits once; then the rows that reduce it."""
    result, a, modulus, inverse, columns = places
    lanes, b = made.lanes, made.lanes.b
    width = lanes.width
    for at in range(2 * digits):
        lanes.store(lanes.word(0), columns, at * width)

    def digit(at: ir.Value) -> ir.Value:
        return lanes.load(a, b.mul(at, WORD(width)), made.vector)

    def pairs(first: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
        window = lanes.address(columns, b.mul(b.add(b.add(first, first), WORD(1)), WORD(width)))
        factor = digit(first)

        def pair(at: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
            place = b.mul(at, WORD(width))
            other = digit(b.add(b.add(first, at), WORD(1)))
            low, high = made.add_product(b.add(lanes.load(window, place), state[0]), lanes.word(0), other, factor)
            lanes.store(low, window, place)
            return [high]

        count = b.sub(WORD(digits - 1), first)
        (above,) = lanes.repeat(count, [lanes.word(0)], pair)
        lanes.store(above, window, b.mul(count, WORD(width)))
        return []

    lanes.repeat(digits - 1, [], pairs)
    offsets = _square_offsets(made, digits)

    def squares(at: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
        both = []
        for half in range(2):
            column = b.add(b.add(at, at), WORD(half))
            held = lanes.load(columns, b.mul(column, WORD(width)))
            both.append(b.sub(b.add(held, held), lanes.splat_from(offsets, column)))
        factor = digit(at)
        low, high = made.add_product(both[0], both[1], factor, factor)
        lanes.store(low, columns, b.mul(b.add(at, at), WORD(width)))
        lanes.store(high, columns, b.mul(b.add(b.add(at, at), WORD(1)), WORD(width)))
        return []

    lanes.repeat(digits, [], squares)
    _emit_reduction(made, digits, [result, modulus, inverse, columns])


def _emit_reduction(made: Digits, digits: int, places: Sequence[ir.Value]) -> None:
    """2 `digits` columns without offset, but for the lowest, which has that of a carry, reduced to `digits` digits."""
    result, modulus, inverse, columns = places
    lanes, b = made.lanes, made.lanes.b
    width = lanes.width
    inverse_digit = lanes.splat_as(inverse, WORD(0), made.vector)

    def row(step: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        window = lanes.address(columns, b.mul(step, WORD(width)))
        zero = lanes.word(0)
        lowest = b.add(lanes.load(window, 0), lanes.splat(state[0]))
        quotient, above = _cancelled(made, lowest, zero, modulus, inverse_digit)
        for at in range(1, digits):
            before = b.add(lanes.load(window, at * width), above)
            low, above = made.add_product(before, zero, lanes.splat_as(modulus, WORD(at), made.vector), quotient)
            lanes.store(low, window, at * width)
        lanes.store(b.add(lanes.load(window, digits * width), above), window, digits * width)
        return [b.sub(state[0], WORD(_pair(made)))]

    lanes.repeat(digits, [WORD(made.settled() - _carried(made))], row)
    _carry(made, digits, result, columns, rows=1)


def _cancelled(
    made: Digits, lowest: ir.Value, high: ir.Value, modulus: ir.Value, inverse: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """The digit that makes the settled column `lowest` a multiple of the radix, and what then goes to the next one."""
    lanes, b = made.lanes, made.lanes.b
    quotient = made.quotient(lowest, inverse)
    lowest, high = made.add_product(lowest, high, lanes.splat_as(modulus, WORD(0), made.vector), quotient)
    return quotient, b.add(high, b.lshr(lowest, lanes.word(made.bits)))


def _square_offsets(made: Digits, digits: int) -> ir.GlobalVariable:
    """For each column of a square what its products add beside their values; the lowest is to keep that of a carry."""
    pairs = [len(range(max(0, column - digits + 1), (column + 1) // 2)) for column in range(2 * digits)]
    offsets = [
        2 * pairs[column] * made.low_offset
        + 2 * (pairs[column - 1] if column else 0) * made.high_offset
        + (made.high_offset if column % 2 else made.low_offset)
        for column in range(2 * digits)
    ]
    offsets[0] -= _carried(made)
    kind = ir.ArrayType(WORD, 2 * digits)
    table = ir.GlobalVariable(made.lanes.b.module, kind, "square_offsets")
    table.linkage, table.global_constant = "internal", True
    table.initializer = ir.Constant(kind, [offset % 2**64 for offset in offsets])
    return table


def _pair(made: Digits) -> int:
    """What both halves of a product add beside their values."""
    return made.low_offset + made.high_offset


def _carried(made: Digits) -> int:
    """The offset that a carry out of a settled column brings: that of the low half of the quotient's product included."""
    offset: int = (made.settled() + made.low_offset) % 2**64
    return offset >> made.bits


def _carry(made: Digits, digits: int, result: ir.Value, columns: ir.Value, *, rows: int) -> None:
    """Emit: the upper columns as digits to `result`. Column r has had r rows fewer than the first; a row adds `rows`
    products to a column."""
    lanes, b = made.lanes, made.lanes.b
    width = lanes.width
    over_offset = made.settled() >> made.bits
    start = made.settled() - rows * (made.high_offset + (digits - 1) * _pair(made))

    def column(number: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        place = b.mul(number, WORD(width))
        word = lanes.load(columns, b.add(place, WORD(digits * width)))
        settled = lanes.sum([word, lanes.splat(state[0]), state[1]])
        lanes.store(made.digit(settled), result, place)
        over = b.sub(b.lshr(settled, lanes.word(made.bits)), lanes.word(over_offset))
        return [b.add(state[0], WORD(rows * _pair(made))), over]

    lanes.repeat(digits, [WORD(start), lanes.word(-_carried(made))], column)
