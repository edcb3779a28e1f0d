"""The made-up embeddings that every contender of benchmarks/secure_sum.py adds, and how a sum of them is judged.

numpy and the standard library alone, since peers read it in environments of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ROWS, WIDTH = 256, 32
COUNT = ROWS * WIDTH
"""Values of one party, and so sums of one whole path."""

REACH = 8.0
BITS = 16
"""The defaults of a job's `model.secure_sum`: values from -REACH to REACH, of BITS bits each."""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Measured:
    """One whole path: `values` sums took `seconds`; the worst of them was wrong by `error`, as a share of the range."""

    seconds: float
    values: int
    error: float

    @property
    def per_s(self) -> float:
        """Sums a second."""
        return self.values / self.seconds


def embeddings(seed: int) -> tuple[Values, Values]:
    """The embeddings of both parties, float32 [COUNT] each, all of them within the range."""
    rng = np.random.default_rng(seed)
    drawn = rng.normal(0.0, REACH / 4, (2, COUNT)).clip(-REACH, REACH).astype(np.float32)
    return drawn[0], drawn[1]


def worst_error(found: npt.NDArray[np.floating], left: Values, right: Values) -> float:
    """The largest difference from the sum in float64, over the range. `found` has the first sums, or all of them."""
    count = len(found)
    exact = left[:count].astype(np.float64) + right[:count].astype(np.float64)
    return float(np.abs(found.astype(np.float64) - exact).max() / REACH)
