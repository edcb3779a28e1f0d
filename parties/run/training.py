"""Trains the joint model with the other parties, and the label party's model alone."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from parties.checkpoints.folder import CheckpointFolder
from parties.checkpoints.schedule import CheckpointSchedule
from parties.checkpoints.snapshots import store_step
from parties.config.local_model import LocalModel
from parties.config.party_names import PartyNames
from parties.config.train import Train
from parties.run.context import RunContext
from parties.run.preparation import PreparedTraining, label_state
from parties.run.seals import Run
from parties.run.session import Session
from vsplit.aggregation import receiver_for, sender_for
from vsplit.aggregation.secure_sum import Member
from vsplit.learn import runtime
from vsplit.learn.feature import FeatureState, feature_role
from vsplit.learn.label import Due, LabelSide, LabelState, Predictions, label_role, never
from vsplit.protocol import Checkpoint, DataError, Role
from vsplit.sealing import Seal


@dataclass(frozen=True, slots=True, eq=False)
class AloneModel:
    """The label party's own model, trained without the other parties, and its predictions.

    Without features of its own it has no `state`: then it predicts `rate`, how frequent each outcome was, for every row.
    """

    predictions: Predictions
    state: LabelState | None = None
    rate: npt.NDArray[np.float64] | None = None


def train(
    names: PartyNames,
    prepared: PreparedTraining,
    device: str,
    run: Run,
    *,
    run_name: bytes,
    seals: Mapping[str, Seal] | None = None,
    due: Due = never,
) -> PreparedTraining:
    """Train with the other parties from the state of `prepared`, and return the outcome.

    A feature party needs `seals` to the other feature parties for a secure sum, which is bound to `run_name`, so that no
    two of them are in different runs; the label party decides with `due` after which steps all parties store their states.
    """
    plan, state, inputs = prepared.plan, prepared.state, prepared.inputs
    me, label_party, feature_parties = names.me, names.label_party, names.feature_parties
    if isinstance(state, LabelState):
        if prepared.target is None:
            raise ValueError("the label party has a target")
        side = LabelSide(me, inputs.store if inputs else None, prepared.target, device)
        receiver = receiver_for(plan.cut, me, feature_parties, random_bytes=os.urandom)
        joint: Predictions = run(label_role(feature_parties, state, side, prepared.split, plan, receiver, due))
        return dataclasses.replace(prepared, joint=joint)
    if inputs is None:
        raise ValueError("a feature party has features")
    groups = prepared.shared.groups
    shared = b"" if groups is None else groups.digest
    member = Member(me, label_party, feature_parties, seals or {}, os.urandom, run_name, shared)
    run(feature_role(label_party, state, inputs.store, prepared.split, plan, sender_for(plan.cut, member)))
    return prepared


def train_with_checkpoints(
    names: PartyNames,
    settings: Train,
    prepared: PreparedTraining,
    device: str,
    seals: Mapping[str, Seal],
    checkpoints: CheckpointFolder,
    session: Session,
    context: RunContext,
) -> PreparedTraining:
    """Train as `train` does in a session, and store this party's state where all parties do."""
    state = prepared.state
    checkpoints.restart_at(state.step)
    context.begin_training(state.progress.epoch, settings.epochs)
    context.monitor.training(state, len(prepared.split.train), prepared.plan.batch_size)
    due = CheckpointSchedule(settings.checkpoint.steps, settings.checkpoint.seconds, begin=state.step)

    def store(checkpoint: Checkpoint) -> None:
        state = checkpoint.state
        if not isinstance(state, FeatureState | LabelState):
            raise TypeError("a training hands out its own state")
        with context.monitor.storing(checkpoint.step):
            store_step(checkpoints, context.run, state, context.timeline_until_now())
        session.sign()

    def run(role: Role[Any]) -> Any:
        return session.run(role, store)

    return train(names, prepared, device, run, run_name=context.run, seals=seals, due=due)


def train_alone(
    me: str,
    trained: PreparedTraining,
    values: npt.NDArray[Any],
    model: LocalModel,
    seed: int | bytes,
    run: Run,
) -> AloneModel | None:
    """The label party's model without the other parties: trained the same way, on the same rows.

    `values` are the encoded labels of the shared rows. Without features of its own the label party predicts how frequent
    each outcome was in training. None where this training diverges: that must not cost the joint result, which is complete
    by now.
    """
    split, target = trained.split, trained.target
    if target is None:
        raise ValueError("only the label party trains alone")
    if trained.inputs is None:
        return _base_rate(values, trained)
    plan = dataclasses.replace(trained.plan, contributors=(me,))
    runtime.seed(seed)
    state = label_state(model, trained.inputs, plan, target)
    side = LabelSide(me, trained.inputs.store, target, model.device)
    try:
        alone: Predictions = run(label_role((), state, side, split, plan))
    except DataError:
        return None
    return AloneModel(alone, state)


def _base_rate(values: npt.NDArray[Any], trained: PreparedTraining) -> AloneModel:
    training = values[trained.split.train]
    classes = trained.target.classes if trained.target else 2
    if trained.plan.task == "multiclass":
        rate = np.bincount(training.astype(np.int64), minlength=classes) / len(training)
    else:
        rate = np.asarray(training.mean(), np.float64)
    same = [
        np.broadcast_to(rate, (len(part), *rate.shape)).copy()
        for part in (trained.split.validation, trained.split.test)
    ]
    return AloneModel(Predictions(*same), rate=rate)
