"""From a job and aligned rows to a training that can begin: splits the rows, prepares the features, builds the models."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from parties.config.job import Job
from parties.config.joint import Joint
from parties.config.local_model import LocalModel
from parties.config.party_names import PartyNames
from parties.data.aligned_rows import AlignedRows
from parties.data.images import read_images
from parties.data.party_data import PartyData, Rows
from parties.data.prepare import Preparation, Prepared
from parties.local.command_line import current_command
from parties.local.text import ended
from parties.run.own_module import builder_at
from vsplit.aggregation import check_installed
from vsplit.aggregation.interface import SecureSum
from vsplit.learn import runtime
from vsplit.learn.batches import Split
from vsplit.learn.feature import FeatureState
from vsplit.learn.label import LabelState, Predictions
from vsplit.learn.models import InputShape, Store, build_bottom, build_top, tabular
from vsplit.learn.plan import Plan
from vsplit.learn.training import Target, build_optimizer, make_target
from vsplit.protocol import ConfigError, VsplitError


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


def private_seed(seed: int | None) -> int | bytes:
    """The seed of this party's initial weights: that of its file, or else entropy for torch's whole generator.

    It is private, because a party that knows the initial weights could recover features from the first embeddings.
    """
    return os.urandom(runtime.STATE_BYTES) if seed is None else seed


def check_model(party_data: PartyData, model: LocalModel, joint: Joint) -> None:
    """Look for the device and phe, and build the bottom model for all usable rows, as a run does for the shared ones.

    Opens every image, so that a broken one is found before anything is known of the match. Raises ConfigError or
    DataError.
    """
    runtime.configure(model.threads, model.device)
    check_installed(joint.aggregate)
    if party_data.contributes:
        rows = party_data.keys.rows
        _, prepared = _prepared(party_data, model, rows, np.arange(len(rows)))
        _bottom(model, _shape(prepared, _images(party_data, model, rows)), joint.embedding)


def prepare(
    names: PartyNames, job: Job, party_data: PartyData, model: LocalModel, shared: AlignedRows, seed: int | bytes
) -> PreparedTraining:
    """All that a training on the shared rows of this party's table begins with: nothing is trained yet.

    Equal where `shared`, `seed` and the data are. Raises DataError where the rows cannot be split or learned from.
    """
    runtime.configure(model.threads, model.device)
    split = shared.split(job)
    if names.is_label:
        plan = plan_of(job, party_data.contributes)
        target = make_target(plan, party_data.label_values(shared.rows), split.train, model.device)
        inputs = _inputs(party_data, model, shared.rows, split) if party_data.contributes else None
        runtime.seed(seed)
        return PreparedTraining(plan, split, shared, inputs, label_state(model, inputs, plan, target), target)
    plan, groups = plan_of(job, label_party_contributes=False), shared.groups
    if groups is None:
        inputs = _inputs(party_data, model, shared.rows, split)
    else:
        # One row of this party's table serves many shared rows. It is prepared, and an image decoded, once for all.
        inputs = _inputs(party_data, model, shared.rows[groups.starts], split, groups.person)
    runtime.seed(seed)
    bottom = _bottom(model, inputs.shape, plan.width)
    return PreparedTraining(
        plan, split, shared, inputs, FeatureState(bottom, build_optimizer(plan, bottom.parameters()))
    )


def label_state(model: LocalModel, inputs: Inputs | None, plan: Plan, target: Target) -> LabelState:
    """The label party's models and optimizer before the first step."""
    bottom = _bottom(model, inputs.shape, plan.width) if inputs else None
    top = build_top(plan, target.outputs).to(model.device)
    parameters = [*(bottom.parameters() if bottom is not None else []), *top.parameters()]
    return LabelState(bottom, top, build_optimizer(plan, parameters))


def _bottom(model: LocalModel, shape: InputShape, width: int) -> Any:
    """This party's bottom model, newly built. Any exception of a module of the user's own becomes a ConfigError."""
    own = model.bottom.module
    if own is None:
        return build_bottom(tabular(model.bottom.hidden or ()), shape, width, model.device)
    try:
        return build_bottom(builder_at(own, model.code_folder), shape, width, model.device)
    except VsplitError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"In {model.file}, the key bottom.module names {own}, which raises {type(error).__name__} for {shape} "
            f"and an embedding of {width}: {ended(str(error))} Correct it; {current_command('--debug')} shows where."
        ) from error


def _prepared(party_data: PartyData, model: LocalModel, rows: Rows, training: Rows) -> tuple[Preparation, Prepared]:
    """The features of these rows, prepared by what is learned from those at the positions `training` only."""
    features = party_data.table.features.iloc[rows].reset_index(drop=True)
    preparation = Preparation.fit(features, model.categories, training)
    return preparation, preparation.transform(features)


def _images(party_data: PartyData, model: LocalModel, rows: Rows) -> npt.NDArray[np.uint8] | None:
    image, table = model.image, party_data.table
    if table.images is None or image is None:
        return None
    return read_images(table.images.iloc[rows], image.size, image.channels, table.image_folder, table.where)


def _shape(prepared: Prepared, images: npt.NDArray[np.uint8] | None) -> InputShape:
    image = None if images is None else (images.shape[1], images.shape[2], images.shape[3])
    return InputShape(prepared.numeric.shape[1], tuple(prepared.vocabularies), image)


def _inputs(
    party_data: PartyData, model: LocalModel, rows: Rows, split: Split, positions: Rows | None = None
) -> Inputs:
    """Prepare the features of these rows of the table, fitted on the training rows only.

    `positions`, int64 [shared rows]: which of `rows` each shared row is; None: they are the shared rows themselves. The
    preparation counts a row as often as it is trained on, as it would in one table that holds everything.
    """
    training = split.train if positions is None else positions[split.train]
    preparation, prepared = _prepared(party_data, model, rows, training)
    images = _images(party_data, model, rows)
    store = Store(prepared.numeric, prepared.categories, images, model.device, positions)
    return Inputs(preparation, _shape(prepared, images), store)
