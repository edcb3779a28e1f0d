"""Top models for subsets of the feature parties, trained by the label party alone. SPEC.md, section 12.3."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor, nn

from vsplit.aggregation.interface import SECURE, Aggregate
from vsplit.aggregation.plain import join
from vsplit.learn.batches import Split
from vsplit.learn.label import LabelSide, LabelState, Predictions, label_role
from vsplit.learn.models import Inputs, Store, Top
from vsplit.learn.plan import Plan
from vsplit.learn.scoring import embed
from vsplit.learn.training import build_optimizer
from vsplit.protocol import ConfigError, Role

PATIENCE = 5
"""Epochs without a better validation loss after which the training of a top stops, where the job has no patience."""


@dataclass(frozen=True, slots=True, eq=False)
class SubsetTop:
    """The top for one subset of the feature parties, `parties`, and its predictions for the validation and the test rows.

    It takes the own embedding, of the frozen own bottom, joined with theirs in the job's order.
    """

    parties: tuple[str, ...]
    top: nn.Module
    predictions: Predictions
    kept_epoch: int


class _Joined(nn.Module):
    """Gives inputs that are joined embeddings as they are."""

    def forward(self, inputs: Inputs) -> Tensor:
        return inputs.numeric.requires_grad_()  # the role passes the loss back to every embedding


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


def train_subset_top(
    parties: Sequence[str], state: LabelState, side: LabelSide, split: Split, plan: Plan, seed: bytes
) -> Role[SubsetTop]:
    """Train a top for these feature parties on the embeddings that `state.record` has of the finished training.

    Only the top is trained: the own bottom, in `state`, and the embeddings stay as they are. Batches, optimiser and epochs
    are the plan's; the weights with the lowest validation loss count. `seed` is private, and with `parties` determines the
    initial weights; torch's generator is left as it was. Raises ConfigError for a subset that `subsets` does not have,
    DataError where the training diverges.

    Learns, reveals: nothing; no message is sent or received.
    """
    feature_parties = [name for name in plan.contributors if name != side.name]
    check_subset(parties, feature_parties, plan.aggregate)
    chosen = tuple(name for name in feature_parties if name in parties)
    joined = _joined(chosen, feature_parties, state, side, plan)
    alone = replace(
        plan, contributors=(side.name,), aggregate="concat", secure_sum=None, patience=plan.patience or PATIENCE,
        party_dropout=0.0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(_derived(seed, chosen))
        top = Top(joined.shape[1], plan.top_hidden, side.target.outputs).to(side.device)
    trained = LabelState(_Joined(), top, build_optimizer(alone, top.parameters()))
    inputs = LabelSide(side.name, Store(joined.cpu().numpy(), device=side.device), side.target, side.device)
    predictions = yield from label_role((), trained, inputs, split, alone)
    return SubsetTop(chosen, top, predictions, trained.progress.kept_epoch or 0)


def _joined(
    parties: Sequence[str], feature_parties: Sequence[str], state: LabelState, side: LabelSide, plan: Plan
) -> Tensor:
    """The input of the subset's top for every row, float32 [n, joined width]."""
    embeddings: dict[str, Tensor] = {}
    if parties:
        if state.record is None:
            raise ValueError("no embeddings were recorded in this training")
        embeddings = {name: state.record.kept[feature_parties.index(name)] for name in parties}
    if state.bottom is not None and side.store is not None:
        embeddings[side.name] = embed(state.bottom, side.store).cpu()
    if not embeddings:
        raise ValueError("without features and without feature parties there is nothing to train on")
    return join(plan.aggregate, [embeddings[name] for name in plan.contributors if name in embeddings])


def _derived(seed: bytes, parties: Sequence[str]) -> int:
    digest = hashlib.sha256(b"vsplit-subset-top-v1" + seed)
    for name in parties:
        digest.update(hashlib.sha256(name.encode()).digest())
    return int.from_bytes(digest.digest()[:8], "little", signed=True)
