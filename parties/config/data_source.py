"""Where a party's records are, and what their columns are for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from parties.config.fields import Task
from parties.config.party import Party
from parties.config.party_file import Data


@dataclass(frozen=True, slots=True)
class DataSource:
    """The part of a party's configuration that reading its records needs.

    `file` is the party file, for errors; `path` the source, None for a database; `folder` the one that paths in the data are
    relative to. `key` are this party's names of the job's key columns, and `task` is the job's.
    """

    file: Path
    path: Path | None
    folder: Path
    data: Data
    key: tuple[str, ...]
    task: Task

    @classmethod
    def of(cls, party: Party) -> DataSource:
        """That of `party`."""
        return cls(party.file, party.source, party.data_folder, party.settings.data, party.key_columns, party.job.task)
