"""Models for subsets of the feature parties, trained by the label party alone. SPEC.md, section 12.3."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import nn

from vsplit.aggregation.interface import SECURE, Aggregate
from vsplit.learn.batches import Split
from vsplit.learn.embedding_record import StoredReceiver
from vsplit.learn.label import LabelSide, LabelState, Predictions, label_role
from vsplit.learn.models import Top
from vsplit.learn.plan import Plan
from vsplit.learn.training import build_optimizer
from vsplit.protocol import ConfigError, Role

PATIENCE = 5
"""Epochs without a better validation loss after which the training stops, where the job has no early stopping."""
EPOCHS = 40
"""The most epochs, where the job has fewer. A model for a subset reaches its best loss later than the joint one."""


@dataclass(frozen=True, slots=True, eq=False)
class SubsetModel:
    """The label party's part for one subset of the feature parties, `parties`, in the job's order.

    `bottom` is its own bottom, refitted for them (None without features); `top` takes the embedding of `bottom` joined with
    theirs. `predictions` are for the validation and the test rows.
    """

    parties: tuple[str, ...]
    bottom: nn.Module | None
    top: nn.Module
    predictions: Predictions
    kept_epoch: int


def subsets(feature_parties: Sequence[str], aggregate: Aggregate) -> list[tuple[str, ...]]:
    """The subsets of the feature parties that a record may be scored with, from none to all, each in the job's order.

    With a secure sum these are none and all: the sums of two subsets for one record would differ by single embeddings.
    """
    every, count = tuple(feature_parties), len(feature_parties)
    sizes = (0, count) if aggregate in SECURE else range(count + 1)
    return [each for size in sizes for each in combinations(every, size)]


def check_subset(parties: Sequence[str], feature_parties: Sequence[str], aggregate: Aggregate) -> None:
    """Raise ConfigError where records may not be scored with these feature parties alone."""
    strangers = [name for name in parties if name not in feature_parties]
    if strangers:
        raise ConfigError(f"{' and '.join(strangers)} took no part in the training of this model.")
    if aggregate in SECURE and parties and len(set(parties)) != len(feature_parties):
        raise ConfigError(
            f"With {aggregate} a record is scored with all feature parties or with none of them: with only "
            f"{' and '.join(parties)}, the difference of two sums would be the embedding of the absent party."
        )


def train_subset_model(
    parties: Sequence[str], state: LabelState, side: LabelSide, split: Split, plan: Plan, seed: bytes
) -> Role[SubsetModel]:
    """Train a top for these feature parties on the embeddings that `state.record` has of the finished training.

    The feature parties' bottoms are frozen: their embeddings stay as they are. A copy of the own bottom in `state` is trained
    with the top. Batches and optimiser are the plan's; the weights with the lowest validation loss count. `seed` is private,
    and with `parties` determines the initial weights; torch's generator is left as it was. Raises ConfigError for a subset
    that `subsets` does not have, DataError where the training diverges.

    Learns, reveals: nothing; no message is sent or received.
    """
    feature_parties = [name for name in plan.contributors if name != side.name]
    check_subset(parties, feature_parties, plan.aggregate)
    chosen = tuple(name for name in feature_parties if name in parties)
    if chosen and state.record is None:
        raise ValueError("no embeddings were recorded in this training")
    if not chosen and state.bottom is None:
        raise ValueError("without features and without feature parties there is nothing to train on")
    stored = {name: state.record.kept[feature_parties.index(name)] for name in chosen} if state.record else {}
    alone = replace(
        plan, epochs=max(plan.epochs, EPOCHS), patience=plan.patience or PATIENCE, party_dropout=0.0
    )  # fmt: skip
    count = len(chosen) + (state.bottom is not None) if plan.aggregate == "concat" else 1
    with torch.random.fork_rng():
        torch.manual_seed(_derived(seed, chosen))
        top = Top(plan.width * count, plan.top_hidden, side.target.outputs).to(side.device)
        bottom = deepcopy(state.bottom)
        weights = [*(bottom.parameters() if bottom is not None else []), *top.parameters()]
        trained = LabelState(bottom, top, build_optimizer(alone, weights))
        receiver = StoredReceiver(stored, side.name, split, alone, side.device)
        predictions = yield from label_role((), trained, side, split, alone, receiver)
    return SubsetModel(chosen, bottom, top, predictions, trained.progress.kept_epoch or 0)


def _derived(seed: bytes, parties: Sequence[str]) -> int:
    digest = hashlib.sha256(b"vsplit-subset-top-v1" + seed)
    for name in parties:
        digest.update(hashlib.sha256(name.encode()).digest())
    return int.from_bytes(digest.digest()[:8], "little", signed=True)
