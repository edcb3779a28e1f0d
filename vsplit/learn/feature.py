"""The feature party's role in training."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vsplit.learn.batches import FEWEST_ROWS, Rows, Split, batches, epoch_batches, from_parts, most_in_batch
from vsplit.learn.messages import HEAD, Embedding, Gradient, Parts, Verdict
from vsplit.learn.models import Store
from vsplit.learn.plan import Plan
from vsplit.learn.training import Progress, diverged
from vsplit.protocol import Note, ProtocolError, Role, Send, receive


@dataclass(slots=True)
class FeatureState:
    """All that a feature party's training is made of; a role made from it goes on where it stands."""

    bottom: nn.Module
    optimizer: torch.optim.Optimizer
    progress: Progress = field(default_factory=Progress)
    step: int = 0


def receive_split(label_party: str, rows: int) -> Role[Split]:
    """The split by date, as the label party tells it for `rows` shared records. See vsplit/SPEC.md, "Split".

    With many rows for one person the records are persons: their parts are told, and not those of their rows.
    """
    told = yield from receive(label_party, Parts, rows + HEAD)
    if len(told.part) != rows:
        raise ProtocolError(
            label_party, f"{label_party} told the parts of {len(told.part)} records where {rows} are shared."
        )
    split = from_parts(told.part)
    if min(len(split.train), len(split.validation), len(split.test)) < FEWEST_ROWS:
        raise ProtocolError(
            label_party, f"{label_party} told a split in which a part has fewer than {FEWEST_ROWS} records."
        )
    return split


def feature_role(label_party: str, state: FeatureState, store: Store, split: Split, plan: Plan) -> Role[Progress]:
    """Train this party's bottom model with the label party, and leave the kept weights in `state.bottom`.

    `store` holds the inputs in the common order. See vsplit/SPEC.md, "Training".

    Learns: the gradient of the loss at its own embeddings, and after each epoch whether the model became better.
    Reveals: to the label party, the embedding of each shared record at each step.
    Assumes: the label party is semi-honest; labels are not protected from this party, nor features from that one.
    """
    progress = state.progress
    while progress.epoch < plan.epochs and not progress.stopped:
        yield from _train(
            label_party, state, store, epoch_batches(split.train, plan.batch_size, plan.seed, progress.epoch), plan
        )
        yield from _embed(label_party, state, store, split.validation, plan)
        verdict = yield from receive(label_party, Verdict, HEAD)
        if verdict.epoch != progress.epoch:
            raise ProtocolError(
                label_party, f"{label_party} judged epoch {verdict.epoch} where {progress.epoch} was due."
            )
        if verdict.keep:
            progress.keep(bottom=state.bottom)
        progress.stopped = verdict.stop
        progress.epoch += 1
        yield Note("training", progress.epoch, plan.epochs)
    progress.restore(bottom=state.bottom)
    for rows in (split.validation, split.test):
        yield from _embed(label_party, state, store, rows, plan)
    return progress


def _train(label_party: str, state: FeatureState, store: Store, order: list[Rows], plan: Plan) -> Role[None]:
    state.bottom.train()
    limit = most_in_batch(plan.batch_size) * plan.width * 4 + HEAD
    inputs = store.take(order[0])
    for number in range(len(order)):
        embedding = state.bottom(inputs)
        yield Send(label_party, _message(state.step, embedding.detach()))
        if number + 1 < len(order):
            inputs = store.take(order[number + 1])  # while the label party works
        gradient = yield from receive(label_party, Gradient, limit)
        if gradient.step != state.step or gradient.values.shape != embedding.shape:
            raise ProtocolError(
                label_party,
                f"{label_party} sent a gradient of step {gradient.step} and shape {gradient.values.shape} where step "
                f"{state.step} and {tuple(embedding.shape)} were due.",
            )
        torch.autograd.backward(embedding, torch.from_numpy(gradient.values).to(store.device))
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1


def _embed(label_party: str, state: FeatureState, store: Store, rows: Rows, plan: Plan) -> Role[None]:
    state.bottom.eval()
    for part in batches(rows, plan.batch_size):
        with torch.no_grad():
            embedding = state.bottom(store.take(part))
        yield Send(label_party, _message(state.step, embedding))


def _message(step: int, embedding: Tensor) -> Embedding:
    try:
        return Embedding(step=step, values=embedding.cpu().numpy())
    except ValueError:
        raise diverged("this party's embedding") from None
