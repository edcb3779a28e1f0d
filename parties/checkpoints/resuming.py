"""The roles in which all parties agree on where a run starts, and confirm what they have stored. SPEC.md, section 4."""

from __future__ import annotations

from collections.abc import Sequence

from parties.checkpoints.local_state import LocalState
from parties.checkpoints.start_decision import NoStart, Start, as_message, decide, mismatch
from parties.checkpoints.start_messages import (
    NEW_RUN,
    LocalStateOffer,
    Stage,
    StartDecision,
    StateKept,
    StateKeptByAll,
)
from parties.local.command_line import current_command
from vsplit.protocol import ProtocolError, Role, Send, receive

_LIMIT = 4096


def agree_on_start_label(me: str, feature_parties: Sequence[str], mine: LocalState, new_run: bytes) -> Role[Start]:
    """The label party's side: it receives all states and answers all before it decides. `new_run` names the run if one begins.

    Learns and reveals: what each party has, by random names and steps. Raises MismatchError where a party has nothing of a
    run whose alignment all parties had, or another part of it than the others: these would lose what they have.
    """
    states: dict[str, LocalState] = {me: mine}
    for party in feature_parties:
        offer = yield from receive(party, LocalStateOffer, _LIMIT)
        states[party] = LocalState(offer.run, offer.agreed, tuple(offer.steps), offer.final, finished=offer.finished)
    decision = decide(states, new_run)
    for party in feature_parties:
        yield Send(party, as_message(decision, new_run))
    if isinstance(decision, NoStart):
        raise mismatch(me, mine, decision)
    return decision


def agree_on_start_feature(me: str, label_party: str, parties: Sequence[str], mine: LocalState) -> Role[Start]:
    """A feature party's side. `parties` are all of the job.

    Raises MismatchError as the label party does; ProtocolError for a start that this party did not offer, and for one
    that would discard what this party has.
    """
    yield Send(
        label_party,
        LocalStateOffer(
            run=mine.run, agreed=mine.agreed, steps=list(mine.steps), final=mine.final, finished=mine.finished
        ),
    )
    decision = yield from receive(label_party, StartDecision, _LIMIT)
    if decision.about:
        if not set(decision.about) <= set(parties):
            raise ProtocolError(
                label_party, f"{label_party} named a party that does not belong to this job; ask there."
            )
        raise mismatch(me, mine, NoStart(decision.end, tuple(decision.about)))
    if decision.end == "over":
        return _check_finished(label_party, mine, decision.run)
    if decision.step == NEW_RUN:
        return _check_new_run(label_party, mine, decision)
    # Where all have the outcome and no state in common, which they need not have, the step is 0.
    steps = (0, *mine.steps) if decision.final else mine.steps
    offered = decision.step in steps and (mine.final or not decision.final)
    if decision.run != mine.run or not offered:
        raise ProtocolError(
            label_party,
            f"{label_party} would resume from a state that this party does not have; its program is another version or does "
            "not follow the protocol.",
        )
    return Start(decision.run, decision.step, decision.final)


def _check_finished(label_party: str, mine: LocalState, run: bytes) -> Start:
    if run != mine.finished and not (run == mine.run and mine.final):
        raise ProtocolError(
            label_party, f"{label_party} reports a finished run of which this party has no outcome; ask there."
        )
    if mine.agreed and run != mine.run:
        raise ProtocolError(
            label_party,
            f"{label_party} reports a finished run, although this party has another one that all had begun; ask there.",
        )
    return Start(run, None, finished_by_all=True)


def _check_new_run(label_party: str, mine: LocalState, decision: StartDecision) -> Start:
    if mine.agreed or decision.final or decision.run in (mine.run, mine.finished):
        raise ProtocolError(
            label_party,
            f"{label_party} would begin a new run although this party has one that all had begun; ask there. To begin a new "
            f"one, give {current_command('--restart')}, with --restart at every party.",
        )
    return Start(decision.run, None)


def confirm_stored_label(feature_parties: Sequence[str], stage: Stage) -> Role[None]:
    """The label party has stored its own: wait until all other parties have, and confirm it to them."""
    for party in feature_parties:
        stored = yield from receive(party, StateKept, _LIMIT)
        _check_stage(party, stored.what, stage)
    for party in feature_parties:
        yield Send(party, StateKeptByAll(what=stage))


def confirm_stored_feature(label_party: str, stage: Stage) -> Role[None]:
    """A feature party has stored its own: confirm it, and wait until all other parties have."""
    yield Send(label_party, StateKept(what=stage))
    stored = yield from receive(label_party, StateKeptByAll, _LIMIT)
    _check_stage(label_party, stored.what, stage)


def _check_stage(party: str, stored: Stage, expected: Stage) -> None:
    if stored != expected:
        raise ProtocolError(
            party,
            f"{party} confirmed its {stored} where its {expected} was expected; its program is another version.",
        )
