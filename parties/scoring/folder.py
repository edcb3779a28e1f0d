"""The folder of one prediction at one party, in the folder of the run whose model it uses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from parties.local.atomic import sync_folder, write_whole
from parties.local.text import json_text
from parties.run.run_folder import PREDICTIONS
from vsplit.protocol import StorageError

SUMMARY, SCORES = "predict.json", "scores.parquet"


@dataclass(frozen=True, slots=True)
class PredictionFolder:
    """The folder at `path`. Only its owner can read it; `predict.json` is written last, so a folder with it is complete."""

    path: Path

    @classmethod
    def create(cls, run_folder: Path, started: datetime, session: bytes) -> PredictionFolder:
        """A new folder, named by its time in UTC and the session. Raises StorageError."""
        path = run_folder / PREDICTIONS / f"{started:%Y%m%dT%H%M%SZ}-{session.hex()}"
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.mkdir(mode=0o700)
            sync_folder(path.parent)
        except OSError as error:
            raise StorageError(
                f"The folder {path} for this prediction cannot be created ({error.strerror}): free some space, or repair the "
                "permissions of the run folder."
            ) from None
        return cls(path)

    def write_summary(self, content: object) -> None:
        """Write predict.json. Raises StorageError."""
        file = self.path / SUMMARY
        try:
            write_whole(file, [(msgspec.json.format(json_text(content), indent=1) + "\n").encode()])
        except OSError as error:
            raise StorageError(f"The file {file} cannot be written ({error.strerror}): free some space.") from None
