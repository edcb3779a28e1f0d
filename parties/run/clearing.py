"""Removes what a run kept on disk, once all parties have finished it."""

from __future__ import annotations

from parties.checkpoints.folder import CheckpointFolder
from parties.ledger.exchange import IN_RUN_FOLDER
from parties.ledger.merging import RunLedger
from parties.ledger.opening import About
from parties.run.run_folder import RunFolder
from parties.run.run_ledger import recorded_in_run_folder
from vsplit.protocol import VsplitError


def clear_up(
    folder: RunFolder, checkpoints: CheckpointFolder, ledger: RunLedger, about: About, run: bytes
) -> list[str]:
    """Remove the ledger and the checkpoints of `run`; returns a sentence for each that cannot be removed.

    The record that all parties have finished goes last, so that clearing up can be interrupted as well. The ledger stays
    where the one in the run folder does not have all of it, since what has left must stay on record.
    """
    path, finished = ledger.path, folder.path / IN_RUN_FOLDER
    lines = []
    try:
        closed = ledger.close()
        if closed is None or recorded_in_run_folder(folder, path, about):
            ledger.discard()
        else:
            lines.append(
                f"What crossed after the end of the run is on record in {path}, which cannot be added to {finished} and "
                "stays where it is: whoever has to account for the run needs both."
            )
    except (OSError, VsplitError):
        return [
            f"What crossed after the end of the run is on record in {path}, which could not be added to {finished} and taken "
            "away; nothing is lost, and the next command tries it again."
        ]
    try:
        checkpoints.discard_run(run)
    except VsplitError:
        lines.append(
            f"What was kept of the run in {checkpoints.folder} could not be taken away; nobody needs it any more, and "
            "the next command tries it again."
        )
    return lines
