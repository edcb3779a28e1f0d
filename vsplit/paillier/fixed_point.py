"""Embeddings as whole numbers that can be added, and their sum as an embedding again.

SPEC.md, section 3, has the definition and derives the error bound. Packed Paillier plaintexts and masked sums both use it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vsplit.protocol import ConfigError, DataError, Floats, ProtocolError

Units = npt.NDArray[np.int64]

LEAST_BITS, MOST_BITS = 4, 24
"""Bits of one value. A float32 has 24 significant bits."""

_WELL_INSIDE = 1 - 2.0**-20

LEAST_PARTIES, MOST_PARTIES = 2, 63
"""A sum of one summand hides nothing; a session has at most 64 parties, one of them the label party."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """`units`, int64 [count], each from 0 to `FixedPoint.most`; `clipped` is how many values were out of range."""

    units: Units
    clipped: int

    def __repr__(self) -> str:
        return f"<Quantised {len(self.units)} values>"


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """How `parties` parties encode values from -reach to reach as whole numbers of `bits` bits, and decode their sum.

    `reach` is the job's `model.secure_sum.range`. A value v becomes round(v / step) + top, so that it is never negative
    and no sum can borrow from its neighbour; `top` is 2^(bits - 1) - 1, and `step` is reach / top.

    Raises ConfigError for an impossible reach, number of bits or number of parties.
    """

    reach: float
    bits: int
    parties: int
    stochastic: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.reach) and 1e-6 <= self.reach <= 1e6):
            raise ConfigError(f"model.secure_sum.range is {self.reach:g}, but it is a number from 0.000001 to 1000000.")
        if not LEAST_BITS <= self.bits <= MOST_BITS:
            raise ConfigError(
                f"model.secure_sum.bits is {self.bits}, but a value has {LEAST_BITS} to {MOST_BITS} bits."
            )
        if not LEAST_PARTIES <= self.parties <= MOST_PARTIES:
            raise ConfigError(
                f"A sum that hides its summands needs {LEAST_PARTIES} to {MOST_PARTIES} feature parties, and the job has "
                f"{self.parties}."
            )

    @property
    def top(self) -> int:
        """The unit of zero, and the number of steps from zero to `reach`."""
        return (1 << self.bits - 1) - 1

    @property
    def most(self) -> int:
        """The largest unit of one party's value."""
        return 2 * self.top

    @property
    def step(self) -> float:
        """The difference between two neighbouring values."""
        return self.reach / self.top

    @property
    def error_bound(self) -> float:
        """The most by which an entry of a decoded sum differs from the sum of the values in range (SPEC.md, 3.2)."""
        each = self.step if self.stochastic else self.step / 2
        # The decoded value has 24 significant bits; the last factor covers the float64 arithmetic in between.
        return (self.parties * each + self.parties * self.reach * 2.0**-24) * (1 + 2.0**-20)

    def encode(self, values: Floats, random_bytes: Callable[[int], bytes] | None = None) -> Quantised:
        """`values`, float32 of any shape, as units in their order. Values out of range are clipped and counted.

        `random_bytes(k)` returns k bytes of entropy; stochastic rounding needs it. Raises DataError for a value that is
        not a finite number.
        """
        wide = values.reshape(-1) * np.float64(self.top / self.reach)
        furthest = max(-wide.min(), wide.max()) if len(wide) else 0.0
        if not math.isfinite(furthest):  # NaN and infinity propagate through the minimum and the maximum
            raise DataError(
                "This party's embedding holds a value that is not a finite number: training diverged. Lower train.lr, or "
                "look for extreme values in the data."
            )
        # Most batches are well inside; near the bound the values themselves are compared, before any rounding.
        inside = furthest <= self.top * _WELL_INSIDE
        clipped = 0 if inside else int(np.count_nonzero(np.abs(values.astype(np.float64)) > self.reach))
        if self.stochastic:
            wide += _uniform(len(wide), random_bytes)
            np.floor(wide, out=wide)
        else:
            np.rint(wide, out=wide)
        if self.stochastic or not inside:
            np.clip(wide, -self.top, self.top, out=wide)
        wide += self.top
        return Quantised(wide.astype(np.int64), clipped)

    def decode(self, totals: Units, shape: tuple[int, ...], sender: str) -> Floats:
        """The sum of all parties' values, float32 of `shape`, from the sums of their units, int64 [count].

        Raises ProtocolError, which names `sender`, for a total that units of so many parties cannot have.
        """
        if len(totals) and (totals.min() < 0 or totals.max() > self.parties * self.most):
            raise ProtocolError(
                sender,
                f"The sum that {sender} sent has an entry that values of {self.parties} parties cannot add up to: a party did "
                "not clip, or a summand was lost, counted twice or replaced. Nothing was trained on it; ask all sides.",
            )
        centred = totals.astype(np.float64)  # exact: they have far fewer than 53 bits
        centred -= self.parties * self.top
        centred *= self.reach / self.top
        return centred.astype(np.float32).reshape(shape)


def _uniform(count: int, random_bytes: Callable[[int], bytes] | None) -> npt.NDArray[np.float64]:
    """`count` numbers from [0, 1), in steps of 2^-32."""
    if random_bytes is None:
        raise ValueError("stochastic rounding needs entropy")
    return np.frombuffer(random_bytes(4 * count), dtype="<u4").astype(np.float64) * 2.0**-32
