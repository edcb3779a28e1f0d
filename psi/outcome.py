"""The results of an alignment and of an overlap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vsplit.protocol import StoppedError

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many records the parties share; no party learns which.

    `peer_records` is the size of each other party's list, in the job's order. `overlaps` is how many records this party
    shares with each other party, as far as its role may know: the label party knows all, a feature party none.
    `matched` is how many records all parties hold.
    """

    own_records: int
    peer_records: Mapping[str, int]
    overlaps: Mapping[str, int]
    matched: int


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Which records of this party all parties hold, in the common order.

    `positions`, int64 [matched], are positions in the list of keys that the role was given; they are empty where nothing
    or too little matched: `check_match` and `check_agreed` say so. `refused_by` names another party that asks for more
    records in common, if one does. The rest as in `Overlap`.
    """

    positions: Rows = field(repr=False)
    own_records: int
    peer_records: Mapping[str, int]
    overlaps: Mapping[str, int]
    matched: int
    refused_by: str = ""


def check_agreed(found: Alignment) -> None:
    """Raise StoppedError where the match is enough for this party and too small for another one.

    Call `check_match` first, which checks this party's own bounds; where neither raises, an alignment has its positions.
    """
    if found.refused_by:
        raise StoppedError(
            found.refused_by,
            f"{found.matched:,} records are common to all parties, fewer than another party's file asks for "
            f"(accept.min_records), as {found.refused_by} reports. No party learned which they are: ask there.",
        )
