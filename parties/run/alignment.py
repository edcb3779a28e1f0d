"""From two or more parties that have met to an alignment or an overlap: what the roles of `psi` are handed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from parties.config.bounds import longest_list
from parties.config.party import Party
from parties.run.connection import Run
from psi import Alignment, Limits, Overlap, align_feature, align_label, overlap_feature, overlap_label
from psi.keys import KeyList
from psi.messages import MOST_RECORDS
from vsplit.protocol import Role
from vsplit.sealing import Seal

if TYPE_CHECKING:  # An overlap needs no scikit-learn.
    from parties.data.party_data import PartyData


def limits_of(party: Party, own_records: int) -> Limits:
    """What this party accepts of an alignment, by its file; see `longest_list` for the default of the longest list."""
    accept = party.settings.accept
    longest = min(longest_list(accept, own_records), MOST_RECORDS)
    return Limits(min_list=accept.min_list, max_list=longest, min_records=accept.min_records or 1)


def align(party_data: PartyData, seals: Mapping[str, Seal], order_secret: bytes, run: Run) -> Alignment:
    """Find out which rows are the same records. `order_secret` is used by the label party alone.

    The alignment may be without positions: `psi.check_match` and `psi.check_agreed` say why.
    """
    job, me, keys = party_data.party.job, party_data.party.name, party_data.keys.keys
    limits = limits_of(party_data.party, len(keys))
    role: Role[Alignment]
    if party_data.party.role == "label":
        role = align_label(
            me, job.feature_parties, keys, order_secret=order_secret, random_bytes=os.urandom, limits=limits
        )
    else:
        role = align_feature(
            me, job.label_party, job.feature_parties, keys, seals=seals, random_bytes=os.urandom, limits=limits
        )
    aligned: Alignment = run(role)
    return aligned


def count_common(party: Party, keys: KeyList, seals: Mapping[str, Seal], run: Run) -> Overlap:
    """Find out how many of `keys` all parties hold, and not which."""
    job, limits = party.job, limits_of(party, len(keys))
    role: Role[Overlap]
    if party.role == "label":
        role = overlap_label(party.name, job.feature_parties, keys, random_bytes=os.urandom, limits=limits)
    else:
        role = overlap_feature(
            party.name, job.label_party, job.feature_parties, keys, seals=seals, random_bytes=os.urandom, limits=limits
        )
    found: Overlap = run(role)
    return found
