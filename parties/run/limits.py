"""What a party accepts of an alignment or an overlap."""

from __future__ import annotations

from parties.config.bounds import longest_list
from parties.config.party_file import Accept
from psi import Limits
from psi.messages import MOST_RECORDS


def limits_of(accept: Accept, own_records: int) -> Limits:
    """The limits of a party that lists `own_records` keys; see `longest_list` for the default of the longest list."""
    longest = min(longest_list(accept, own_records), MOST_RECORDS)
    return Limits(min_list=accept.min_list, max_list=longest, min_records=accept.min_records or 1)
