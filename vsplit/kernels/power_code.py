"""Operations on Montgomery products as generated code: many products, powers, and products of several factors.

Numbers modulo m^2 are pairs, laid out as in `montgomery_code`. `modulus` has the digits of m, `inverse` is the digit -1 / m
modulo 2^bits, and `scratch` has room for `scratch_vectors`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from vsplit.kernels.digits import Digits
from vsplit.kernels.lanes import WORD, Lanes
from vsplit.kernels.montgomery_code import pair_digits, product, square

WINDOW = 4
"""Bits of an exponent that are taken together."""


def multiply_blocks(made: Digits, digits: int, arguments: Sequence[ir.Value]) -> None:
    """Emit left right / R modulo m^2, R = 2^(bits digits): (results, left, right, modulus, inverse, scratch, blocks).

    With 16 m <= R and both integers of each factor below 2 m in absolute value, so are those of the results; they may be
    negative where digits may.
    """
    results, left, right, modulus, inverse, scratch, blocks = arguments
    lanes, b = made.lanes, made.lanes.b

    def one_block(number: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
        first = b.mul(number, WORD(pair_digits(digits) * lanes.width))
        places = [lanes.address(one, first) for one in (results, left, right)]
        product(made, digits, [*places, modulus, inverse, scratch])
        return []

    lanes.repeat(blocks, [], one_block)


def power_blocks(made: Digits, digits: int, arguments: Sequence[ir.Value]) -> None:
    """Emit bases^e for blocks of bases in Montgomery's form, with one secret e for all.

    (results, bases, one, exponent, modulus, inverse, scratch, table, windows, blocks): `exponent` is e in windows of
    WINDOW bits, a word each, the highest first; `one` is 1 in Montgomery's form, one block; `table` has room for
    2^WINDOW + 1 blocks. The entry for a window is found by reading all entries, so that no address depends on e.
    """
    results, bases, one, exponent, modulus, inverse, scratch, table, windows, blocks = arguments
    lanes, b = made.lanes, made.lanes.b
    count = pair_digits(digits)
    size = count * lanes.width

    def multiply(to: ir.Value, left: ir.Value, right: ir.Value) -> None:
        product(made, digits, [to, left, right, modulus, inverse, scratch])

    def one_block(number: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
        first = b.mul(number, WORD(size))
        result, base = lanes.address(results, first), lanes.address(bases, first)
        entries = [lanes.address(table, WORD(at * size)) for at in range(2**WINDOW)]
        _copy(lanes, count, one, entries[0])
        _copy(lanes, count, base, entries[1])
        _fill_table(lanes, size, table, base, multiply)
        chosen = lanes.address(table, WORD(2**WINDOW * size))
        _copy(lanes, count, one, result)

        def window(step: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
            for _ in range(WINDOW):
                square(made, digits, [result, result, modulus, inverse, scratch])
            _choose(lanes, count, entries, lanes.splat_from(exponent, step), chosen)
            multiply(result, result, chosen)
            return []

        lanes.repeat(windows, [], window)
        return []

    lanes.repeat(blocks, [], one_block)


def _fill_table(
    lanes: Lanes, size: int, table: ir.Value, base: ir.Value, multiply: Callable[[ir.Value, ir.Value, ir.Value], None]
) -> None:
    """Emit the entries from base^2 on, each the product of the one before and `base`."""

    def next_entry(at: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
        last = lanes.address(table, lanes.b.mul(lanes.b.add(at, WORD(1)), WORD(size)))
        multiply(lanes.address(last, WORD(size)), last, base)
        return []

    lanes.repeat(2**WINDOW - 2, [], next_entry)


def chain_blocks(made: Digits, digits: int, arguments: Sequence[ir.Value]) -> None:
    """Emit the product of several factors for each of many numbers: (results, factors, modulus, inverse, scratch, block,
    count, blocks).

    `factors` are in Montgomery's form, number by number and not in blocks: the first factor of all, then the second of
    all and so on, `count` of them; the results are in blocks. `block` has room for one.
    """
    results, factors, modulus, inverse, scratch, block, count, blocks = arguments
    lanes, b = made.lanes, made.lanes.b
    long = pair_digits(digits)
    size = WORD(long * lanes.width)

    def one_block(number: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
        first = b.mul(number, size)
        result = lanes.address(results, first)
        _gather(lanes, long, lanes.address(factors, first), result)

        def next_factor(at: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
            place = b.add(first, b.mul(b.mul(b.add(at, WORD(1)), blocks), size))
            _gather(lanes, long, lanes.address(factors, place), block)
            product(made, digits, [result, result, block, modulus, inverse, scratch])
            return []

        lanes.repeat(b.sub(count, WORD(1)), [], next_factor)
        return []

    lanes.repeat(blocks, [], one_block)


def _gather(lanes: Lanes, digits: int, numbers: ir.Value, to: ir.Value) -> None:
    """Emit: as many numbers as there are lanes, one after another in memory, become a block."""

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
