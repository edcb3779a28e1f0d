"""Where a party's records are, and what their columns are for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from parties.config.errors import validate
from parties.config.fields import Task
from parties.config.party import Party
from parties.config.party_file import Data, Source
from parties.config.urls import is_url
from parties.local.plain_file import real_path
from parties.local.text import beside


@dataclass(frozen=True, slots=True)
class DataSource:
    """The part of a party's configuration that reading its records needs.

    `file` is the party file, for errors; `path` the source, None for a database; `folder` the one that paths in the data are
    relative to. `key` are this party's names of the job's key columns, and `task` is the job's. `written`: the key columns
    are also needed as they are in the source, for the label party's results. `named_by` begins an error about the source.
    """

    file: Path
    path: Path | None
    folder: Path
    data: Data
    key: tuple[str, ...]
    task: Task
    written: bool
    named_by: str

    @classmethod
    def of(cls, party: Party) -> DataSource:
        """That of `party`."""
        return cls(
            party.file,
            party.source,
            party.data_folder,
            party.settings.data,
            party.key_columns,
            party.job.task,
            written=party.role == "label",
            named_by=f"In {party.file}, the key data.source",
        )

    @classmethod
    def to_score(cls, party: Party, file: Path | None) -> DataSource:
        """The records that the label party wants scored: in `file`, else what the key `predict` names, else its data.

        A feature party has its data alone. Raises ConfigError for a file of an unknown kind.
        """
        data, own = party.settings.predict, cls.of(party)
        if file is not None:
            data = validate(Source, {"source": str(file)}, "the option --data")
        if data is None:
            return own
        path = file if file is not None else None if is_url(data.source) else real_path(beside(party.file, data.source))
        named = own.data.model_copy(update={"source": data.source, "query": data.query})
        named_by = f"In {party.file}, the key predict.source" if file is None else "The option --data"
        return replace(own, path=path, folder=(path or party.file).parent, data=named, named_by=named_by)
