"""Alignment of records by private set intersection: which of their own rows all parties share, and in which common order.

`read_keys` makes one canonical key for each row by the id contract. `align_label` and `align_feature` are the two roles of a
Diffie-Hellman private set intersection on Curve25519 for 2 to 64 parties, within `Limits`. Each returns an `Alignment`:
positions in its own list of keys, in an order that is common to all parties. `overlap_label` and `overlap_feature` find out
how many records all parties share, and no more. With three or more parties the feature parties need seals
(`vsplit.sealing`). `expected_traffic` states in advance what leaves a party. Where the label party has many rows for one
record, `send_row_counts` and `receive_row_counts` follow. SPEC.md in this folder has the protocol.
"""

from psi import messages
from psi.columns import ColumnReport, StepReport
from psi.contract import KeyReport, Keys, Repeated, UnusableKeysError, read_keys
from psi.feature import align_feature, overlap_feature
from psi.keys import KeyList
from psi.label import align_label, overlap_label
from psi.limits import Limits
from psi.malformed import many_malformed
from psi.messages import MOST_RECORDS, Outflow
from psi.mismatch_causes import likely_causes
from psi.multiplicity import RowCounts, expected_row_counts, matched_rows, receive_row_counts, send_row_counts
from psi.normalise import CONTRACT, MOST_STEPS, Step, contract_version, read_step, read_steps
from psi.order import ORDER_SECRET
from psi.outcome import Alignment, Overlap, check_agreed
from psi.shapes import (
    ColumnShape,
    KeyShapes,
    Shapes,
    check_match,
    exchange_shapes_feature,
    exchange_shapes_label,
    is_low,
    key_shapes,
)
from psi.traffic import expected_traffic

__all__ = [
    "CONTRACT",
    "MOST_RECORDS",
    "MOST_STEPS",
    "ORDER_SECRET",
    "Alignment",
    "ColumnReport",
    "ColumnShape",
    "KeyList",
    "KeyReport",
    "KeyShapes",
    "Keys",
    "Limits",
    "Outflow",
    "Overlap",
    "Repeated",
    "RowCounts",
    "Shapes",
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
    "likely_causes",
    "many_malformed",
    "matched_rows",
    "messages",
    "overlap_feature",
    "overlap_label",
    "read_keys",
    "read_step",
    "read_steps",
    "receive_row_counts",
    "send_row_counts",
]
