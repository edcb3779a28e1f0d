"""The interface of the arithmetic modulo p = 2^255 - 19 for the curve's kernels, independent of the instructions used.

A number is five limbs of 51 bits, least significant first; two fields, `fma51` and `ifma51`, implement it. Products come
as a `Sum`: five columns that are not carried yet, so that sums and differences of products are carried once. Every bound
is followed while the code is generated: what could exceed a register raises ArithmeticError then, for all data at once,
and never yields a wrong number later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from llvmlite import ir

from vsplit.kernels.lanes import Lanes

BITS = 51
LIMBS = 5
MASK = 2**BITS - 1
P = 2**255 - 19
WORDS = 4
"""64-bit words of a number in memory."""


@dataclass(frozen=True, slots=True)
class Element:
    """A number modulo p in every lane: five limbs, each of at most `bound` in absolute value."""

    limbs: Sequence[ir.Value]
    bound: int


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum of products: five columns as 64-bit words, each `offset` above its true value.

    `bounds` are those of the true values, in absolute value.
    """

    words: Sequence[ir.Value]
    offsets: Sequence[int]
    bounds: Sequence[int]


class Field(Protocol):
    """Arithmetic modulo p on `lanes.width` numbers at once."""

    lanes: Lanes
    tight: int
    """The bound of a carried number; the state of loops has this bound."""
    vector: ir.Type
    """The type of a limb."""

    def multiply(self, a: Element, b: Element) -> Sum:
        """a b."""

    def square(self, a: Element) -> Sum:
        """a^2."""

    def times(self, a: Element, factor: int) -> Sum:
        """a times a constant below 2^20."""

    def lift(self, a: Element) -> Sum:
        """a as a sum, to which others can be added."""

    def add(self, a: Sum, b: Sum) -> Sum:
        """a + b."""

    def subtract(self, a: Sum, b: Sum) -> Sum:
        """a - b."""

    def carry(self, a: Sum) -> Element:
        """The same number in limbs that are `tight`."""

    def difference(self, a: Element, b: Element) -> Element:
        """a - b, valid for one multiplication with a tight number."""

    def from_limbs(self, words: Sequence[ir.Value], bound: int) -> Element:
        """A tight number from five words of at most `bound` each."""

    def to_limbs(self, a: Element) -> list[ir.Value]:
        """Five words, each below 2^51, of the one number below p that is equal to `a`."""


def check(held: bool, what: str) -> None:
    """Raise ArithmeticError unless `held`; `what` names the bound that the generated code would break."""
    if not held:
        raise ArithmeticError(f"a kernel would overflow: {what}")


def times_19(lanes: Lanes, word: ir.Value) -> ir.Value:
    """19 times a signed word, by shifts and sums: there is no product of 64-bit lanes in one instruction."""
    b = lanes.b
    nine = b.add(word, b.shl(word, lanes.word(3)))
    return b.add(word, b.add(nine, nine))


def reduced(lanes: Lanes, words: Sequence[ir.Value]) -> list[ir.Value]:
    """Five words, each not negative and below 2^60, as the limbs of the one number below p that they represent."""
    words = _carried(lanes, _carried(lanes, words))
    # Two passes leave a number below 2^255 + 19, so adding 19 reaches 2^255 exactly if it is p or more.
    over = lanes.word(19)
    for word in words:
        over = lanes.b.lshr(lanes.b.add(word, over), lanes.word(BITS))
    lowest = lanes.b.add(words[0], times_19(lanes, over))
    return _chained(lanes, [lowest, *words[1:]])[0]


def _carried(lanes: Lanes, words: Sequence[ir.Value]) -> list[ir.Value]:
    limbs, over = _chained(lanes, words)
    return [lanes.b.add(limbs[0], times_19(lanes, over)), *limbs[1:]]


def _chained(lanes: Lanes, words: Sequence[ir.Value]) -> tuple[list[ir.Value], ir.Value]:
    limbs, over = [], lanes.word(0)
    for word in words:
        total = lanes.b.add(word, over)
        limbs.append(lanes.b.and_(total, lanes.word(MASK)))
        over = lanes.b.lshr(total, lanes.word(BITS))
    return limbs, over
