"""SHA-512 (FIPS 180-4, section 6.4) as generated code: as many messages at once as there are 64-bit lanes."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

from llvmlite import ir

from vsplit.kernels.lanes import WORD, Lanes

BLOCK_WORDS = 16
DIGEST_WORDS = 8
_ROUNDS = 80


def digest_blocks(lanes: Lanes, arguments: Sequence[ir.Value]) -> None:
    """Emit SHA-512 of many padded messages: (start, messages, digests, blocks a message, blocks of lanes).

    `start` holds the eight words before the first block, `messages` whole blocks of 128 bytes as in FIPS
    180-4, equally many in all messages. `digests` gets eight words a message, in the machine's order.
    """
    start, messages, digests, length, count = arguments
    b = lanes.b
    words = b.mul(length, WORD(BLOCK_WORDS))

    def one_block_of_lanes(number: ir.Value, _state: list[ir.Value]) -> list[ir.Value]:
        first = b.mul(b.mul(number, WORD(lanes.width)), words)
        initial = [lanes.splat_from(start, WORD(at)) for at in range(DIGEST_WORDS)]

        def one_message_block(block: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
            at = b.add(first, b.mul(block, WORD(BLOCK_WORDS)))
            swapped = f"llvm.bswap.v{lanes.width}i64"
            schedule = [
                lanes.intrinsic(swapped, lanes.ints, [lanes.load_column(messages, at, words, word)])
                for word in range(BLOCK_WORDS)
            ]
            return [b.add(one, other) for one, other in zip(state, _compress(lanes, state, schedule), strict=True)]

        state = lanes.repeat(length, initial, one_message_block)
        place = b.mul(number, WORD(DIGEST_WORDS * lanes.width))
        for at, word in enumerate(state):
            lanes.store_column(word, digests, place, DIGEST_WORDS, at)
        return []

    lanes.repeat(count, [], one_block_of_lanes)


def _compress(lanes: Lanes, state: Sequence[ir.Value], schedule: Sequence[ir.Value]) -> list[ir.Value]:
    """80 rounds, in five turns of 16; each turn leaves the next 16 words of the schedule."""
    constants = _constants(lanes)

    def sixteen_rounds(turn: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        working, words = state[:DIGEST_WORDS], state[DIGEST_WORDS:]
        for at in range(BLOCK_WORDS):
            place = lanes.b.add(lanes.b.mul(turn, WORD(BLOCK_WORDS)), WORD(at))
            working = _round(lanes, working, words[at], lanes.splat_from(constants, place))
            words[at] = lanes.sum(
                [
                    words[at],
                    _mixed(lanes, words[(at + 1) % 16], (1, 8), 7),
                    words[(at + 9) % 16],
                    _mixed(lanes, words[(at + 14) % 16], (19, 61), 6),
                ]
            )
        return [*working, *words]

    return lanes.repeat(_ROUNDS // BLOCK_WORDS, [*state, *schedule], sixteen_rounds)[:DIGEST_WORDS]


def _round(lanes: Lanes, working: Sequence[ir.Value], word: ir.Value, constant: ir.Value) -> list[ir.Value]:
    b = lanes.b
    a, b_, c, d, e, f, g, h = working
    choice = b.xor(g, b.and_(e, b.xor(f, g)))
    majority = b.or_(b.and_(a, b_), b.and_(c, b.or_(a, b_)))
    first = lanes.sum([h, _rotated(lanes, e, (14, 18, 41)), choice, constant, word])
    second = b.add(_rotated(lanes, a, (28, 34, 39)), majority)
    return [b.add(first, second), a, b_, c, b.add(d, first), e, f, g]


def _mixed(lanes: Lanes, word: ir.Value, rotations: Sequence[int], shift: int) -> ir.Value:
    return lanes.b.xor(_rotated(lanes, word, rotations), lanes.b.lshr(word, lanes.word(shift)))


def _rotated(lanes: Lanes, word: ir.Value, rotations: Sequence[int]) -> ir.Value:
    """The exclusive or of `word` rotated to the right by each number of bits."""
    name = f"llvm.fshr.v{lanes.width}i64"
    turned = [lanes.intrinsic(name, lanes.ints, [word, word, lanes.word(bits)]) for bits in rotations]
    total = turned[0]
    for one in turned[1:]:
        total = lanes.b.xor(total, one)
    return total


def _constants(lanes: Lanes) -> ir.GlobalVariable:
    """The first 64 bits of the fractional parts of the cube roots of the first 80 primes (FIPS 180-4, section 4.2.3)."""
    module = lanes.b.module
    found = module.globals.get("sha512_constants")
    if found is None:
        values = [_cube_root(prime << 192) % 2**64 for prime in _primes(_ROUNDS)]
        kind = ir.ArrayType(WORD, _ROUNDS)
        found = ir.GlobalVariable(module, kind, "sha512_constants")
        found.linkage, found.global_constant = "internal", True
        found.initializer = ir.Constant(kind, values)
    return found


def _primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found


def _cube_root(number: int) -> int:
    """The largest integer whose cube is at most `number`, bit by bit."""
    root = 0
    for bit in reversed(range(number.bit_length() // 3 + 1)):
        if (root | 1 << bit) ** 3 <= number:
            root |= 1 << bit
    return root


def initial_state() -> list[int]:
    """The first 64 bits of the fractional parts of the square roots of the first eight primes (section 5.3.5)."""
    return [isqrt(prime << 128) % 2**64 for prime in _primes(DIGEST_WORDS)]
