"""Runs of which a random party, or all, are killed at a random moment, and that are begun again with the same command.

Each ends as a run with the same alignment that was left in peace: weights, predictions and losses, bit for bit. And the
parties' ledgers, of the sessions that were cut off too, are unbroken and tell the same story.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.faults_parts.lives import (
    AGGREGATES,
    NAMES,
    Lives,
    alignments,
    copy_alignments,
    keep_logs,
    ledgers_disagree,
    make_folder,
    outcome,
    run_in_peace,
    warm_up,
    watching,
)
from parties.checkpoints.folder_lock import UNFINISHED

MOST_SECONDS = 120.0
MOST_STARTS = 12
PLANNED_STARTS = 2 * len(NAMES)
"""Each party once, and once more after the kill, which ends the session for all. More is no fault, but is looked into."""
FIRST_GUESS = 3.0
"""How long a run may last, in seconds, before one has been seen."""
ALL_OF_THEM = 0.25
"""How often all parties are killed, and not one of them."""
DID_NOT_END = "it did not end"
"""The trouble of a run that hangs."""


@dataclass(slots=True)
class Run:
    """One run: when somebody is killed, in seconds from the begin, and who (empty: nobody)."""

    folder: Path
    moment: float
    victims: tuple[str, ...]
    begin: Callable[[Path], Lives] = Lives
    stage: str = "nowhere"
    aligned: str = ""
    starts: int = 0
    seconds: float = 0.0
    trouble: str = ""
    faults: list[str] = field(default_factory=list)


def measure_kills(runs: int, draw: random.Random, console: Console) -> dict[str, int | float]:
    """Kill so many runs; `kills_equal` of them end with what a run in peace ends with."""
    warm_up()
    equal, hangs, stages, starts = 0, 0, Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        lasts = dict.fromkeys(AGGREGATES, FIRST_GUESS)
        for number in range(runs):
            aggregate = list(AGGREGATES)[number % len(AGGREGATES)]
            victims = NAMES if draw.random() < ALL_OF_THEM else (draw.choice(NAMES),)
            place = make_folder(Path(folder) / f"{number}", aggregate)
            run = follow(Run(place, draw.uniform(0.0, lasts[aggregate]), victims))
            same = False
            if not run.trouble:
                peaceful, lasts[aggregate] = run_in_peace(place, place / "peace")
                same = outcome(place) == peaceful
            equal += same
            hangs += run.trouble == DID_NOT_END
            starts += run.starts
            stages[run.stage] += 1
            who = "all" if len(victims) > 1 else victims[0]
            verdict = "equal" if same else f"NOT EQUAL {run.trouble}"
            console.print(
                f"{number + 1:4}/{runs} {aggregate:13} {who:7} killed after {run.moment:5.2f} s, {run.stage:18} "
                f"{run.starts} starts  {verdict}"
            )
            if not same or run.starts > PLANNED_STARTS:
                console.print(f"the logs of all starts are kept in {keep_logs(place)}")
            for sentence in run.faults:
                console.print(sentence, markup=False)
    for stage, count in sorted(stages.items()):
        console.print(f"killed {stage}: {count}")
    return {"kills": runs, "kills_equal": equal, "hangs": hangs, "starts_per_run": round(starts / max(runs, 1), 2)}


def follow(run: Run) -> Run:
    """Let all parties live, kill who is to be killed, and begin again whoever failed, until all have ended well."""
    lives, struck = run.begin(run.folder), False
    try:
        for name in NAMES:
            lives.start(name)
        for passed in watching(MOST_SECONDS):
            run.seconds = passed
            lives.look()
            _copy_what_was_agreed(run)
            if not struck and (passed >= run.moment or not lives.children):
                struck, run.stage = True, _stage(run.folder)
                for name in run.victims:
                    lives.kill(name)
            for name, code in list(lives.ended.items()):
                if code != 0 and _is_over(run.folder, name):
                    lives.ended[name] = 0  # killed on its way out: the same command would begin another run
                elif code != 0 and lives.starts[name] < MOST_STARTS:
                    lives.start(name)
            if not lives.children:
                break
        run.starts = sum(lives.starts.values())
        run.trouble = _trouble(run.folder, lives)
        if run.trouble:
            run.faults = [f"--- {name}\n{lives.log(name)[-3000:]}" for name in NAMES]
    finally:
        lives.stop()
    return run


def _trouble(folder: Path, lives: Lives) -> str:
    """What is wrong with lives that are over, or should be; empty: nothing."""
    if lives.children:
        return DID_NOT_END
    if any(lives.ended[name] != 0 for name in NAMES):
        return f"it failed: {lives.ended}"
    apart = ledgers_disagree(folder)
    return f"its ledgers disagree: {' '.join(apart)}" if apart else ""


def ended_as_in_peace(run: Run, what: str, console: Console) -> bool:
    """Whether a run in which nobody was killed, nor started again, ended as one in peace; tells it, after `what`."""
    if not run.trouble and run.starts > len(NAMES):
        run.trouble = "a party had to be started again"
    same = not run.trouble and outcome(run.folder) == run_in_peace(run.folder, run.folder / "peace", run.begin)[0]
    console.print(f"{what}  {'equal' if same else f'NOT EQUAL {run.trouble}'}")
    if not same:
        console.print(f"the logs of all starts, and the weather, are kept in {keep_logs(run.folder)}")
    for sentence in run.faults:
        console.print(sentence, markup=False)
    return same


def _is_over(folder: Path, name: str) -> bool:
    """Whether this party's run folder is whole, and nothing is left of the run that it would go on with."""
    run = folder / "runs" / name
    return (run / "run.json").exists() and not (run / UNFINISHED).exists()


def _copy_what_was_agreed(run: Run) -> None:
    found = alignments(run.folder)
    if found is not None and found[0] != run.aligned and copy_alignments(found[1], run.folder / "peace"):
        run.aligned = found[0]


def _stage(folder: Path) -> str:
    """How far the parties have come, by what they have on their disks."""
    held = {file.name.partition("-")[0] for name in NAMES for file in (folder / "runs" / name / UNFINISHED).glob("*")}
    held |= {"over" for name in NAMES if (folder / "runs" / name / "run.json").exists()}
    order = (("over", "at the end"), ("final", "at the end"), ("step", "in training"), ("alignment", "aligned"))
    return next((stage for word, stage in order if word in held), "before an alignment")
