"""Numbers modulo m^2 in the layout of the Montgomery kernels: pairs of rows of digits, a block for all lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gmpy2
import numpy as np
import numpy.typing as npt

from vsplit.kernels.engine import MontgomeryKernels
from vsplit.kernels.montgomery_code import pair_digits, scratch_vectors
from vsplit.kernels.power_code import WINDOW

Rows = npt.NDArray[Any]
"""Digits, [blocks, 2 * digits, width]: float64 or uint64, as the kernels have them."""

Table = npt.NDArray[Any]
"""Digits of the entries of a table, [windows, entries, 2 * digits]."""


class Residues:
    """The operations of the kernels modulo m^2, m odd, on rows in Montgomery form, x R modulo m^2, unless stated otherwise."""

    def __init__(self, kernels: MontgomeryKernels, root: int) -> None:
        self._kernels = kernels
        self._root, self._n = gmpy2.mpz(root), gmpy2.mpz(root) ** 2
        self._digits, self._bits, self._width = kernels.digits, kernels.bits, kernels.width
        self._long = pair_digits(self._digits)
        self._radix = 2**self._bits
        self._modulus = self._split([root])[0]
        inverse = -pow(root, -1, self._radix) % self._radix
        if kernels.signed and inverse >= self._radix // 2:
            inverse -= self._radix
        self._inverse = np.array([inverse], dtype=self._modulus.dtype)
        r = 2 ** (self._bits * self._digits)
        self._plain_one = self.rows([1] * self._width)
        self._square = self.rows([r * r % self._n] * self._width)
        self._one = self.enter([1] * self._width)
        # A signed digit d is represented as d + 2^(bits - 1) while rows become integers.
        half = self._radix // 2 if kernels.signed else 0
        self._lift = sum(half << self._bits * at for at in range(self._digits))

    def rows(self, numbers: Sequence[int]) -> Rows:
        """Numbers from 0 to m^2 - 1 as rows, not in Montgomery form; the last block is filled up with zeros."""
        blocks = -(-len(numbers) // self._width)
        pairs: list[int] = []
        for number in numbers:
            above, low = gmpy2.f_divmod(number, self._root)
            pairs += (low, -above % self._root)
        split = np.zeros((blocks * self._width, self._long), dtype=self._modulus.dtype)
        split[: len(numbers)] = self._split(pairs).reshape(len(numbers), self._long)
        return self._blocked(split)

    def enter(self, numbers: Sequence[int]) -> Rows:
        """Numbers from 0 to m^2 - 1 as rows in Montgomery's form."""
        rows = self.rows(numbers)
        return self.multiply(rows, np.repeat(self._square, len(rows), axis=0))

    def leave(self, rows: Rows, count: int) -> list[int]:
        """The first `count` numbers, from 0 to m^2 - 1, of rows in Montgomery's form."""
        rows = self.multiply(rows, np.repeat(self._plain_one, len(rows), axis=0))
        split = rows.transpose(0, 2, 1).reshape(-1, 2, self._digits)[:count]
        words = (split + (self._radix // 2)).astype(np.uint64) if self._kernels.signed else split
        single = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), bitorder="little")
        used = single.reshape(2 * count, self._digits, 64)[:, :, : self._bits].reshape(2 * count, -1)
        raw = np.packbits(used, axis=1, bitorder="little")
        halves = [gmpy2.mpz.from_bytes(row.tobytes(), "little") - self._lift for row in raw]
        pairs = zip(halves[::2], halves[1::2], strict=True)
        return [int((a - b * self._root) % self._n) for a, b in pairs]

    def multiply(self, left: Rows, right: Rows) -> Rows:
        """left right / R modulo m^2, row by row."""
        results = np.empty_like(left)
        self._kernels.multiply(results, left, right, self._modulus, self._inverse, self._scratch(), len(left))
        return results

    def power(self, bases: Rows, exponent: int) -> Rows:
        """bases^exponent, with one exponent above zero, which may be secret."""
        count = -(-exponent.bit_length() // WINDOW)
        raw = np.frombuffer(exponent.to_bytes(-(-count // 2), "big"), dtype=np.uint8)
        windows = np.stack([raw >> 4, raw & 15], axis=1).reshape(-1)[-count:].astype(np.uint64)
        results = np.empty_like(bases)
        table = np.empty((2**WINDOW + 1) * self._long * self._width, dtype=np.uint64)
        self._kernels.power(
            results,
            bases,
            self._one,
            windows,
            self._modulus,
            self._inverse,
            self._scratch(),
            table,
            len(windows),
            len(bases),
        )
        return results

    def table(self, starts: Sequence[int], entries: int) -> Table:
        """For each of `starts` its powers 0 to entries - 1, in Montgomery's form."""
        base = self.enter(starts)
        power = np.broadcast_to(self._one, base.shape).copy()
        table = np.empty((entries, len(starts), self._long), dtype=base.dtype)
        for entry in range(entries):
            if entry:
                power = self.multiply(power, base)
            table[entry] = power.transpose(0, 2, 1).reshape(-1, self._long)[: len(starts)]
        return np.ascontiguousarray(table.transpose(1, 0, 2))

    def product_of_chosen(self, table: Table, digits: npt.NDArray[np.uint8]) -> Rows:
        """For each row of `digits`, [count, windows], the product of the entries that it chooses, one of each window."""
        count, windows = digits.shape
        blocks = -(-count // self._width)
        padded = np.zeros((windows, blocks * self._width), dtype=np.uint8)
        padded[:, :count] = digits.T
        factors = table[np.arange(windows)[:, None], padded]
        if windows == 1:
            return self._blocked(factors[0])
        results = np.empty((blocks, self._long, self._width), dtype=table.dtype)
        block = np.empty(self._long * self._width, dtype=np.uint64)
        self._kernels.chain(results, factors, self._modulus, self._inverse, self._scratch(), block, windows, blocks)
        return results

    def _split(self, numbers: Sequence[int]) -> npt.NDArray[Any]:
        size = -(-self._digits * self._bits // 8)
        raw = np.frombuffer(b"".join(one.to_bytes(size, "little") for one in numbers), dtype=np.uint8)
        bits = np.unpackbits(raw.reshape(len(numbers), size), axis=1, bitorder="little")
        bits = bits[:, : self._digits * self._bits].reshape(len(numbers), self._digits, self._bits)
        words = np.zeros((len(numbers), self._digits, 64), dtype=np.uint8)
        words[:, :, : self._bits] = bits
        packed = np.packbits(words.reshape(len(numbers), -1), axis=1, bitorder="little").view("<u8")
        return self._balanced(packed.astype(np.float64)) if self._kernels.signed else packed.astype(np.uint64)

    def _balanced(self, split: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The same numbers in digits from -2^(bits - 1) to 2^(bits - 1); the highest digit has room for a carry."""
        for at in range(self._digits - 1):
            over = split[:, at] >= self._radix / 2
            split[:, at] -= np.where(over, self._radix, 0)
            split[:, at + 1] += over
        return split

    def _blocked(self, split: npt.NDArray[Any]) -> Rows:
        return np.ascontiguousarray(split.reshape(-1, self._width, self._long).transpose(0, 2, 1))

    def _scratch(self) -> npt.NDArray[np.uint64]:
        return np.empty(scratch_vectors(self._digits) * self._width, dtype=np.uint64)
