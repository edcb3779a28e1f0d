"""The records to score at one party: its keys, and its columns as the finished run prepared them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from parties.config.data_source import DataSource
from parties.config.job import Align
from parties.config.party_file import ImageColumn
from parties.config.party_names import PartyNames
from parties.data.images import read_images
from parties.data.prepare import CategoryColumn, Preparation, Prepared
from parties.data.sources import read_source
from parties.data.table import Table, table_of
from psi import Keys, Repeated, read_keys
from vsplit.learn.models import Store
from vsplit.protocol import DataError

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """One party's records: `keys.rows` are row numbers of `table`. `prepared` has all rows; None without features."""

    table: Table
    keys: Keys
    prepared: Prepared | None
    image: ImageColumn | None

    def store(self, rows: Rows, device: str) -> Store | None:
        """The inputs of the bottom model for these rows; None without features."""
        if self.prepared is None:
            return None
        images, image = None, self.image
        if self.table.images is not None and image is not None:
            images = read_images(
                self.table.images.iloc[rows], image.size, image.channels, self.table.image_folder, self.table.where
            )
        numeric = np.ascontiguousarray(self.prepared.numeric[rows])
        return Store(numeric, self.prepared.categories[rows], images, device)

    def rows_of(self, positions: Rows) -> tuple[Rows, Rows]:
        """The rows of the keys at these positions, int64 [n], and which of `positions` each row belongs to, int64 [n]."""
        counts = np.diff(self.keys.starts)[positions]
        owner = np.repeat(np.arange(len(positions)), counts)
        first = np.cumsum(counts) - counts
        within = np.arange(len(owner)) - first[owner]
        return self.keys.rows[self.keys.starts[positions][owner] + within], owner


def read_records(
    source: DataSource, names: PartyNames, align: Align, preparation: Preparation | None, *, uses_images: bool
) -> Records:
    """Read a party's records and prepare their columns. Only the key columns and those of the model are read.

    Raises ConfigError where the source cannot be opened; DataError where it has no row, a column of the model is missing or
    holds another type; and what `psi.read_keys` does.
    """
    found = read_source(source)
    numbers = [] if preparation is None else [one.name for one in preparation.numbers]
    words = [] if preparation is None else [one.name for one in preparation.categories]
    image = source.data.image if uses_images else None
    used = {*source.key, *numbers, *words, *([image.column] if image else [])}
    there = [name for name in found.table.column_names if name in used]
    data = source.data.model_copy(
        update={
            "label": None,
            "positive": None,
            "date": None,
            "ignore": (),
            "categories": tuple(name for name in words if name in there),
            "image": image,
        }
    )
    # A table without any column has no rows for Arrow, so that a missing key column is reported from the whole one.
    chosen = found.table.select(there) if set(source.key) <= set(there) else found.table
    table = table_of(replace(found, table=chosen), replace(source, data=data))
    columns = [table.keys[column] for column in table.keys]
    keys = read_keys(columns, normalise=align.steps, repeated=_repeated(names, align))
    prepared = None if preparation is None else _prepared(preparation, table)
    return Records(table, keys, prepared, image)


def _repeated(names: PartyNames, align: Align) -> Repeated:
    """At the label party every row of a person is scored, also where training used only the first or the last."""
    policy = align.repeated_at(names.role)
    return "many_to_one" if names.is_label and policy != "error" else policy


def _prepared(preparation: Preparation, table: Table) -> Prepared:
    try:
        prepared = preparation.transform(table.features)
        for column in preparation.categories:
            _check_words(column, table.features[column.name])
    except DataError as error:
        raise DataError(f"In {table.where}: {error}") from None
    return prepared


def _check_words(column: CategoryColumn, values: pd.Series[str]) -> None:
    """Raise DataError where the model knows words in this column, and it holds numbers alone."""
    present = pd.Series(values.dropna().unique())
    if len(present) and _are_numbers(present) and column.words and not _any_number(column.words):
        raise DataError(f"The column {column.name} holds numbers; the model was trained with words.")


def _are_numbers(words: pd.Series[str]) -> bool:
    return bool(pd.to_numeric(words, errors="coerce").notna().all())


def _any_number(words: tuple[str, ...]) -> bool:
    return bool(pd.to_numeric(pd.Series(words), errors="coerce").notna().any())
