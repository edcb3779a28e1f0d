"""Where all parties begin: each says what it holds of a run that was broken off, and the label party answers.

SPEC.md, section 4. What a party holds is a name that was drawn at random, and which steps: nothing about a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from parties.checkpoints.folder import STEPS_KEPT, LocalState
from parties.local.command_line import current_command, restart_hint
from vsplit.protocol import Message, MismatchError, ProtocolError, Role, Send, receive

RUN = 16
"""Bytes of a run's name."""

_LIMIT = 4096
_AFRESH = -1
_MOST = 1 << 60
What = Literal["alignment", "final"]
End = Literal["", "over", "lacking", "apart", "outcome"]
"""Why nobody begins (empty: all begin).

over      who holds the run has the outcome, and all others have finished it: each needs no other party any more
lacking   the party named holds nothing of a run whose alignment all had
apart     all hold the alignment, and no state is common to all; the states of the first party named are the oldest, and
          those of the second the latest
outcome   the second party named has finished the run, for which all had the outcome; the first holds none
"""
_NAMED: dict[End, int] = {"": 0, "over": 0, "lacking": 1, "apart": 2, "outcome": 2}


class LocalStateOffer(Message, frozen=True, kw_only=True, eq=False):
    """Feature party to label party, after the greeting: what it holds of a run that is not finished.

    `steps`: see `parties.checkpoints.folder.LocalState`. `finished` names the run whose results it has, if there is one.
    """

    reveals: ClassVar[str] = (
        "which run it has finished last and which unfinished one it holds, by random names, and up to which step"
    )

    run: bytes
    agreed: bool
    steps: list[int]
    final: bool
    finished: bytes

    def check(self) -> None:
        if any(len(run) not in (0, RUN) for run in (self.run, self.finished)):
            raise ValueError(f"the name of a run has {RUN} bytes")
        if len(self.steps) > STEPS_KEPT or any(not 0 <= step < _MOST for step in self.steps):
            raise ValueError("a party keeps the last steps alone")
        if bool(self.run) != bool(self.steps):
            raise ValueError("who holds a run can begin somewhere, and nobody else")


class StartDecision(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party: from where all begin, or why nobody does.

    `step` is -1 for a new alignment, 0 for the beginning of a training on the alignment that all hold; `final`: all have
    the outcome. Where nobody begins, `end` says why, and `about` names up to two parties: see `End`.
    """

    reveals: ClassVar[str] = (
        "from which step of which run, by a random name, all parties go on; or that it is over, or which party's files do not "
        "fit those of the others"
    )

    run: bytes
    step: int
    final: bool
    end: End
    about: list[str]

    def check(self) -> None:
        if len(self.run) != RUN or not _AFRESH <= self.step < _MOST:
            raise ValueError("a run has a name, and begins at a step")
        if len(self.about) != _NAMED[self.end]:
            raise ValueError("why nobody begins is about certain parties")


class StateKept(Message, frozen=True, kw_only=True, eq=False):
    """Feature party to label party: it has its side of the alignment, or its outcome, on its disk."""

    reveals: ClassVar[str] = "nothing else than that it has come so far"

    what: What


class StateKeptByAll(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party: all parties have."""

    reveals: ClassVar[str] = "nothing else than that all parties have come so far"

    what: What


@dataclass(frozen=True, slots=True)
class Start:
    """From where all parties begin: the name of the run, and the step; `step` None: with a new alignment.

    `over`: nobody begins, since every party has the outcome of this run, or has finished it.
    """

    run: bytes
    step: int | None
    final: bool = False
    over: bool = False


@dataclass(frozen=True, slots=True)
class _NoStart:
    """Why nobody can begin, and the parties that this is about."""

    end: End
    about: tuple[str, ...]


def agree_on_start_label(me: str, feature_parties: Sequence[str], mine: LocalState, fresh: bytes) -> Role[Start]:
    """The label party's side: hear all, answer all, and only then judge. `fresh` names the run if a new one begins.

    Learns and reveals: what each party holds, by random names and steps. Raises MismatchError where a party holds nothing
    of a run whose alignment all parties had, or another part of it than the others: these would lose what they hold.
    """
    holdings: dict[str, LocalState] = {me: mine}
    for party in feature_parties:
        told = yield from receive(party, LocalStateOffer, _LIMIT)
        holdings[party] = LocalState(told.run, told.agreed, tuple(told.steps), told.final, finished=told.finished)
    found = _decide(holdings, fresh)
    answer = _answer(found, fresh)
    for party in feature_parties:
        yield Send(party, answer)
    if isinstance(found, _NoStart):
        raise _mismatch(me, mine, found)
    return found


def agree_on_start_feature(me: str, label_party: str, parties: Sequence[str], mine: LocalState) -> Role[Start]:
    """A feature party's side. `parties` are all of the job.

    Raises MismatchError as the label party does; ProtocolError for a beginning that this party did not offer, and for one
    that would discard what this party holds.
    """
    yield Send(
        label_party,
        LocalStateOffer(
            run=mine.run, agreed=mine.agreed, steps=list(mine.steps), final=mine.final, finished=mine.finished
        ),
    )
    told = yield from receive(label_party, StartDecision, _LIMIT)
    if told.about:
        if not set(told.about) <= set(parties):
            raise ProtocolError(label_party, f"{label_party} named a party that is none of this job; ask there.")
        raise _mismatch(me, mine, _NoStart(told.end, tuple(told.about)))
    if told.end == "over":
        if told.run != mine.finished and not (told.run == mine.run and mine.final):
            raise ProtocolError(
                label_party, f"{label_party} says that a run is over of which this party has no outcome; ask there."
            )
        if mine.agreed and told.run != mine.run:
            raise ProtocolError(
                label_party,
                f"{label_party} says that a run is over, although this party holds another one that all had begun; ask there.",
            )
        return Start(told.run, None, over=True)
    if told.step == _AFRESH:
        if mine.agreed or told.final or told.run in (mine.run, mine.finished):
            raise ProtocolError(
                label_party,
                f"{label_party} would begin afresh although this party holds a run that all had begun; ask there. To begin "
                f"afresh, give {current_command('--restart')}, with --restart at every party.",
            )
        return Start(told.run, None)
    # Where all have the outcome and no state in common, which they need not have, the step is 0.
    steps = (0, *mine.steps) if told.final else mine.steps
    offered = told.step in steps and (mine.final or not told.final)
    if told.run != mine.run or not offered:
        raise ProtocolError(
            label_party,
            f"{label_party} would go on from something that this party does not hold; its program is another version or does "
            "not follow the protocol.",
        )
    return Start(told.run, told.step, told.final)


def all_keep_label(feature_parties: Sequence[str], what: What) -> Role[None]:
    """The label party has its own on its disk: wait until all others have, and tell them so."""
    for party in feature_parties:
        told = yield from receive(party, StateKept, _LIMIT)
        _check_what(party, told.what, what)
    for party in feature_parties:
        yield Send(party, StateKeptByAll(what=what))


def all_keep_feature(label_party: str, what: What) -> Role[None]:
    """A feature party has its own on its disk: say so, and wait until all others have."""
    yield Send(label_party, StateKept(what=what))
    told = yield from receive(label_party, StateKeptByAll, _LIMIT)
    _check_what(label_party, told.what, what)


def _check_what(party: str, told: What, due: What) -> None:
    if told != due:
        raise ProtocolError(
            party, f"{party} has kept its {told} where its {due} was due; its program is another version."
        )


def _decide(holdings: Mapping[str, LocalState], fresh: bytes) -> Start | _NoStart:
    """What is to be done where the parties hold this."""
    agreed = list(dict.fromkeys(held.run for held in holdings.values() if held.agreed))
    for run in agreed:
        lacking = [party for party, held in holdings.items() if run not in (held.run, held.finished)]
        if lacking:
            return _NoStart("lacking", (lacking[0],))
    if len(agreed) > 1:  # each finished by whoever holds the other: a folder was put in the place of another
        return _NoStart("lacking", tuple(name for name, held in holdings.items() if held.run != agreed[0])[:1])
    for run in agreed:
        finished = [party for party, held in holdings.items() if held.run != run]
        if finished:
            return _end_of(run, holdings, finished[0])
    runs = {held.run for held in holdings.values()}
    if len(runs) > 1 or b"" in runs:
        return Start(fresh, None)
    return _common(runs.pop(), holdings)


def _end_of(run: bytes, holdings: Mapping[str, LocalState], finished: str) -> Start | _NoStart:
    """A party has `finished` the run and holds nothing of it any more. So all had the outcome by then."""
    without = [party for party, held in holdings.items() if held.finished != run and not held.final]
    return _NoStart("outcome", (without[0], finished)) if without else Start(run, None, over=True)


def _common(run: bytes, holdings: Mapping[str, LocalState]) -> Start | _NoStart:
    """The latest step at which all can begin of the run that all hold."""
    common = set.intersection(*(set(held.steps) for held in holdings.values()))
    if all(held.final for held in holdings.values()):
        return Start(run, max(common, default=0), final=True)
    if common:
        return Start(run, max(common))
    latest = {party: max(held.steps, default=0) for party, held in holdings.items()}
    return _NoStart("apart", (min(latest, key=latest.__getitem__), max(latest, key=latest.__getitem__)))


def _answer(found: Start | _NoStart, fresh: bytes) -> StartDecision:
    if isinstance(found, _NoStart):
        return StartDecision(run=fresh, step=_AFRESH, final=False, end=found.end, about=list(found.about))
    step = _AFRESH if found.step is None else found.step
    return StartDecision(run=found.run, step=step, final=found.final, end="over" if found.over else "", about=[])


def _mismatch(me: str, mine: LocalState, found: _NoStart) -> MismatchError:
    """Why nobody begins, as a sentence for the people of this party."""
    first, *others = ("this party" if party == me else party for party in found.about)
    restart = restart_hint()
    if found.end == "lacking" and found.about[0] == me and mine.restart:
        sentence = (
            "This party was given --restart, and another one holds a run that all parties had begun together. Nothing was "
            f"discarded. Give {current_command()} to go on with it, or {restart}."
        )
    elif found.end == "lacking":
        sentence = (
            f"All parties had begun a run together, and {first} holds nothing of it: it was given --restart, or another folder "
            f"in the key output of its party file. Start {first} with the folder that it had, or {restart}."
        )
    elif found.end == "outcome":
        sentence = (
            f"All parties had come to the end of their run, which {others[0]} has finished, and {first} does not hold its "
            f"outcome: a file in its folder is damaged, or an old copy was put in its place. Start {first} with the folder "
            f"that it had, or {restart}."
        )
    else:
        sentence = (
            f"No state of the training is common to all parties: the latest of {first} is too far behind that of {others[0]}. "
            f"An old copy of a folder was put back at one of the two, or files in it are damaged. Nothing was taken away: "
            f"start {first} with the folder that it had; or take the files step-* away at every party, to train again on the "
            f"same alignment; or {restart}."
        )
    return MismatchError(found.about[0], sentence)
