"""Powers modulo the square of one long odd number, many at a time; the compiled kernels, or gmpy2 as the portable twin.

Both give the same numbers. `SquareModulus` takes any bases, `FixedBase` one that is known long before.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import gmpy2

from vsplit.protocol import Bytes

if TYPE_CHECKING:
    from vsplit.kernels.residues import Residues

_SHORTEST, _LONGEST = 256, 8192
"""Bits of the numbers m that the kernels take: below they are not worthwhile, above a column could exceed its word."""

_ENTRIES = 256  # of a fixed base's table for each byte of an exponent


class SquareModulus:
    """Arithmetic modulo m^2, m odd and above 1. Raises ValueError for another m. It is pickled as m."""

    def __init__(self, root: int) -> None:
        if root % 2 == 0 or root < 3:
            raise ValueError("the root of a modulus is odd and above one")
        self.root = root
        self.n = root * root
        self.residues = _residues(root)

    def power(self, bases: Sequence[int], exponent: int) -> list[int]:
        """bases_i^exponent modulo m^2, for numbers from 0 to m^2 - 1.

        The exponent, not negative, may be secret: the time depends only on its length.
        """
        if exponent < 0:
            raise ValueError("an exponent is not negative")
        if self.residues is None or not bases or not exponent:
            return [int(gmpy2.powmod_sec(one, exponent, self.n)) if exponent else 1 for one in bases]
        power = self.residues.power(self.residues.enter(bases), exponent)
        return self.residues.leave(power, len(bases))

    def __reduce__(self) -> tuple[Any, ...]:
        return square_modulus, (self.root,)

    def __repr__(self) -> str:
        return f"<SquareModulus of a number of {self.root.bit_length()} bits>"


class FixedBase:
    """Powers of one `base` modulo root^2, with exponents of `exponent_bytes` bytes, by a table of its powers.

    Making the table takes about 2^8 products for each byte. Choosing from it takes addresses that depend on the
    exponent, which another process on the same machine could observe through the caches; SPEC.md, section 6. It is pickled
    as what it was made from.
    """

    def __init__(self, root: int, base: int, exponent_bytes: int) -> None:
        self._modulus = square_modulus(root)
        self.root, self.n, self.base, self.exponent_bytes = root, self._modulus.n, base, exponent_bytes
        if not 0 < base < self.n or exponent_bytes < 1:
            raise ValueError("a fixed base lies between 0 and its modulus, and its exponents have a byte at least")
        starts = [gmpy2.mpz(base)]
        for _ in range(exponent_bytes - 1):
            starts.append(gmpy2.powmod(starts[-1], _ENTRIES, self.n))
        if self._modulus.residues is not None:
            self._rows = self._modulus.residues.table([int(one) for one in starts], _ENTRIES)
        else:
            self._powers = [_powers(one, self.n) for one in starts]

    def powers(self, exponents: Bytes) -> list[int]:
        """base^e modulo root^2 for each row e of `exponents`, uint8 [count, exponent_bytes], least significant byte first."""
        if exponents.ndim != 2 or exponents.shape[1] != self.exponent_bytes:
            raise ValueError(f"exponents have shape {exponents.shape}, not [count, {self.exponent_bytes}]")
        residues = self._modulus.residues
        if residues is not None and len(exponents):
            return residues.leave(residues.product_of_chosen(self._rows, exponents), len(exponents))
        out = []
        for row in exponents.tolist():
            product = gmpy2.mpz(1)
            for powers, digit in zip(self._powers, row, strict=True):
                product = product * powers[digit] % self.n
            out.append(int(product))
        return out

    def __reduce__(self) -> tuple[Any, ...]:
        return fixed_base, (self.root, self.base, self.exponent_bytes)

    def __repr__(self) -> str:
        return f"<FixedBase modulo {self.n.bit_length()} bits, exponents of {self.exponent_bytes} bytes>"


@lru_cache(maxsize=8)
def square_modulus(root: int) -> SquareModulus:
    """`SquareModulus(root)`, made once in each process."""
    return SquareModulus(int(root))


@lru_cache(maxsize=2)
def fixed_base(root: int, base: int, exponent_bytes: int) -> FixedBase:
    """`FixedBase(root, base, exponent_bytes)`, made once in each process; one takes some tens of megabytes."""
    return FixedBase(int(root), int(base), exponent_bytes)


def _powers(base: gmpy2.mpz, n: int) -> list[gmpy2.mpz]:
    powers = [gmpy2.mpz(1)]
    for _ in range(_ENTRIES - 1):
        powers.append(powers[-1] * base % n)
    return powers


def _residues(root: int) -> Residues | None:
    """The compiled kernels for the square of `root`, or None where the portable twin is used."""
    if not _SHORTEST < root.bit_length() <= _LONGEST:
        return None
    # LLVM is loaded where it is needed.
    from vsplit.kernels import engine

    if engine.choice().kind == "portable":
        return None
    from vsplit.kernels.residues import Residues

    return Residues(engine.montgomery(root.bit_length()), root)
