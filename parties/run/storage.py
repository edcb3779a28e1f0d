"""Stores the alignment and the outcome of a run, once all parties have theirs on disk; and loads them again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from parties.checkpoints.folder import CheckpointFolder
from parties.checkpoints.resuming import confirm_stored_feature, confirm_stored_label
from parties.checkpoints.snapshots import (
    AlignedRun,
    offer_alignment,
    offer_final,
    restore_final,
    restore_step,
)
from parties.checkpoints.start_messages import Stage
from parties.config.party_names import PartyNames
from parties.run.context import RunContext
from parties.run.preparation import PreparedTraining
from parties.run.session import Session
from vsplit.protocol import Role


def store_alignment(
    names: PartyNames, checkpoints: CheckpointFolder, aligned: AlignedRun, session: Session, context: RunContext
) -> None:
    """Store this party's side of a new alignment. Once all parties have theirs on disk, it is never repeated."""
    discarded = checkpoints.discard()
    if discarded:
        context.say(f"A new run has begun, and this was discarded of the previous one: {', '.join(discarded)}.")
    offer_alignment(checkpoints, context.run, aligned)
    confirm_stored(names, "alignment", session.run)
    checkpoints.confirm_alignment()
    session.sign()


def restore_training(checkpoints: CheckpointFolder, step: int, prepared: PreparedTraining, context: RunContext) -> None:
    """Set the training to its state after `step` steps; 0: the training has not begun."""
    changes: list[str] = []
    if step:
        context.timeline, changes = restore_step(checkpoints, step, prepared.state)
    context.resumed_from(step, changes)


def restore_outcome(checkpoints: CheckpointFolder, prepared: PreparedTraining, context: RunContext) -> PreparedTraining:
    """The outcome as this party has stored it."""
    joint, context.timeline, changes = restore_final(checkpoints, prepared.state)
    context.resumed_from(prepared.state.step, changes)
    return replace(prepared, joint=joint)


def offer_outcome(checkpoints: CheckpointFolder, trained: PreparedTraining, context: RunContext) -> None:
    """Store this party's outcome, until all parties have theirs."""
    offer_final(checkpoints, context.run, trained.state, trained.joint, context.timeline_until_now())


def confirm_outcome(names: PartyNames, checkpoints: CheckpointFolder, session: Session, context: RunContext) -> None:
    """Wait until all parties have stored their outcomes, so that no party needs another one any more."""
    session.sign(final=True)
    confirm_stored(names, "final", session.run)
    checkpoints.confirm_final()
    context.finished_by_all = True


def confirm_stored(names: PartyNames, stage: Stage, run: Callable[[Role[Any]], Any]) -> None:
    """Confirm that this party has stored its part of `stage`, and wait until all parties have."""
    role: Role[None]
    if names.is_label:
        role = confirm_stored_label(names.feature_parties, stage)
    else:
        role = confirm_stored_feature(names.label_party, stage)
    run(role)
