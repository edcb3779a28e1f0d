"""The operations that take most of the time: batches of multiplications and powers modulo the square of a number.

Powers use the Montgomery kernels of `vsplit.kernels`, which compute several at a time and have a portable twin. A single
multiplication is faster in gmpy2 than the conversion for a kernel. Numbers are gmpy2's `mpz`; in messages and between processes
they are rows of bytes, least significant first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from gmpy2 import mpz

from vsplit.kernels.montgomery import FixedBase, square_modulus
from vsplit.protocol import Bytes


def fixed_base_power(table: FixedBase, exponents: Bytes) -> list[mpz]:
    """base^e modulo the table's modulus for each row e of `exponents`, uint8 [count, table.exponent_bytes].

    Not constant in time: which entries are read depends on the exponents (SPEC.md, section 6).
    """
    return [mpz(power) for power in table.powers(exponents)]


def multiply_mod(left: Sequence[mpz], right: Sequence[mpz], modulus: mpz) -> list[mpz]:
    """The products left[i] * right[i] modulo `modulus`; both have the same length."""
    return [a * b % modulus for a, b in zip(left, right, strict=True)]


def power_mod_square(bases: Sequence[mpz], secret_exponent: mpz, root: mpz) -> list[mpz]:
    """bases[i]^secret_exponent modulo the square of the odd `root`; bases lie between 0 and this square.

    The time does not depend on the exponent but for its length.
    """
    return [mpz(power) for power in square_modulus(int(root)).power(bases, int(secret_exponent))]


def numbers(rows: Bytes) -> list[mpz]:
    """The number in each row of `rows`, uint8 [count, bytes], least significant byte first."""
    if rows.ndim != 2:
        raise ValueError(f"numbers are rows of bytes, not an array of shape {rows.shape}")
    width, raw = rows.shape[1], np.ascontiguousarray(rows).tobytes()
    return [mpz.from_bytes(raw[at : at + width], "little") for at in range(0, len(raw), width)]


def rows(found: Iterable[mpz], width: int) -> Bytes:
    """Each number as a row of uint8 [count, width], least significant byte first. OverflowError if one needs more."""
    raw = bytearray().join(number.to_bytes(width, "little") for number in found)
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, width)
