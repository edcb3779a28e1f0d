"""Where the ledger of a run that has finished belongs: in the run folder, with all that crossed for that run later on.

While a run lasts its ledger stands in `OUTPUT/.unfinished`. A life begins and ends with a look at whether it belongs to a run
that is over, since a party that was killed in between had no time for it.
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
    """This party's ledger, while it lives; before and after, what belongs to the run that has finished here goes there."""
    settle(checkpoints, folder, about)
    try:
        with RunLedger.open(checkpoints.folder / LEDGER, about) as ledger:
            yield ledger
    finally:
        with contextlib.suppress(OSError, VsplitError):  # the next command tries it again, and says so if it cannot
            settle(checkpoints, folder, about)


def settle(checkpoints: CheckpointFolder, folder: RunFolder, about: About) -> None:
    """Where the last run has finished here, its ledger is that of the run folder alone, and the next run begins another.

    A session that began no run since then is added to it, as it is at a party that still had to finish that run. Otherwise
    it would stand in the next run's ledger at one of them, and not at the other. Raises ConfigError.
    """
    ledger, finished, run = checkpoints.folder / LEDGER, folder.path / IN_RUN_FOLDER, folder.finished_run()
    if not (run and finished.exists() and ledger.exists()) or checkpoints.has_other_than(run):
        return
    try:
        if not folder.has(ledger, IN_RUN_FOLDER):
            with RunLedger.open(ledger, about) as own:  # which ends a session that was cut off
                has_sessions = own.has_sessions
            if has_sessions and not _is_settled(finished, ledger, about):
                return
        ledger.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"What the ledger {ledger} tells cannot be added to {finished} ({error.strerror}): free some space, or mend the "
            "folder's permissions, then give the same command again."
        ) from None


def _is_settled(finished: Path, ledger: Path, about: About) -> bool:
    """Whether `finished` tells all that `ledger` does, of sessions that went on with the finished run or began none."""
    if not continues(finished, ledger) and not has_no_run(ledger):
        return False
    try:
        return merge_ledgers(finished, ledger, about)
    except ConfigError:  # a finished run's ledger that is broken must not keep the next run from its beginning
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
