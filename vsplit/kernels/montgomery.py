"""Products and powers modulo one long odd number, many at a time; the compiled kernels, or gmpy2 as the portable twin.

Both give the same numbers. `Modulus` does single steps, `FixedBase` powers of one base that is known long before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import gmpy2
import numpy as np

if TYPE_CHECKING:
    from vsplit.kernels.residues import Residues

_LONGEST = 12_000
"""Bits of the longest modulus that the kernels take: beyond, a column of products could exceed its word."""

_BASE_WINDOW = 8


class Modulus:
    """Arithmetic modulo n, odd and above 2^512. Raises ValueError for another n."""

    def __init__(self, n: int) -> None:
        if n % 2 == 0 or n < 2**512:
            raise ValueError("a modulus is odd and longer than 512 bits")
        self.n = n
        self.residues = _residues(n)

    def multiply(self, a: Sequence[int], b: Sequence[int]) -> list[int]:
        """a_i b_i modulo n, for numbers from 0 to n - 1 in two lists of the same length."""
        if self.residues is None or not a:
            return [int(gmpy2.mpz(one) * other % self.n) for one, other in zip(a, b, strict=True)]
        product = self.residues.multiply(self.residues.enter(a), self.residues.rows(b))
        return self.residues.leave(product, len(a), entered=False)

    def power(self, bases: Sequence[int], exponent: int) -> list[int]:
        """bases_i^exponent modulo n. The exponent, not negative, may be secret: the time tells its length alone."""
        if exponent < 0:
            raise ValueError("an exponent is not negative")
        if self.residues is None or not bases or not exponent:
            return [int(gmpy2.powmod_sec(one, exponent, self.n)) if exponent else 1 for one in bases]
        power = self.residues.power(self.residues.enter(bases), exponent)
        return self.residues.leave(power, len(bases))


class FixedBase:
    """Powers of `base`, from 1 to n - 1, with exponents of up to `bits` bits, by a table of its powers.

    Making the table takes about 2^8 / 8 products for each bit. Choosing from it takes addresses that depend on the
    exponent, which somebody on the same machine could observe through the caches; SPEC.md, section 6.
    """

    def __init__(self, modulus: Modulus, base: int, bits: int) -> None:
        self._modulus = modulus
        self._windows = -(-bits // _BASE_WINDOW)
        starts, n = [gmpy2.mpz(base)], modulus.n
        for _ in range(self._windows - 1):
            starts.append(gmpy2.powmod(starts[-1], 2**_BASE_WINDOW, n))
        if modulus.residues is not None:
            self._rows = modulus.residues.table([int(one) for one in starts], 2**_BASE_WINDOW)
        else:
            self._powers = [_powers(one, n) for one in starts]

    def powers(self, exponents: Sequence[int]) -> list[int]:
        """base^exponent modulo n for each. Raises OverflowError for an exponent that is negative or too long."""
        raw = b"".join(one.to_bytes(self._windows, "little") for one in exponents)
        digits = np.frombuffer(raw, dtype=np.uint8).reshape(len(exponents), self._windows)
        residues = self._modulus.residues
        if residues is not None and len(exponents):
            return residues.leave(residues.product_of_chosen(self._rows, digits), len(exponents))
        out = []
        for row in digits.tolist():
            product = gmpy2.mpz(1)
            for powers, digit in zip(self._powers, row, strict=True):
                product = product * powers[digit] % self._modulus.n
            out.append(int(product))
        return out


def _powers(base: gmpy2.mpz, n: int) -> list[gmpy2.mpz]:
    powers = [gmpy2.mpz(1)]
    for _ in range(2**_BASE_WINDOW - 1):
        powers.append(powers[-1] * base % n)
    return powers


def _residues(n: int) -> Residues | None:
    """The compiled kernels for n, or None where the portable twin has to do it."""
    if n.bit_length() > _LONGEST:
        return None
    # LLVM is loaded where it is needed.
    from vsplit.kernels import engine

    if engine.choice().kind == "portable":
        return None
    from vsplit.kernels.residues import Residues

    return Residues(engine.montgomery(n.bit_length()), n)
