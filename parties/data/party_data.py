"""A party's own data, read and checked before the party connects to any other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from parties.config.bounds import check_bounds, longest_list
from parties.config.data_source import DataSource
from parties.config.party import Party
from parties.config.party_file import Accept
from parties.data.labels import Labels, encode_labels
from parties.data.prepare import inspect_features
from parties.data.table import Table, read_table
from psi import Keys, read_keys
from vsplit.protocol import DataError

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PartyData:
    """A party's table, its usable keys, and at the label party its labels.

    `keys.rows` are row numbers of the table, one for each key unless the label party may have many. `labels.values`
    belong to the rows in `labelled`, in that order.
    """

    party: Party
    table: Table
    keys: Keys
    labels: Labels | None
    labelled: Rows

    @property
    def without_label(self) -> int:
        """Rows that were left out because they have no label."""
        return self.table.rows - len(self.labelled) if self.labels is not None else 0

    @property
    def contributes(self) -> bool:
        """Whether this party has features, and so a bottom model."""
        return self.table.features.shape[1] > 0 or self.table.images is not None

    def label_values(self, rows: Rows) -> npt.NDArray[np.float32] | npt.NDArray[np.int64] | npt.NDArray[np.float64]:
        """The encoded labels of these rows of the table, all of which have one."""
        if self.labels is None:
            raise ValueError("only the label party has labels")
        return self.labels.values[np.searchsorted(self.labelled, rows)]


def most_rows(accept: Accept, own_records: int) -> int:
    """The most rows of the shared records, in total, that a feature party accepts from the label party.

    Its memory and its work grow with them. Ten rows for each record of the longest list that it accepts.
    """
    return 10 * longest_list(accept, own_records)


def read_party_data(party: Party) -> PartyData:
    """Check the job against this party's bounds, then read its data. Raises LocalError of the fitting kind."""
    check_bounds(party)
    table = read_table(DataSource.of(party))
    labels, labelled = None, np.arange(table.rows)
    if party.role == "label" and table.label is not None:
        labelled = np.flatnonzero(table.has_label)
        labels = encode_labels(table.label[table.has_label], party.job.task, table.where, party.settings.data.positive)
    align = party.job.align
    columns = table.keys if len(labelled) == table.rows else table.keys.iloc[labelled]
    found = read_keys(
        [columns[column] for column in columns], normalise=align.steps, repeated=align.repeated_at(party.role)
    )
    keys = Keys(found.keys, found.starts, labelled[found.rows], found.report)
    party_data = PartyData(party, table, keys, labels, labelled)
    if table.features.shape[1]:
        inspect_features(table.features, party.settings.data.categories, table.where)
    if party.role == "feature" and not party_data.contributes:
        raise DataError(
            f"{table.where} has no feature column left besides the key and what data.ignore leaves out: a feature party "
            "needs at least one."
        )
    return party_data
