"""What a party accepts of an alignment: bounds on the sizes of lists and of the match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psi.messages import MOST_RECORDS
from vsplit.protocol import DataError, RefusedError


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds in records, checked before a list leaves.

    `min_list`: the shortest list, own or another's; the match with a list of one record discloses who shares it.
    `max_list`: the longest list of another party; a list of everybody shows of each person whether all parties have them.
    `min_records`: the fewest records in common; with fewer no party learns which records match.
    """

    min_list: int = 1
    max_list: int = MOST_RECORDS
    min_records: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.min_list <= self.max_list <= MOST_RECORDS or self.min_records < 1:
            raise ValueError("limits are at least 1, and the shortest list is no longer than the longest")

    def check_own(self, records: int) -> None:
        """Raise DataError for an empty list, RefusedError for one shorter than `min_list`."""
        if records == 0:
            raise DataError("This party has no usable key, so there is nothing to align; look at its key columns.")
        if records > MOST_RECORDS:
            raise DataError(f"This party has {records:,} usable keys; an alignment takes at most {MOST_RECORDS:,}.")
        if records < self.min_list:
            raise RefusedError(
                f"This party has only {records:,} usable keys, fewer than the {self.min_list:,} that its own file asks of "
                "every list (accept.min_list), since the overlap of so short a list nearly discloses who is in it. Bring more "
                "records, or have the bound lowered at every party by a person who may decide this."
            )

    def check_others(self, sizes: Mapping[str, int]) -> None:
        """Raise RefusedError for another party's list (by its name) that is too short or too long."""
        for party, records in sizes.items():
            if records > self.max_list:
                raise RefusedError(
                    f"{party} brings a list of {records:,} records, more than the {self.max_list:,} that this party "
                    "accepts (accept.max_records); a list far longer than this party's has to be allowed explicitly."
                )
            if records < self.min_list:
                raise RefusedError(
                    f"{party} brings a list of only {records:,} records, fewer than the {self.min_list:,} that this party "
                    "accepts (accept.min_list), since the overlap of so short a list nearly discloses who is in it; that "
                    "side has to bring more, or a person here who may decide this has to lower the bound."
                )
