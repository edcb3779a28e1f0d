"""Montgomery products modulo the square of a long odd number m, as generated code: as many at once as there are lanes.

A number modulo m^2 is a *pair* (a, b) of integers that represents a - b m. With R = 2^(bits digits), Montgomery's reduction of
a c is s = (a c + t m) / R for the t whose digits it finds one after another. So modulo m^2

    (a - b m) (c - d m) / R  =  s - m (a d + b c + t) / R,

and a second reduction makes (a d + b c + t) / R an integer: five products of single length, where one integer of double length
takes eight, and four for a square, where it takes six at best. The idea to work to the base of m is that of K. Takagi (Fast
RSA-type cryptosystem modulo p^k q, CRYPTO '98, section 3), here with Montgomery's quotient t in place of a division.

The integers are rows of digits, `digits` of them, least significant first; a block is `width` numbers, digit by digit, a before
b. The method of a reduction is the operand scanning of Koc, Acar and Kaliski (Analyzing and Comparing Montgomery Multiplication
Algorithms, IEEE Micro 1996) with carries deferred to the end: a column is a 64-bit word and takes all products of its weight as
they come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from vsplit.kernels.digits import Digits, Factors
from vsplit.kernels.field import check
from vsplit.kernels.lanes import WORD

MOST_TERMS = 3
"""Products that fall into each column for each digit: a d, b c and the multiple of m."""


def pair_digits(digits: int) -> int:
    """Digits of a pair."""
    return 2 * digits


def scratch_vectors(digits: int) -> int:
    """Vectors of scratch memory that `product` and `square` need."""
    return 4 * digits


def product(made: Digits, digits: int, places: Sequence[ir.Value]) -> None:
    """Call: one block of products, (result, left, right, modulus, inverse, scratch); the result may replace a factor."""

    def body(arguments: list[ir.Value]) -> list[ir.Value]:
        result, left, right, *rest = arguments
        code = _Code(made, digits, *rest)
        (a, b), (c, d) = code.halves(left), code.halves(right)
        code.emit(result, [_Term(a, c)], [_Term(a, d), _Term(b, c)])
        return []

    made.lanes.subroutine("montgomery_product", places, [], body)


def square(made: Digits, digits: int, places: Sequence[ir.Value]) -> None:
    """Call: one block of squares, (result, factor, modulus, inverse, scratch); the result may replace the factor."""

    def body(arguments: list[ir.Value]) -> list[ir.Value]:
        result, factor, *rest = arguments
        code = _Code(made, digits, *rest)
        a, b = code.halves(factor)
        code.emit(result, [_Term(a, a)], [_Term(a, b, twice=True)])
        return []

    made.lanes.subroutine("montgomery_square", places, [], body)


@dataclass(frozen=True, slots=True)
class _Term:
    """The product of two integers, or twice that product."""

    left: ir.Value
    right: ir.Value
    twice: bool = False


@dataclass(frozen=True, slots=True)
class _Code:
    """The body of a subroutine."""

    made: Digits
    digits: int
    modulus: ir.Value
    inverse: ir.Value
    scratch: ir.Value

    def halves(self, pair: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The addresses of the two integers of a pair."""
        return pair, self._place(pair, self.digits)

    def emit(self, result: ir.Value, low: Sequence[_Term], high: Sequence[_Term]) -> None:
        """Reduce `low`, then `high` plus the digits that the first reduction found; both to the pair `result`."""
        made, lanes, width = self.made, self.made.lanes, self.made.lanes.width
        check(self.digits * 2 * MOST_TERMS * 2**made.bits < made.most, "a column of so many products")
        # The factors are needed until the end, and the result may replace one: so the first integer is stored later.
        columns, quotients, held = (self._place(self.scratch, at * self.digits) for at in (0, 2, 3))
        for at in range(self.digits):
            lanes.store(lanes.word(0), columns, at * width)
        self._reduce(low, columns, held, start=0, quotients=quotients)
        for at in range(self.digits):
            lanes.store(made.as_low(lanes.load(quotients, at * width, made.vector)), columns, at * width)
        self._reduce(high, columns, self._place(result, self.digits), start=made.low_offset, quotients=None)
        for at in range(self.digits):
            lanes.store(lanes.load(held, at * width), result, at * width)

    def _reduce(
        self, terms: Sequence[_Term], columns: ir.Value, result: ir.Value, *, start: int, quotients: ir.Value | None
    ) -> None:
        """One reduction, of the terms and of the first `digits` columns, each `start` above its value.

        The digit that cancels the lowest column of a row is found while the row before is under way, since the whole row
        would wait for it otherwise. `quotients` is where these digits go, if they are wanted.
        """
        made, b, width = self.made, self.made.lanes.b, self.made.lanes.width
        settled = made.settled() - start - made.low_offset
        first = self._begin(terms, WORD(0), made.lanes.load(columns, 0), WORD(settled), quotients)
        following = settled - _begun_offset(made) - _pair_offset(made)

        def row(step: ir.Value, state: list[ir.Value], *, last: bool) -> list[ir.Value]:
            settle, above, *digits = state
            window = made.lanes.address(columns, b.mul(step, WORD(width)))
            begun: list[ir.Value] = []
            for at in range(1, self.digits):
                before = b.add(made.lanes.load(window, at * width), above)
                low, above = made.add_products(before, self._factors(terms, at, digits))
                if at == 1 and not last:
                    begun = self._begin(terms, b.add(step, WORD(1)), low, settle, quotients)
                else:
                    made.lanes.store(low, window, at * width)
            made.lanes.store(above, window, self.digits * width)
            return [b.sub(settle, WORD(_pair_offset(made))), *begun]

        state = made.lanes.repeat(
            self.digits - 1, [WORD(following), *first], lambda step, held: row(step, held, last=False)
        )
        row(WORD(self.digits - 1), state, last=True)
        self._carry(columns, result)

    def _begin(
        self,
        terms: Sequence[_Term],
        step: ir.Value,
        column: ir.Value,
        settle: ir.Value,
        quotients: ir.Value | None,
    ) -> list[ir.Value]:
        """Begin row `step`: what its lowest column carries to the next, its digits of the right factors, its quotient."""
        made, lanes, b = self.made, self.made.lanes, self.made.lanes.b
        place = b.mul(step, WORD(lanes.width))
        digits = [lanes.load(term.right, place, made.vector) for term in terms]
        digits = [made.doubled(one) if term.twice else one for term, one in zip(terms, digits, strict=True)]
        low, high = made.add_products(column, self._factors(terms, 0, digits))
        low = b.add(low, lanes.splat(settle))
        quotient = made.quotient(low, lanes.splat_as(self.inverse, WORD(0), made.vector))
        low, more = made.add_products(low, self._factors([], 0, [quotient]))
        if quotients is not None:
            lanes.store(quotient, quotients, place)
        return [lanes.sum([high, more, b.lshr(low, lanes.word(made.bits))]), *digits, quotient]

    def _factors(self, terms: Sequence[_Term], at: int, digits: Sequence[ir.Value]) -> list[Factors]:
        """The contents of one column: digit `at` of each left factor and of the modulus, times `digits`, of which the last
        is the quotient; without it, the terms alone."""
        made, lanes = self.made, self.made.lanes
        factors = [
            Factors(lanes.load(term.left, at * lanes.width, made.vector), digit, term.twice)
            for term, digit in zip(terms, digits, strict=False)
        ]
        quotient = digits[len(terms) :]
        return factors + [Factors(lanes.splat_as(self.modulus, WORD(at), made.vector), one) for one in quotient]

    def _carry(self, columns: ir.Value, result: ir.Value) -> None:
        """The upper columns as digits to `result`. Column r has had r rows fewer than the first."""
        made, lanes, b = self.made, self.made.lanes, self.made.lanes.b
        over_offset = made.settled() >> made.bits
        start = made.settled() - made.high_offset - (self.digits - 1) * _pair_offset(made)

        def column(number: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
            place = b.mul(number, WORD(lanes.width))
            word = lanes.load(columns, b.add(place, WORD(self.digits * lanes.width)))
            settled = lanes.sum([word, lanes.splat(state[0]), state[1]])
            lanes.store(made.digit(settled), result, place)
            over = b.sub(b.lshr(settled, lanes.word(made.bits)), lanes.word(over_offset))
            return [b.add(state[0], WORD(_pair_offset(made))), over]

        lanes.repeat(self.digits, [WORD(start), lanes.word(-_begun_offset(made))], column)

    def _place(self, base: ir.Value, vectors: int) -> ir.Value:
        return self.made.lanes.address(base, WORD(vectors * self.made.lanes.width))


def _pair_offset(made: Digits) -> int:
    """What a row adds to a column beside values: for the low half of its products, and the high half of those below."""
    return made.low_offset + made.high_offset


def _begun_offset(made: Digits) -> int:
    """What the begin of a row adds to the next column beyond the high half of one product: a second high half, and in the carry
    the offset of the settled column with the low half of the quotient's product."""
    offset: int = (made.settled() + made.low_offset) % 2**64
    return made.high_offset + (offset >> made.bits)
