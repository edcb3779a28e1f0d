"""Aligning records: which rows of several parties' tables are the same people, without showing anybody the others.

`read_keys` makes one canonical key a row by the id contract. `align_label` and `align_feature` are the two roles of a
Diffie-Hellman private set intersection on Curve25519; each ends with an `Alignment`, positions in its own list of keys
in an order common to all. `expected_traffic` says beforehand what leaves a party. SPEC.md beside this file has the
protocol.
"""

from psi.contract import CONTRACT, KeyReport, Keys, read_keys
from psi.exchange import Alignment
from psi.feature import align_feature
from psi.label import align_label
from psi.messages import Outflow, expected_traffic

__all__ = [
    "CONTRACT",
    "Alignment",
    "KeyReport",
    "Keys",
    "Outflow",
    "align_feature",
    "align_label",
    "expected_traffic",
    "read_keys",
]
