"""Decides where a run starts, from what every party has of it. SPEC.md, section 4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from parties.checkpoints.local_state import LocalState
from parties.checkpoints.start_messages import NEW_RUN, End, StartDecision
from parties.local.command_line import current_command, restart_hint
from vsplit.protocol import MismatchError


@dataclass(frozen=True, slots=True)
class Start:
    """Where all parties start: the name of the run, and the step; `step` None: with a new alignment.

    `finished_by_all`: no party starts, since every party has the outcome of this run, or has finished it.
    """

    run: bytes
    step: int | None
    final: bool = False
    finished_by_all: bool = False


@dataclass(frozen=True, slots=True)
class NoStart:
    """Why no party can start, and the parties that this is about."""

    end: End
    about: tuple[str, ...]


def decide(states: Mapping[str, LocalState], new_run: bytes) -> Start | NoStart:
    """Where all parties start, from the state of each; `new_run` names the run if a new one begins."""
    agreed = list(dict.fromkeys(state.run for state in states.values() if state.agreed))
    for run in agreed:
        without = [party for party, state in states.items() if run not in (state.run, state.finished)]
        if without:
            return NoStart("lacking", (without[0],))
    if len(agreed) > 1:  # each was finished by a party that has the other: a folder was put in the place of another
        return NoStart("lacking", tuple(party for party, state in states.items() if state.run != agreed[0])[:1])
    for run in agreed:
        finished = [party for party, state in states.items() if state.run != run]
        if finished:
            return _finished_run(run, states, finished[0])
    runs = {state.run for state in states.values()}
    if len(runs) > 1 or b"" in runs:
        return Start(new_run, None)
    return _latest_common_step(runs.pop(), states)


def _finished_run(run: bytes, states: Mapping[str, LocalState], finished: str) -> Start | NoStart:
    """The party `finished` has finished the run and has removed its files. So all had the outcome by then."""
    without = [party for party, state in states.items() if state.finished != run and not state.final]
    return NoStart("outcome", (without[0], finished)) if without else Start(run, None, finished_by_all=True)


def _latest_common_step(run: bytes, states: Mapping[str, LocalState]) -> Start | NoStart:
    common = set.intersection(*(set(state.steps) for state in states.values()))
    if all(state.final for state in states.values()):
        return Start(run, max(common, default=0), final=True)
    if common:
        return Start(run, max(common))
    latest = {party: max(state.steps, default=0) for party, state in states.items()}
    return NoStart("apart", (min(latest, key=latest.__getitem__), max(latest, key=latest.__getitem__)))


def as_message(decision: Start | NoStart, new_run: bytes) -> StartDecision:
    """The decision as the feature parties are sent it."""
    if isinstance(decision, NoStart):
        return StartDecision(run=new_run, step=NEW_RUN, final=False, end=decision.end, about=list(decision.about))
    step = NEW_RUN if decision.step is None else decision.step
    end: End = "over" if decision.finished_by_all else ""
    return StartDecision(run=decision.run, step=step, final=decision.final, end=end, about=[])


def mismatch(me: str, mine: LocalState, decision: NoStart) -> MismatchError:
    """Why no party starts, as a sentence for the operator of this party."""
    first, *rest = ("this party" if party == me else party for party in decision.about)
    restart = restart_hint()
    if decision.end == "lacking" and decision.about[0] == me and mine.restart:
        sentence = (
            "This party was given --restart, and another one has a run that all parties had begun together. Nothing was "
            f"discarded. Give {current_command()} to resume it, or {restart}."
        )
    elif decision.end == "lacking":
        sentence = (
            f"All parties had begun a run together, and {first} has nothing of it: it was given --restart, or another folder "
            f"in the key output of its party file. Start {first} with the folder that it had, or {restart}."
        )
    elif decision.end == "outcome":
        sentence = (
            f"All parties had the outcome of their run, which {rest[0]} has finished, and {first} does not have its "
            f"outcome: a file in its folder is damaged, or an old copy was put in its place. Start {first} with the folder "
            f"that it had, or {restart}."
        )
    else:
        sentence = (
            f"No state of the training is common to all parties: the latest of {first} is too far behind that of {rest[0]}. "
            f"An old copy of a folder was put back at one of the two, or files in it are damaged. Nothing was removed: "
            f"start {first} with the folder that it had; or remove the files step-* at every party, to train again on the "
            f"same alignment; or {restart}."
        )
    return MismatchError(decision.about[0], sentence)
