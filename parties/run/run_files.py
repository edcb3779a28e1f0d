"""The files that a run writes on disk: opened at its beginning, removed or retained at its end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from parties.checkpoints.folder import CheckpointFolder
from parties.ledger.exchange import IN_RUN_FOLDER
from parties.ledger.merging import RunLedger
from parties.ledger.opening import About
from parties.run.run_folder import RunFolder
from parties.run.run_ledger import own_ledger, recorded_in_run_folder
from vsplit.protocol import VsplitError


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The run folder, the checkpoints, and the ledger with what its first line says."""

    folder: RunFolder
    checkpoints: CheckpointFolder
    ledger: RunLedger
    about: About


@contextlib.contextmanager
def open_files(folder: RunFolder, checkpoints: CheckpointFolder, about: About) -> Iterator[RunFiles]:
    """Lock the checkpoints and open the ledger. Raises ConfigError."""
    with checkpoints, own_ledger(checkpoints, folder, about) as ledger:
        yield RunFiles(folder, checkpoints, ledger, about)


def clear_up(files: RunFiles, run: bytes) -> list[str]:
    """Remove the ledger and the checkpoints of `run`; returns a sentence for each that cannot be removed.

    The record that all parties have finished goes last, so that clearing up can be interrupted as well. The ledger stays
    where the one in the run folder does not have all of it, since what has left must stay on record.
    """
    path, finished = files.ledger.path, files.folder.path / IN_RUN_FOLDER
    lines = []
    try:
        closed = files.ledger.close()
        if closed is None or recorded_in_run_folder(files.folder, path, files.about):
            files.ledger.discard()
        else:
            lines.append(
                f"What crossed after the end of the run is on record in {path}, which cannot be added to {finished} and "
                "stays where it is: to account for the run, you need both files."
            )
    except (OSError, VsplitError):
        return [
            f"What crossed after the end of the run is on record in {path}, which could not be added to {finished} and "
            "removed; nothing is lost, and the next command tries again."
        ]
    try:
        files.checkpoints.discard_run(run)
    except VsplitError:
        lines.append(
            f"What was stored of the run in {files.checkpoints.folder} could not be removed; it is no longer needed, and the "
            "next command tries again."
        )
    return lines
