"""The made-up member numbers that every contender of benchmarks/psi.py gets. Standard library alone.

A party has `size` rows. Half of its people are the same at every party, the other half nobody else has. Every party has
its rows in an order of its own. Which person stands in a row is a formula, so that no process has to be told, and so
that a found row can be checked without the ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import gcd

_NUMBERS = 10**12
_SPREAD = 618_033_988_751  # shares no factor with 10^12, so no two people have the same number


def expected(size: int) -> int:
    """How many people all parties have in common."""
    return size // 2


def people(party: int, size: int) -> Iterator[int]:
    """The person in each row of `party`, in the order of its rows; those below expected(size) are in common."""
    stride = int(size * 0.618) + 1 + party
    while gcd(stride, size) != 1:
        stride += 1
    for row in range(size):
        place = (row * stride + party) % size
        yield place if place < expected(size) else place + party * size


def ids(party: int, size: int) -> Iterator[str]:
    """The member number in each row: a prefix and twelve digits."""
    for person in people(party, size):
        yield f"M{person * _SPREAD % _NUMBERS:012d}"


def all_in_common(found: Sequence[int], size: int) -> bool:
    """Whether `found` holds people in common only, and none twice."""
    seen = bytearray(expected(size))
    for person in found:
        if not 0 <= person < len(seen) or seen[person]:
            return False
        seen[person] = 1
    return True
