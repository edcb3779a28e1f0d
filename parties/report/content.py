"""All that a report shows, as frozen records: a run fills them in, and the page reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from psi import ColumnReport
from vsplit.evaluation.curves import Curves
from vsplit.evaluation.metrics import Comparison

PartyRole = Literal["label", "feature"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """One party of the job. Sizes are those that this report's party knows; None: it does not know."""

    name: str
    role: PartyRole
    list_size: int | None = None  # keys in that party's list
    overlap: int | None = None  # of these, how many are also in this report's party's list


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What became of this party's rows. `without_label` is None where the party has no label.

    `shared_rows` is how many rows the label party has of the matched records, where it may have many of one; None: one
    of each. The parts of the split are counted in these rows.
    """

    own: int
    without_key: int
    repeated: int
    listed: int
    matched: int
    train: int
    validation: int
    test: int
    malformed: int = 0
    without_label: int | None = None
    shared_rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One epoch; losses are None at a party that does not know them."""

    number: int
    seconds: float
    train_loss: float | None = None
    validation_loss: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureSum:
    """How the label party received a sum of embeddings and no single one.

    `how` follows "embeddings were added", `with_help_of` are the parties that would have to help the label party to a single
    one. Values are clipped to [-range, range]; `given` is how many numbers this party sent, `clipped` how many of them were
    clipped, both None at the label party, which does not know them.
    """

    how: str
    parties: Sequence[str]
    with_help_of: str
    range: float
    given: int | None = None
    clipped: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The epochs, the number of the one whose model is used, and why training ended (a clause, no full stop)."""

    epochs: Sequence[Epoch]
    kept: int | None
    stopped: str
    secure_sum: SecureSum | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Messages of one kind to or from one other party: how many, how many bytes, and what they reveal."""

    direction: Literal["sent", "received"]
    party: str
    kind: str
    messages: int
    size: int
    reveals: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEnd:
    """The record of every message of the run: how many lines it has, and the hash of the last one, in 64 hex digits."""

    lines: int
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What this party's bottom model is fed: its columns' names, and how many inputs of each type they make."""

    names: Sequence[str]
    numeric: int
    categorical: int
    image: str | None = None
    label: str | None = None
    ignored: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitScores:
    """What `vsplit.evaluation.metrics` found on one split; curves are drawn of the test split only."""

    comparison: Comparison
    curves: Curves | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """All that a report shows. `started` and `ended` are ISO 8601 times, both with an offset or both without.

    `test` and `validation` are None at a feature party. `versions` are names and versions of software, `caveats`
    further plain sentences on what is not protected in this job. `key_columns` say how good the keys are, `merged_keys`
    how many keys only the normalisers made one of several, `hints` why so few records may have matched.
    """

    job: str
    task: Literal["binary", "multiclass", "regression"]
    party: str
    role: PartyRole
    started: str
    ended: str
    parties: Sequence[Party]
    records: Records
    columns: Columns
    training: Training
    traffic: Sequence[Crossing]
    versions: Mapping[str, str] = field(default_factory=dict)
    test: SplitScores | None = None
    validation: SplitScores | None = None
    caveats: Sequence[str] = ()
    key_columns: Sequence[ColumnReport] = ()
    merged_keys: int = 0
    hints: Sequence[str] = ()
    ledger: LedgerEnd | None = None
