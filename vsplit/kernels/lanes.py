"""Vectors of 64-bit lanes in LLVM's intermediate representation: the layer under every kernel.

A `Lanes` wraps an IR builder. One vector holds one 64-bit word (or double) of each of `width` independent numbers, so that
every instruction works on `width` numbers at once and none ever looks at another. Nothing here branches or loads by a
lane's value: loop counts and addresses come from the caller, so a kernel takes the same time for all data.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

WORD = ir.IntType(64)
DOUBLE = ir.DoubleType()
POINTER = ir.PointerType()
_FULL = 2**64 - 1


class Lanes:
    """Emits code at the position of `builder`, for vectors of `width` lanes."""

    def __init__(self, builder: ir.IRBuilder, width: int) -> None:
        self.b = builder
        self.width = width
        self.ints = ir.VectorType(WORD, width)
        self.doubles = ir.VectorType(DOUBLE, width)

    def word(self, value: int) -> ir.Constant:
        """The same 64-bit word in every lane; negative numbers in two's complement."""
        return ir.Constant(self.ints, [value & _FULL] * self.width)

    def double(self, value: float) -> ir.Constant:
        """The same double in every lane."""
        return ir.Constant(self.doubles, [value] * self.width)

    def as_words(self, value: ir.Value) -> ir.Value:
        """The bits of doubles as words."""
        return self.b.bitcast(value, self.ints)

    def as_doubles(self, value: ir.Value) -> ir.Value:
        """Words as the bits of doubles."""
        return self.b.bitcast(value, self.doubles)

    def splat(self, scalar: ir.Value) -> ir.Value:
        """One scalar word in every lane."""
        undefined = ir.Constant(self.ints, ir.Undefined)
        one = self.b.insert_element(undefined, scalar, WORD(0))
        picks = ir.Constant(ir.VectorType(ir.IntType(32), self.width), [0] * self.width)
        return self.b.shuffle_vector(one, undefined, picks)

    def not_zero(self, word: ir.Value) -> ir.Value:
        """In every lane, the condition that the word is not zero, for `select`; it never becomes a jump."""
        return self.b.icmp_unsigned("!=", word, self.word(0))

    def intrinsic(self, name: str, result: ir.Type, arguments: Sequence[ir.Value]) -> ir.Value:
        """Call the LLVM intrinsic `name`."""
        module = self.b.module
        found = module.globals.get(name)
        if found is None:
            found = ir.Function(module, ir.FunctionType(result, [one.type for one in arguments]), name)
        return self.b.call(found, arguments)

    def sum(self, values: Sequence[ir.Value]) -> ir.Value:
        """The sum of words, lane by lane."""
        total = values[0]
        for value in values[1:]:
            total = self.b.add(total, value)
        return total

    # Memory. Addresses are in 64-bit words; vectors may begin at any multiple of 8 bytes.

    def load(self, base: ir.Value, at: ir.Value | int, kind: ir.Type | None = None) -> ir.Value:
        """The vector of `width` words (or doubles, with `kind`) that begins `at` words after `base`."""
        found = self.b.load(self._place(base, at), typ=kind or self.ints)
        found.align = 8
        return found

    def store(self, value: ir.Value, base: ir.Value, at: ir.Value | int) -> None:
        """Store a vector `at` words after `base`."""
        self.b.store(value, self._place(base, at)).align = 8

    def splat_from(self, base: ir.Value, at: ir.Value) -> ir.Value:
        """The word at `at` words after `base`, in every lane."""
        word = self.b.load(self._place(base, at), typ=WORD)
        word.align = 8
        return self.splat(word)

    def splat_as(self, base: ir.Value, at: ir.Value, kind: ir.Type) -> ir.Value:
        """The same, as a vector of `kind`: words, or the doubles that they are the bits of."""
        return self.b.bitcast(self.splat_from(base, at), kind)

    def load_column(self, base: ir.Value, first: ir.Value, stride: ir.Value | int, word: int) -> ir.Value:
        """Word `word` of `width` records of `stride` words each, one after another in memory, the first at `first`."""
        step = WORD(stride) if isinstance(stride, int) else stride
        column = ir.Constant(self.ints, ir.Undefined)
        for lane in range(self.width):
            place = self.b.add(first, self.b.add(self.b.mul(step, WORD(lane)), WORD(word)))
            one = self.b.load(self._place(base, place), typ=WORD)
            one.align = 8
            column = self.b.insert_element(column, one, WORD(lane))
        return column

    def store_column(self, column: ir.Value, base: ir.Value, first: ir.Value, stride: int, word: int) -> None:
        """The opposite of `load_column`."""
        for lane in range(self.width):
            one = self.b.extract_element(column, WORD(lane))
            self.b.store(one, self._place(base, self.b.add(first, WORD(lane * stride + word)))).align = 8

    def address(self, base: ir.Value, at: ir.Value) -> ir.Value:
        """The address `at` words after `base`."""
        return self._place(base, at)

    def _place(self, base: ir.Value, at: ir.Value | int) -> ir.Value:
        offset = WORD(at) if isinstance(at, int) else at
        return self.b.gep(base, [offset], source_etype=WORD)

    # Loops, whose counts are never secret.

    def repeat(
        self,
        times: ir.Value | int,
        state: Sequence[ir.Value],
        body: Callable[[ir.Value, list[Any]], Sequence[ir.Value]],
    ) -> list[ir.Value]:
        """Run `body(number, state)`, which returns the next state, for number = 0, 1, ... times - 1; at least once."""
        last = WORD(times) if isinstance(times, int) else times
        before, loop = self.b.block, self.b.append_basic_block("loop")
        after = self.b.append_basic_block("after")
        self.b.branch(loop)
        self.b.position_at_end(loop)
        number = self.b.phi(WORD)
        number.add_incoming(WORD(0), before)
        held = [self.b.phi(value.type) for value in state]
        for phi, value in zip(held, state, strict=True):
            phi.add_incoming(value, before)
        following = list(body(number, held))
        successor = self.b.add(number, WORD(1))
        number.add_incoming(successor, self.b.block)
        for phi, value in zip(held, following, strict=True):
            phi.add_incoming(value, self.b.block)
        self.b.cbranch(self.b.icmp_unsigned("<", successor, last), loop, after)
        self.b.position_at_end(after)
        return following

    def subroutine(
        self,
        name: str,
        arguments: Sequence[ir.Value],
        results: Sequence[ir.Type],
        body: Callable[[list[Any]], Sequence[ir.Value]],
    ) -> list[ir.Value]:
        """Call `name`, which returns vectors of these types; `body` emits it when it is first called.

        So code outside the hot path occurs only once in a module.
        """
        made = self.b.module.globals.get(name)
        if made is None:
            returned = ir.LiteralStructType(results)
            made = ir.Function(self.b.module, ir.FunctionType(returned, [one.type for one in arguments]), name)
            made.linkage = "internal"
            made.attributes.add("nounwind")
            made.attributes.add("noinline")
            caller, self.b = self.b, ir.IRBuilder(made.append_basic_block("entry"))
            together = ir.Constant(returned, ir.Undefined)
            for at, value in enumerate(body(list(made.args))):
                together = self.b.insert_value(together, value, at)
            self.b.ret(together)
            self.b = caller
        answer = self.b.call(made, arguments)
        return [self.b.extract_value(answer, at) for at in range(len(results))]


@contextmanager
def function(
    module: ir.Module, name: str, pointers: int, counts: int, width: int
) -> Iterator[tuple[Lanes, Sequence[ir.Value]]]:
    """A function `name(pointers..., counts...)` that returns nothing."""
    made = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * pointers + [WORD] * counts), name)
    made.attributes.add("nounwind")
    builder = ir.IRBuilder(made.append_basic_block("entry"))
    yield Lanes(builder, width), made.args
    builder.ret_void()


def bits_of(value: float) -> int:
    """The 64 bits of a double."""
    return int.from_bytes(struct.pack("<d", value), "little")
