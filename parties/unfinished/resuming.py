"""Where all parties begin: each says what it holds of a run that was broken off, and the label party answers.

SPEC.md, section 4. What a party holds is a name that was drawn at random, and which steps: nothing about a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from parties.unfinished.checkpoints import STEPS_KEPT, Held
from vsplit.protocol import Message, MismatchError, ProtocolError, Role, Send, receive

RUN = 16
"""Bytes of a run's name."""

_LIMIT = 4096
_AFRESH = -1
_MOST = 1 << 60
What = Literal["alignment", "final"]


class Holding(Message, frozen=True, kw_only=True, eq=False):
    """Feature party to label party, after the greeting: what it holds of a run that is not finished."""

    reveals: ClassVar[str] = "which unfinished run it holds, by a random name, and up to which step"

    run: bytes
    agreed: bool
    steps: list[int]
    final: bool

    def check(self) -> None:
        if len(self.run) not in (0, RUN):
            raise ValueError(f"the name of a run has {RUN} bytes")
        if len(self.steps) > STEPS_KEPT or any(not 0 < step < _MOST for step in self.steps):
            raise ValueError("a party keeps the last steps alone")


class Beginning(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party: from where all begin.

    `step` is -1 for a new alignment, 0 for the beginning of a training on the alignment that all hold; `final`: all have
    the outcome. Where `lacking` is a party's name nobody begins, since that party alone holds nothing of the run.
    """

    reveals: ClassVar[str] = "from which step of which run, by a random name, all parties go on"

    run: bytes
    step: int
    final: bool
    lacking: str

    def check(self) -> None:
        if len(self.run) != RUN or not _AFRESH <= self.step < _MOST:
            raise ValueError("a run has a name, and begins at a step")


class Kept(Message, frozen=True, kw_only=True, eq=False):
    """Feature party to label party: it has its side of the alignment, or its outcome, on its disk."""

    reveals: ClassVar[str] = "nothing else than that it has come so far"

    what: What


class KeptByAll(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party: all parties have."""

    reveals: ClassVar[str] = "nothing else than that all parties have come so far"

    what: What


@dataclass(frozen=True, slots=True)
class Start:
    """From where all parties begin: the name of the run, and the step; `step` None: with a new alignment."""

    run: bytes
    step: int | None
    final: bool = False


def agree_on_start_label(me: str, feature_parties: Sequence[str], mine: Held, fresh: bytes) -> Role[Start]:
    """The label party's side: hear all, answer all, and only then judge. `fresh` names the run if a new one begins.

    Learns and reveals: what each party holds, by random names and steps. Raises MismatchError where a party holds nothing
    of a run whose alignment all parties had: others would lose what they hold.
    """
    holdings: dict[str, Held] = {me: mine}
    for party in feature_parties:
        told = yield from receive(party, Holding, _LIMIT)
        holdings[party] = Held(told.run, told.agreed, tuple(told.steps), told.final)
    lacking = _lacking(holdings)
    start = Start(fresh, None) if lacking else _start(holdings, fresh)
    step = _AFRESH if start.step is None else start.step
    for party in feature_parties:
        yield Send(party, Beginning(run=start.run, step=step, final=start.final, lacking=lacking))
    if lacking:
        raise _lost(me, lacking)
    return start


def agree_on_start_feature(me: str, label_party: str, parties: Sequence[str], mine: Held) -> Role[Start]:
    """A feature party's side. `parties` are all of the job.

    Raises MismatchError as the label party does; ProtocolError for a beginning that this party did not offer, and for one
    that would discard what this party holds.
    """
    yield Send(label_party, Holding(run=mine.run, agreed=mine.agreed, steps=list(mine.steps), final=mine.final))
    told = yield from receive(label_party, Beginning, _LIMIT)
    if told.lacking:
        if told.lacking not in parties:
            raise ProtocolError(label_party, f"{label_party} named a party that is none of this job; ask there.")
        raise _lost(me, told.lacking)
    if told.step == _AFRESH:
        if mine.agreed or told.final or told.run == mine.run:
            raise ProtocolError(
                label_party,
                f"{label_party} would begin afresh although this party holds a run that all had begun; ask there. To begin "
                "afresh, give the command with --restart at every party.",
            )
        return Start(told.run, None)
    offered = told.step == 0 or told.step in mine.steps
    if told.run != mine.run or not offered or (told.final and not mine.final):
        raise ProtocolError(
            label_party,
            f"{label_party} would go on from something that this party does not hold; its program is another version or does "
            "not follow the protocol.",
        )
    return Start(told.run, told.step, told.final)


def all_keep_label(feature_parties: Sequence[str], what: What) -> Role[None]:
    """The label party has its own on its disk: wait until all others have, and tell them so."""
    for party in feature_parties:
        told = yield from receive(party, Kept, _LIMIT)
        _check_what(party, told.what, what)
    for party in feature_parties:
        yield Send(party, KeptByAll(what=what))


def all_keep_feature(label_party: str, what: What) -> Role[None]:
    """A feature party has its own on its disk: say so, and wait until all others have."""
    yield Send(label_party, Kept(what=what))
    told = yield from receive(label_party, KeptByAll, _LIMIT)
    _check_what(label_party, told.what, what)


def _check_what(party: str, told: What, due: What) -> None:
    if told != due:
        raise ProtocolError(
            party, f"{party} has kept its {told} where its {due} was due; its program is another version."
        )


def _lacking(holdings: Mapping[str, Held]) -> str:
    """The first party without a run that another holds and that all parties had; none: empty."""
    agreed = next((held.run for held in holdings.values() if held.agreed), None)
    if agreed is None:
        return ""
    return next((party for party, held in holdings.items() if held.run != agreed), "")


def _start(holdings: Mapping[str, Held], fresh: bytes) -> Start:
    """The latest step that all hold of the run that all hold, if there is one."""
    runs = {held.run for held in holdings.values()}
    if len(runs) > 1 or b"" in runs:
        return Start(fresh, None)
    common = set.intersection(*(set(held.steps) for held in holdings.values()))
    return Start(runs.pop(), max(common, default=0), all(held.final for held in holdings.values()))


def _lost(me: str, lacking: str) -> MismatchError:
    who = "this party" if lacking == me else lacking
    return MismatchError(
        lacking,
        f"All parties had begun a run together, and {who} holds nothing of it: it was given --restart, or another folder in "
        f"the key output of its party file. Start {who} with the folder that it had, or give the command with --restart at "
        "every party to begin afresh.",
    )
