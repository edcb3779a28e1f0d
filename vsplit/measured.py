"""Measured leaks: what one side reconstructed from what it received, in real runs of the examples.

Every text on what a message reveals uses these figures. `python benchmarks/leaks.py` prints them, as ranges over runs and
parties; vsplit/SPEC.md, section 8, has all of them and describes how each was measured. An error is the root mean square error
relative to that of guessing the mean, with 1,000 known records.
"""

from __future__ import annotations

from typing import Final

LABELS: Final = "99.8 to 100 %"
"""Of all training labels, from the gradients of the first epoch."""
LABELS_OF_ONE: Final = "93.1 to 100 %"
"""The same where an embedding is one number; all other figures are of embeddings of `MEASURED_WIDTH` numbers."""
MEASURED_WIDTH: Final = 16
LABELS_IN_ALL: Final = "100 %"
"""The same, from the gradients of all epochs."""
SCORES: Final = "0.84 to 0.998"
"""Rank correlation of a feature party's estimate of the joint score of each training record with the true score."""
INVERTED: Final = "0.07 to 0.22"
"""Error of the label party about a feature party's columns, from open embeddings."""
INVERTED_SUM: Final = "0.15 to 0.31"
"""The same about each of two feature parties' columns, from the sum of their embeddings."""
OTHERS: Final = "0.39 to 0.67"
"""Error of a feature party about another one's columns, from its own columns and the gradients."""
OTHERS_WITHOUT: Final = "0.49 to 0.82"
"""The same without the gradients."""
COMMAND: Final = "benchmarks/leaks.py"
