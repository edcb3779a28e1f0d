"""Products and powers modulo one long odd number, many at a time; the compiled kernels, or gmpy2 as the portable twin.

Both give the same numbers. `Modulus` does single steps, `FixedBase` powers of one base that is known long before.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import gmpy2

from vsplit.protocol import Bytes

if TYPE_CHECKING:
    from vsplit.kernels.residues import Residues

_SHORTEST, _LONGEST = 512, 12_000
"""Bits of the moduli that the kernels take: below it is not worth it, beyond a column could exceed its word."""

_ENTRIES = 256  # of a fixed base's table for each byte of an exponent


class Modulus:
    """Arithmetic modulo n, odd and above 1. Raises ValueError for another n. It is pickled as n."""

    def __init__(self, n: int) -> None:
        if n % 2 == 0 or n < 3:
            raise ValueError("a modulus is odd and above one")
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

    def __reduce__(self) -> tuple[Any, ...]:
        return modulus, (self.n,)


class FixedBase:
    """Powers of one `base`, from 1 to n - 1, with exponents of `exponent_bytes` bytes, by a table of its powers.

    Making the table takes about 2^8 products for each byte. Choosing from it takes addresses that depend on the
    exponent, which somebody on the same machine could observe through the caches; SPEC.md, section 6. It is pickled
    as what it was made from.
    """

    def __init__(self, n: int, base: int, exponent_bytes: int) -> None:
        if not 0 < base < n or exponent_bytes < 1:
            raise ValueError("a fixed base lies between 0 and its modulus, and its exponents have a byte at least")
        self.n, self.base, self.exponent_bytes = n, base, exponent_bytes
        self._modulus = modulus(n)
        starts = [gmpy2.mpz(base)]
        for _ in range(exponent_bytes - 1):
            starts.append(gmpy2.powmod(starts[-1], _ENTRIES, n))
        if self._modulus.residues is not None:
            self._rows = self._modulus.residues.table([int(one) for one in starts], _ENTRIES)
        else:
            self._powers = [_powers(one, n) for one in starts]

    def powers(self, exponents: Bytes) -> list[int]:
        """base^e modulo n for each row e of `exponents`, uint8 [count, exponent_bytes], least significant byte first."""
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
        return fixed_base, (self.n, self.base, self.exponent_bytes)

    def __repr__(self) -> str:
        return f"<FixedBase modulo {self.n.bit_length()} bits, exponents of {self.exponent_bytes} bytes>"


@lru_cache(maxsize=8)
def modulus(n: int) -> Modulus:
    """`Modulus(n)`, made once in each process."""
    return Modulus(int(n))


@lru_cache(maxsize=2)
def fixed_base(n: int, base: int, exponent_bytes: int) -> FixedBase:
    """`FixedBase(n, base, exponent_bytes)`, made once in each process; one takes some tens of megabytes."""
    return FixedBase(int(n), int(base), exponent_bytes)


def _powers(base: gmpy2.mpz, n: int) -> list[gmpy2.mpz]:
    powers = [gmpy2.mpz(1)]
    for _ in range(_ENTRIES - 1):
        powers.append(powers[-1] * base % n)
    return powers


def _residues(n: int) -> Residues | None:
    """The compiled kernels for n, or None where the portable twin has to do it."""
    if not _SHORTEST < n.bit_length() <= _LONGEST:
        return None
    # LLVM is loaded where it is needed.
    from vsplit.kernels import engine

    if engine.choice().kind == "portable":
        return None
    from vsplit.kernels.residues import Residues

    return Residues(engine.montgomery(n.bit_length()), n)
