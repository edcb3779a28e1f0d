"""Moves the ledger of a finished run to its run folder, with all messages that crossed for that run later on.

During a run its ledger is in `OUTPUT/.unfinished`. Each start checks at its beginning and at its end whether the ledger belongs
to a finished run, since a party that was killed in between could not do so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from parties.checkpoints.folder import CheckpointFolder
from parties.ledger.exchange import IN_RUN_FOLDER, LEDGER
from parties.ledger.merging import RunLedger, continues, has_no_run, merge_ledgers
from parties.ledger.opening import About
from parties.run.run_folder import RunFolder
from vsplit.protocol import ConfigError, VsplitError


@contextlib.contextmanager
def own_ledger(checkpoints: CheckpointFolder, folder: RunFolder, about: About) -> Iterator[RunLedger]:
    """This party's ledger, open inside; before and after, what belongs to the run that has finished here is moved to it."""
    settle(checkpoints, folder, about)
    try:
        with RunLedger.open(checkpoints.folder / LEDGER, about) as ledger:
            yield ledger
    finally:
        with contextlib.suppress(OSError, VsplitError):  # the next command tries again, and reports if it cannot
            settle(checkpoints, folder, about)


def settle(checkpoints: CheckpointFolder, folder: RunFolder, about: About) -> None:
    """Where the last run has finished here, leave its ledger in the run folder only, so that the next run begins another.

    A session that began no run since then is added to it, as at a party that still had to finish that run. Otherwise it would
    be in the next run's ledger at one of them, and not at the other. Raises ConfigError.
    """
    ledger, finished, run = checkpoints.folder / LEDGER, folder.path / IN_RUN_FOLDER, folder.finished_run()
    if not (run and finished.exists() and ledger.exists()) or checkpoints.has_other_than(run):
        return
    try:
        if not folder.has(ledger, IN_RUN_FOLDER):
            with RunLedger.open(ledger, about) as own:  # this ends a session that was cut off
                has_sessions = own.has_sessions
            if has_sessions and not _is_settled(finished, ledger, about):
                return
        ledger.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The lines of the ledger {ledger} cannot be added to {finished} ({error.strerror}): free some space, or correct "
            "the folder's permissions, then give the same command again."
        ) from None


def _is_settled(finished: Path, ledger: Path, about: About) -> bool:
    """Whether `finished` has all sessions of `ledger`, which resumed the finished run or began none."""
    if not continues(finished, ledger) and not has_no_run(ledger):
        return False
    try:
        return merge_ledgers(finished, ledger, about)
    except ConfigError:  # a broken ledger of a finished run must not prevent the next run
        return False


def recorded_in_run_folder(folder: RunFolder, ledger: Path, about: About) -> bool:
    """Whether the ledger of the run folder has all that this one has; sessions after the run's end are added to it."""
    finished = folder.path / IN_RUN_FOLDER
    return folder.has(ledger, IN_RUN_FOLDER) or (finished.exists() and merge_ledgers(finished, ledger, about))


def continue_ledger(ledger: RunLedger, folder: RunFolder, run: bytes) -> None:
    """Where the run that resumes has finished here, let the ledger continue a copy of the one in its run folder."""
    finished = folder.path / IN_RUN_FOLDER
    if folder.finished_run() == run.hex() and finished.exists():
        ledger.continue_from(finished)
