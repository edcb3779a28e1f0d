"""Numbers modulo n as the Montgomery kernels take them: rows of digits, in blocks of as many numbers as there are lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vsplit.kernels.engine import MontgomeryKernels
from vsplit.kernels.power_code import WINDOW

Rows = npt.NDArray[Any]
"""Digits, [blocks, digits, width]: float64 or uint64, as the kernels have them."""

Table = npt.NDArray[Any]
"""Digits of the entries of a table, [windows, entries, digits]."""


class Residues:
    """What the kernels do modulo n, odd: on rows in Montgomery's form, x R modulo n, unless said otherwise."""

    def __init__(self, kernels: MontgomeryKernels, n: int) -> None:
        self._kernels = kernels
        self._n = n
        self._digits, self._bits, self._width = kernels.digits, kernels.bits, kernels.width
        self._radix = 2**self._bits
        self._modulus = self._split([n])[0]
        inverse = -pow(n, -1, self._radix) % self._radix
        if kernels.signed and inverse >= self._radix // 2:
            inverse -= self._radix
        self._inverse = np.array([inverse], dtype=self._modulus.dtype)
        r = 2 ** (self._bits * self._digits)
        self._one = self.rows([r % n] * self._width)
        self._square = r * r % n
        # A signed digit d stands as d + 2^(bits - 1) while rows become integers.
        half = self._radix // 2 if kernels.signed else 0
        self._lift = sum(half << self._bits * at for at in range(self._digits))

    def rows(self, numbers: Sequence[int]) -> Rows:
        """Numbers from 0 to n - 1 as rows, as they stand; the last block is filled up with zeros."""
        blocks = -(-len(numbers) // self._width)
        split = np.zeros((blocks * self._width, self._digits), dtype=self._modulus.dtype)
        split[: len(numbers)] = self._split(numbers)
        return self._blocked(split)

    def enter(self, numbers: Sequence[int]) -> Rows:
        """Numbers from 0 to n - 1 as rows in Montgomery's form."""
        rows = self.rows(numbers)
        return self.multiply(rows, self.rows([self._square] * (len(rows) * self._width)))

    def leave(self, rows: Rows, count: int, *, entered: bool = True) -> list[int]:
        """The first `count` numbers, from 0 to n - 1; `entered` says whether the rows are in Montgomery's form."""
        if entered:
            rows = self.multiply(rows, self.rows([1] * (len(rows) * self._width)))
        split = rows.transpose(0, 2, 1).reshape(-1, self._digits)[:count]
        words = (split + (self._radix // 2)).astype(np.uint64) if self._kernels.signed else split
        single = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), bitorder="little")
        used = single.reshape(count, self._digits, 64)[:, :, : self._bits].reshape(count, -1)
        raw = np.packbits(used, axis=1, bitorder="little")
        return [(int.from_bytes(row.tobytes(), "little") - self._lift) % self._n for row in raw]

    def multiply(self, a: Rows, b: Rows) -> Rows:
        """a b / R modulo n, row by row."""
        results = np.empty_like(a)
        self._kernels.multiply(results, a, b, self._modulus, self._inverse, self._columns(), len(a))
        return results

    def power(self, bases: Rows, exponent: int) -> Rows:
        """bases^exponent, with one exponent above zero, which may be secret."""
        count = -(-exponent.bit_length() // WINDOW)
        raw = np.frombuffer(exponent.to_bytes(-(-count // 2), "big"), dtype=np.uint8)
        windows = np.stack([raw >> 4, raw & 15], axis=1).reshape(-1)[-count:].astype(np.uint64)
        results = np.empty_like(bases)
        table = np.empty((2**WINDOW + 1) * self._digits * self._width, dtype=np.uint64)
        self._kernels.power(
            results,
            bases,
            self._one,
            windows,
            self._modulus,
            self._inverse,
            self._columns(),
            table,
            len(windows),
            len(bases),
        )
        return results

    def table(self, starts: Sequence[int], entries: int) -> Table:
        """For each of `starts` its powers 0 to entries - 1, in Montgomery's form."""
        base = self.enter(starts)
        power = np.broadcast_to(self._one, base.shape).copy()
        table = np.empty((entries, len(starts), self._digits), dtype=base.dtype)
        for entry in range(entries):
            if entry:
                power = self.multiply(power, base)
            table[entry] = power.transpose(0, 2, 1).reshape(-1, self._digits)[: len(starts)]
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
        results = np.empty((blocks, self._digits, self._width), dtype=table.dtype)
        block = np.empty(self._digits * self._width, dtype=np.uint64)
        self._kernels.chain(results, factors, self._modulus, self._inverse, self._columns(), block, windows, blocks)
        return results

    def _split(self, numbers: Sequence[int]) -> npt.NDArray[Any]:
        size = -(-self._digits * self._bits // 8)
        raw = np.frombuffer(b"".join(one.to_bytes(size, "little") for one in numbers), dtype=np.uint8)
        bits = np.unpackbits(raw.reshape(len(numbers), size), axis=1, bitorder="little")
        bits = bits[:, : self._digits * self._bits].reshape(len(numbers), self._digits, self._bits)
        words = np.zeros((len(numbers), self._digits, 64), dtype=np.uint8)
        words[:, :, : self._bits] = bits
        packed = np.packbits(words.reshape(len(numbers), -1), axis=1, bitorder="little").view("<u8")
        return packed.astype(np.float64 if self._kernels.signed else np.uint64)

    def _blocked(self, split: npt.NDArray[Any]) -> Rows:
        return np.ascontiguousarray(split.reshape(-1, self._width, self._digits).transpose(0, 2, 1))

    def _columns(self) -> npt.NDArray[np.uint64]:
        return np.empty((2 * self._digits + 1) * self._width, dtype=np.uint64)
