"""From a job and aligned rows to a trained model: builds what the roles of vsplit.learn need, and runs them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from parties.config.job import Job
from parties.data.aligned_rows import AlignedRows, Run
from parties.data.images import read_images
from parties.data.party_data import PartyData, Rows
from parties.data.prepare import Preparation, Prepared
from parties.local.command_line import same_command
from parties.local.text import ended
from parties.run.own_module import builder_at
from vsplit.aggregation import check_installed, receiver_for, sender_for
from vsplit.aggregation.interface import SecureSum
from vsplit.aggregation.secure_sum import Member
from vsplit.learn import runtime
from vsplit.learn.batches import Split
from vsplit.learn.feature import FeatureState, feature_role
from vsplit.learn.label import Due, LabelSide, LabelState, Predictions, label_role, never
from vsplit.learn.models import InputShape, Store, build_bottom, build_top, tabular
from vsplit.learn.plan import Plan
from vsplit.learn.training import Target, build_optimizer, make_target
from vsplit.protocol import ConfigError, DataError, VsplitError
from vsplit.sealing import Seal


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """A party's inputs in the common order, and how they were prepared."""

    preparation: Preparation
    shape: InputShape
    store: Store


@dataclass(frozen=True, slots=True, eq=False)
class PreparedTraining:
    """One party's part in a training, and at its end the outcome.

    The label party has `target`, and predictions once all is done; `inputs` is None without features.

    `split` holds positions in the common order of rows, and `shared` the party's own rows in this order.
    """

    plan: Plan
    split: Split
    shared: AlignedRows
    inputs: Inputs | None
    state: FeatureState | LabelState
    target: Target | None = None
    joint: Predictions | None = None


def plan_of(job: Job, label_party_contributes: bool) -> Plan:
    """The learning part of a job. Only the label party needs to know whether it has features itself."""
    train, model = job.train, job.model
    return Plan(
        task=job.task,
        contributors=tuple(
            name for name, member in job.parties.items() if member.role == "feature" or label_party_contributes
        ),
        aggregate=model.aggregate,
        secure_sum=None if model.secure_sum is None else SecureSum(**model.secure_sum.model_dump()),
        width=model.embedding,
        top_hidden=tuple(model.top.hidden),
        epochs=train.epochs,
        batch_size=train.batch_size,
        optimizer=train.optimizer,
        lr=train.lr,
        weight_decay=train.weight_decay,
        momentum=train.momentum,
        balanced=train.class_weights == "balanced",
        patience=train.early_stopping.patience if train.early_stopping else None,
        seed=train.seed,
    )


def private_seed(party_data: PartyData) -> int | bytes:
    """The seed of this party's initial weights: from its file, or else entropy for torch's whole generator.

    It is private, because who knows the initial weights could read features out of the first embeddings.
    """
    seed = party_data.party.settings.seed
    return os.urandom(runtime.STATE_BYTES) if seed is None else seed


def check_model(party_data: PartyData) -> None:
    """Look for the device and phe, and build the bottom model for all usable rows, as a run does for those in common.

    Opens every image, so that a broken one is found before the match is known. Raises ConfigError or DataError.
    """
    settings = party_data.party.settings
    runtime.configure(settings.threads, settings.device)
    check_installed(party_data.party.job.model.aggregate)
    if party_data.contributes:
        _, prepared = _prepared(party_data, party_data.keys.rows, np.arange(len(party_data.keys.rows)))
        read = _images(party_data, party_data.keys.rows)
        _bottom(party_data, _shape(party_data, prepared, read))


def prepare(party_data: PartyData, shared: AlignedRows, seed: int | bytes) -> PreparedTraining:
    """All that a training on the shared rows of this party's table begins with: nothing is trained yet.

    Equal where `shared`, `seed` and the data are. Raises DataError where the rows cannot be split or learned from.
    """
    settings, job = party_data.party.settings, party_data.party.job
    runtime.configure(settings.threads, settings.device)
    split = shared.split(job)
    if party_data.party.role == "label":
        plan = plan_of(job, party_data.contributes)
        target = make_target(plan, party_data.label_values(shared.rows), split.train, settings.device)
        inputs = _inputs(party_data, shared.rows, split) if party_data.contributes else None
        runtime.seed(seed)
        return PreparedTraining(plan, split, shared, inputs, _label_state(party_data, inputs, plan, target), target)
    plan, groups = plan_of(job, label_party_contributes=False), shared.groups
    if groups is None:
        inputs = _inputs(party_data, shared.rows, split)
    else:
        # One row of this party's table serves many shared rows. It is prepared, and an image decoded, once for all.
        inputs = _inputs(party_data, shared.rows[groups.starts], split, groups.person)
    runtime.seed(seed)
    bottom = _bottom(party_data, inputs.shape)
    return PreparedTraining(
        plan, split, shared, inputs, FeatureState(bottom, build_optimizer(plan, bottom.parameters()))
    )


def train(
    party_data: PartyData,
    prepared: PreparedTraining,
    run: Run,
    *,
    run_name: bytes,
    seals: Mapping[str, Seal] | None = None,
    due: Due = never,
) -> PreparedTraining:
    """Train together with the others from where `prepared` stands, and return the outcome.

    A feature party needs `seals` to the other feature parties for a secure sum, which is bound to `run_name`, so that no
    two of them are in different runs; the label party says with `due` after which steps all keep their states.
    """
    job, me, plan, state, inputs = (
        party_data.party.job,
        party_data.party.name,
        prepared.plan,
        prepared.state,
        prepared.inputs,
    )
    if isinstance(state, LabelState):
        if prepared.target is None:
            raise ValueError("the label party has a target")
        side = LabelSide(me, inputs.store if inputs else None, prepared.target, party_data.party.settings.device)
        receiver = receiver_for(plan.cut, me, job.feature_parties, random_bytes=os.urandom)
        joint: Predictions = run(label_role(job.feature_parties, state, side, prepared.split, plan, receiver, due))
        return dataclasses.replace(prepared, joint=joint)
    if inputs is None:
        raise ValueError("a feature party has features")
    groups = prepared.shared.groups
    shared = b"" if groups is None else groups.digest
    member = Member(me, job.label_party, job.feature_parties, seals or {}, os.urandom, run_name, shared)
    run(feature_role(job.label_party, state, inputs.store, prepared.split, plan, sender_for(plan.cut, member)))
    return prepared


def train_alone(party_data: PartyData, trained: PreparedTraining, seed: int | bytes, run: Run) -> Predictions | None:
    """What the label party predicts without the others: trained the same way, on the same rows.

    Without features of its own it can only say how frequent each outcome was in training. None where this training
    diverges: that must not cost the joint result, which is whole by now.
    """
    split, target = trained.split, trained.target
    if target is None:
        raise ValueError("only the label party trains alone")
    if trained.inputs is None:
        return _base_rate(party_data.label_values(trained.shared.rows), trained)
    plan = dataclasses.replace(trained.plan, contributors=(party_data.party.name,))
    runtime.seed(seed)
    state = _label_state(party_data, trained.inputs, plan, target)
    side = LabelSide(party_data.party.name, trained.inputs.store, target, party_data.party.settings.device)
    try:
        alone: Predictions = run(label_role((), state, side, split, plan))
    except DataError:
        return None
    return alone


def _label_state(party_data: PartyData, inputs: Inputs | None, plan: Plan, target: Target) -> LabelState:
    device = party_data.party.settings.device
    bottom = _bottom(party_data, inputs.shape) if inputs else None
    top = build_top(plan, target.outputs).to(device)
    parameters = [*(bottom.parameters() if bottom is not None else []), *top.parameters()]
    return LabelState(bottom, top, build_optimizer(plan, parameters))


def _base_rate(values: npt.NDArray[Any], trained: PreparedTraining) -> Predictions:
    held = values[trained.split.train]
    classes = trained.target.classes if trained.target else 2
    if trained.plan.task == "multiclass":
        rate = np.bincount(held.astype(np.int64), minlength=classes) / len(held)
    else:
        rate = np.asarray(held.mean(), np.float64)
    same = [
        np.broadcast_to(rate, (len(part), *rate.shape)).copy()
        for part in (trained.split.validation, trained.split.test)
    ]
    return Predictions(*same)


def _bottom(party_data: PartyData, shape: InputShape) -> Any:
    """This party's bottom model, fresh. Whatever a module of the user's own raises becomes a ConfigError."""
    settings = party_data.party.settings
    own, width = settings.bottom.module, party_data.party.job.model.embedding
    if own is None:
        return build_bottom(tabular(settings.bottom.hidden or ()), shape, width, settings.device)
    try:
        return build_bottom(builder_at(own, party_data.party.code_folder), shape, width, settings.device)
    except VsplitError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"In {party_data.party.file}, the key bottom.module names {own}, which raises {type(error).__name__} for {shape} "
            f"and an embedding of {width}: {ended(str(error))} Mend it; {same_command('--debug')} shows where."
        ) from error


def _prepared(party_data: PartyData, rows: Rows, training: Rows) -> tuple[Preparation, Prepared]:
    """These rows' features, prepared by what is learned from those at the positions `training` only."""
    features = party_data.table.features.iloc[rows].reset_index(drop=True)
    preparation = Preparation.fit(features, party_data.party.settings.data.categories, training)
    return preparation, preparation.transform(features)


def _images(party_data: PartyData, rows: Rows) -> npt.NDArray[np.uint8] | None:
    wanted, table = party_data.party.settings.data.image, party_data.table
    if table.images is None or wanted is None:
        return None
    return read_images(table.images.iloc[rows], wanted.size, wanted.channels, table.image_folder, table.where)


def _shape(party_data: PartyData, prepared: Prepared, images: npt.NDArray[np.uint8] | None) -> InputShape:
    image = None if images is None else (images.shape[1], images.shape[2], images.shape[3])
    return InputShape(prepared.numeric.shape[1], tuple(prepared.vocabularies), image)


def _inputs(party_data: PartyData, rows: Rows, split: Split, places: Rows | None = None) -> Inputs:
    """Prepare the features of these rows of the table, fitted on the training rows only.

    `places`, int64 [shared rows]: which of `rows` each shared row is; None: they are the shared rows themselves. The
    preparation counts a row as often as it is trained on, as it would in one table that holds everything.
    """
    training = split.train if places is None else places[split.train]
    preparation, prepared = _prepared(party_data, rows, training)
    images = _images(party_data, rows)
    store = Store(prepared.numeric, prepared.categories, images, party_data.party.settings.device, places)
    return Inputs(preparation, _shape(party_data, prepared, images), store)
