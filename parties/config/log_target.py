"""The log that a party file asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from parties.config.party import Party
from parties.config.party_file import Log


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Where the log of a party goes. `file` None: to the error output.

    `party_file` is for errors, and `run_folder` must not hold the log.
    """

    party: str
    party_file: Path
    run_folder: Path
    settings: Log
    file: Path | None

    @classmethod
    def of(cls, party: Party) -> LogTarget | None:
        """The target that the file of `party` names; None: there is no log."""
        log = party.settings.log
        return None if log is None else cls(party.name, party.file, party.output, log, party.log_file)
