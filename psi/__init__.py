"""Aligning records: which rows of several parties' tables are the same people, without showing anybody the others.

`read_keys` makes one canonical key a row by the id contract. `align_label` and `align_feature` are the two roles of a
Diffie-Hellman private set intersection on Curve25519 for 2 to 64 parties, within `Limits`; each ends with an `Alignment`,
positions in its own list of keys in an order common to all. `overlap_label` and `overlap_feature` find out how many
records all parties share, and no more. With three or more parties the feature parties bring seals (`vsplit.sealing`).
`expected_traffic` says beforehand what leaves a party. SPEC.md beside this file has the protocol. Where the label party
has many rows for one record, `tell_row_counts` and `learn_row_counts` follow.
"""

from psi.columns import ColumnReport, StepReport
from psi.contract import KeyReport, Keys, Repeated, UnusableKeysError, read_keys
from psi.feature import align_feature, overlap_feature
from psi.label import align_label, overlap_label
from psi.limits import Limits
from psi.malformed import many_malformed
from psi.messages import Outflow
from psi.mismatch_causes import likely_causes
from psi.multiplicity import expected_row_counts, learn_row_counts, matched_rows, tell_row_counts
from psi.normalise import CONTRACT, Step, contract_version, read_step, read_steps
from psi.outcome import Alignment, Overlap, check_agreed
from psi.shapes import (
    ColumnShape,
    KeyShapes,
    check_match,
    exchange_shapes_feature,
    exchange_shapes_label,
    is_low,
    key_shapes,
)
from psi.traffic import expected_traffic

__all__ = [
    "CONTRACT",
    "Alignment",
    "ColumnReport",
    "ColumnShape",
    "KeyReport",
    "KeyShapes",
    "Keys",
    "Limits",
    "Outflow",
    "Overlap",
    "Repeated",
    "Step",
    "StepReport",
    "UnusableKeysError",
    "align_feature",
    "align_label",
    "check_agreed",
    "check_match",
    "contract_version",
    "exchange_shapes_feature",
    "exchange_shapes_label",
    "expected_row_counts",
    "expected_traffic",
    "is_low",
    "key_shapes",
    "learn_row_counts",
    "likely_causes",
    "many_malformed",
    "matched_rows",
    "overlap_feature",
    "overlap_label",
    "read_keys",
    "read_step",
    "read_steps",
    "tell_row_counts",
]
