"""What is done with Montgomery products, as generated code: many products, powers, and chains of factors.

Numbers are laid out as in `montgomery_code`.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from vsplit.kernels import montgomery_code
from vsplit.kernels.digits import Digits
from vsplit.kernels.lanes import WORD, Lanes

WINDOW = 4
"""Bits of an exponent that are taken together."""


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
        montgomery_code.product(made, digits, [*places, modulus, inverse, columns])
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
        montgomery_code.product(made, digits, [to, left, right, modulus, inverse, columns])

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
                montgomery_code.square(made, digits, [result, result, modulus, inverse, columns])
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
            montgomery_code.product(made, digits, [result, result, block, modulus, inverse, columns])
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
