"""The curve's kernels as generated code: X25519 (RFC 7748) and the map of RFC 9380 to Curve25519, over any `Field`.

Both leave fractions X / Z in memory for a whole run of blocks and invert all Z of a lane together (Montgomery's trick:
P. Montgomery. Speeding the Pollard and Elliptic Curve Methods of Factorization. 1987, section 10.3.1). A block is as
many numbers as the field has lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from vsplit.kernels.curve_arithmetic import (
    canonical,
    chosen,
    elements_of,
    inverse,
    is_zero,
    limbs_of,
    power_2_250_minus_1,
    product,
    small,
    squarings,
    swapped,
)
from vsplit.kernels.field import BITS, LIMBS, MASK, WORDS, Element, Field, times_19
from vsplit.kernels.lanes import WORD

_J = 486662
_A24 = 121665  # (J - 2) / 4
_HASHED_WORDS = 6  # 48 uniform bytes make one element of the field (RFC 9380, section 5)
HASHED_STRIDE = 8
"""64-bit words from one input of the map to the next: it is the beginning of a SHA-512 digest."""
SCRATCH_VECTORS = 3 * LIMBS
"""Vectors of scratch memory for each block: X, Z, and the product of all Z before."""


def multiply_blocks(field: Field, arguments: Sequence[ir.Value]) -> None:
    """Emit X25519 of one scalar with many points: (scalar: 32 bytes, points, products, scratch, blocks).

    `points` and `products` are 32 bytes each, little endian. The scalar is used unchanged, bits 254 to 0; its three
    lowest bits must be zero. A product without a u-coordinate is zero.
    """
    scalar, points, products, scratch, blocks = arguments

    def one_block(number: ir.Value) -> tuple[Element, Element]:
        return _ladder(field, scalar, _load_point(field, points, number))

    _as_fractions(field, one_block, products, scratch, blocks)


def map_blocks(field: Field, arguments: Sequence[ir.Value]) -> None:
    """Emit the map to the curve for many inputs: (digests, points, scratch, blocks).

    Each point is 8 times the one that Elligator 2 makes of the input (RFC 9380, sections 6.7.1 and 7), its u-coordinate
    alone, 32 bytes, little endian; zero for the neutral element. An input is the first six of the eight words of a
    digest, the most significant first.
    """
    digests, points, scratch, blocks = arguments

    def one_block(number: ir.Value) -> tuple[Element, Element]:
        x, z = _elligator(field, _load_hashed(field, digests, number))
        for _ in range(3):
            x, z = _double(field, x, z)
        return x, z

    _as_fractions(field, one_block, points, scratch, blocks)


def _ladder(field: Field, scalar: ir.Value, x1: Element) -> tuple[Element, Element]:
    """The Montgomery ladder (RFC 7748, section 5), with x + z and x - z of both points as its state.

    So the sums and differences of products are made before they are carried.
    """
    lanes, b = field.lanes, field.lanes.b
    one = small(field, 1)
    lifted, unit = field.lift(x1), field.lift(one)
    start = [one, one, field.carry(field.add(lifted, unit)), field.carry(field.subtract(lifted, unit))]

    def step(number: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        bit_number = b.sub(WORD(254), number)
        # The scalar, too, is only ever in vector registers, from which nothing leads to a jump or an address.
        word = lanes.splat_from(scalar, b.lshr(bit_number, WORD(6)))
        bit = b.and_(b.lshr(word, lanes.splat(b.and_(bit_number, WORD(63)))), lanes.word(1))
        swap = lanes.not_zero(b.xor(bit, state[-1]))
        a, d_a, c, d_c = elements_of(field, state[:-1])
        a, c = swapped(field, swap, a, c)
        d_a, d_c = swapped(field, swap, d_a, d_c)
        return [*limbs_of(field, _double_and_add(field, x1, a, d_a, c, d_c)), bit]

    # After the last bit, which is zero, nothing has to be swapped back.
    ended = lanes.repeat(255, [*limbs_of(field, start), lanes.word(0)], step)
    plus, minus, *_ = elements_of(field, ended[:-1])
    x = field.carry(field.add(field.lift(plus), field.lift(minus)))
    z = field.carry(field.subtract(field.lift(plus), field.lift(minus)))
    return x, z


def _double_and_add(field: Field, x1: Element, a: Element, d_a: Element, c: Element, d_c: Element) -> list[Element]:
    """One step of the ladder, on sums (`a`, `c`) and differences (`d_a`, `d_c`) of the coordinates of both points."""
    # Each carry is a chain of dependent instructions, so it is placed after a product that does not wait for it.
    da, cb = field.multiply(d_c, a), field.multiply(c, d_a)
    a_squared = field.square(a)
    crossed = field.carry(field.add(da, cb))
    b_squared = field.square(d_a)
    apart = field.carry(field.subtract(da, cb))
    aa = field.carry(a_squared)
    x3 = field.square(crossed)
    bb = field.carry(b_squared)
    apart_squared = field.square(apart)
    e = field.difference(aa, bb)
    scaled = field.add(field.times(e, _A24), field.lift(aa))
    spread = field.carry(apart_squared)
    x2 = field.multiply(aa, bb)
    scaled_limbs = field.carry(scaled)
    z3 = field.multiply(x1, spread)
    z2 = field.multiply(e, scaled_limbs)
    sums = [field.add(x2, z2), field.subtract(x2, z2), field.add(x3, z3), field.subtract(x3, z3)]
    return [field.carry(one) for one in sums]


def _elligator(field: Field, element: Element) -> tuple[Element, Element]:
    """The u-coordinate of Elligator 2 with Z = 2 as a fraction: -J / d or J / d - J, with d = 1 + 2 element^2.

    The first is on the curve exactly if -J d (J^2 - J^2 d + d^2) is a square, which Euler's criterion says.
    """
    lanes, b = field.lanes, field.lanes.b
    one = small(field, 1)
    square = field.lift(squarings(field, element, 1))
    d = field.carry(field.add(field.add(square, square), field.lift(one)))
    # J^2 d is J (J d), each factor below 2^20; J^2 alone fits into one limb.
    jd = field.carry(field.times(d, _J))
    dd = squarings(field, d, 1)
    j2 = small(field, _J * _J)
    inner = field.carry(field.add(field.subtract(field.lift(j2), field.times(jd, _J)), field.lift(dd)))
    residue = product(field, jd, inner)
    # -1 is a square of this field (p = 1 mod 4), so the sign of -J d does not matter.
    root = power_2_250_minus_1(field, residue)
    squared = squarings(field, residue, 1)
    sixth = product(field, squarings(field, squared, 1), squared)
    character = canonical(field, product(field, squarings(field, root, 4), sixth))
    off_one = b.xor(character[0], lanes.word(1))
    for limb in character[1:]:
        off_one = b.or_(off_one, limb)
    first = b.icmp_unsigned("==", off_one, lanes.word(0))
    minus_j = field.carry(field.subtract(field.lift(small(field, 0)), field.lift(small(field, _J))))
    other = field.carry(field.subtract(field.lift(small(field, _J)), field.lift(jd)))
    return chosen(field, first, minus_j, other), d


def _double(field: Field, x: Element, z: Element) -> tuple[Element, Element]:
    plus = field.carry(field.add(field.lift(x), field.lift(z)))
    minus = field.carry(field.subtract(field.lift(x), field.lift(z)))
    aa, bb = squarings(field, plus, 1), squarings(field, minus, 1)
    e = field.carry(field.subtract(field.lift(aa), field.lift(bb)))
    scaled = field.carry(field.add(field.times(e, _A24), field.lift(aa)))
    return product(field, aa, bb), product(field, e, scaled)


def _as_fractions(
    field: Field,
    one_block: Callable[[ir.Value], tuple[Element, Element]],
    results: ir.Value,
    scratch: ir.Value,
    blocks: ir.Value,
) -> None:
    """Emit: X / Z of every block to `results`, by one inversion for each lane."""
    lanes, b = field.lanes, field.lanes.b
    slot = SCRATCH_VECTORS * lanes.width

    def forward(number: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        so_far = elements_of(field, state)[0]
        x, z = one_block(number)
        # A zero would make the product of the whole lane zero: it becomes the fraction 0 / 1.
        gone = is_zero(field, z)
        x = chosen(field, gone, small(field, 0), x)
        z = chosen(field, gone, small(field, 1), z)
        base = b.mul(number, WORD(slot))
        for at, limb in enumerate(limbs_of(field, [x, z, so_far])):
            lanes.store(limb, scratch, b.add(base, WORD(at * lanes.width)))
        return limbs_of(field, [product(field, so_far, z)])

    total = lanes.repeat(blocks, limbs_of(field, [small(field, 1)]), forward)
    inverse_of_all = inverse(field, elements_of(field, total)[0])

    def backward(number: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        block = b.sub(b.sub(blocks, WORD(1)), number)
        base = b.mul(block, WORD(slot))
        vectors = [
            lanes.load(scratch, b.add(base, WORD(at * lanes.width)), field.vector) for at in range(SCRATCH_VECTORS)
        ]
        x, z, before = elements_of(field, vectors)
        inverted = elements_of(field, state)[0]
        u = product(field, x, product(field, inverted, before))
        _store_point(field, canonical(field, u), results, block)
        return limbs_of(field, [product(field, inverted, z)])

    lanes.repeat(blocks, limbs_of(field, [inverse_of_all]), backward)


def _load_point(field: Field, points: ir.Value, number: ir.Value) -> Element:
    lanes, b = field.lanes, field.lanes.b
    first = b.mul(number, WORD(WORDS * lanes.width))
    words = [lanes.load_column(points, first, WORDS, word) for word in range(WORDS)]
    # The highest bit is ignored (RFC 7748, section 5).
    return field.from_limbs(_cut(field, words, LIMBS), MASK)


def _load_hashed(field: Field, digests: ir.Value, number: ir.Value) -> Element:
    """48 bytes modulo p: the bits from 255 on count 19-fold."""
    lanes, b = field.lanes, field.lanes.b
    first = b.mul(number, WORD(HASHED_STRIDE * lanes.width))
    words = [lanes.load_column(digests, first, HASHED_STRIDE, word) for word in reversed(range(_HASHED_WORDS))]
    limbs = _cut(field, words, 8)
    for at in range(3):
        limbs[at] = b.add(limbs[at], times_19(lanes, limbs[LIMBS + at]))
    return field.from_limbs(limbs[:LIMBS], 20 * MASK)


def _cut(field: Field, words: Sequence[ir.Value], limbs: int) -> list[ir.Value]:
    """64-bit words, least significant first, as limbs of 51 bits."""
    lanes, b = field.lanes, field.lanes.b
    out = []
    for at in range(limbs):
        word, shift = divmod(at * BITS, 64)
        limb = b.lshr(words[word], lanes.word(shift)) if shift else words[word]
        if shift > 64 - BITS and word + 1 < len(words):
            limb = b.or_(limb, b.shl(words[word + 1], lanes.word(64 - shift)))
        out.append(b.and_(limb, lanes.word(MASK)))
    return out


def _store_point(field: Field, limbs: Sequence[ir.Value], results: ir.Value, number: ir.Value) -> None:
    lanes, b = field.lanes, field.lanes.b
    first = b.mul(number, WORD(WORDS * lanes.width))
    for word in range(WORDS):
        # Limb k begins at bit 51 k; a word is made of the two limbs that reach into it.
        low, shift = divmod(word * 64, BITS)
        value = b.lshr(limbs[low], lanes.word(shift)) if shift else limbs[low]
        value = b.or_(value, b.shl(limbs[low + 1], lanes.word(BITS - shift)))
        lanes.store_column(value, results, first, WORDS, word)
