"""The feature party's role in training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vsplit.aggregation.interface import Batch, EmbeddingSender
from vsplit.aggregation.plain import PlainSender
from vsplit.learn.batches import (
    FEWEST_ROWS,
    TEST,
    TRAIN,
    VALIDATION,
    Rows,
    Split,
    batches,
    epoch_batches,
    from_parts,
    most_in_batch,
)
from vsplit.learn.messages import Gradient, Parts, Verdict
from vsplit.learn.models import Store
from vsplit.learn.plan import Plan
from vsplit.learn.training import Progress, diverged
from vsplit.protocol import HEAD, Checkpoint, Floats, Note, ProtocolError, Role, all_finite, receive


@dataclass(slots=True)
class FeatureState:
    """The complete state of a feature party's training; a role created from it resumes at its step.

    `given` counts the numbers sent in embeddings, `clipped` those of them that were beyond a secure sum's range.
    """

    bottom: nn.Module
    optimizer: torch.optim.Optimizer
    progress: Progress = field(default_factory=Progress)
    step: int = 0
    given: int = 0
    clipped: int = 0


def receive_split(label_party: str, rows: int) -> Role[Split]:
    """Receive the label party's split by date of `rows` shared records. See vsplit/SPEC.md, "Split".

    With many rows for one person the records are persons: the message has their parts, and not those of their rows.
    """
    message = yield from receive(label_party, Parts, rows + HEAD)
    if len(message.part) != rows:
        raise ProtocolError(
            label_party, f"{label_party} sent a split of {len(message.part)} records where {rows} are shared."
        )
    split = from_parts(message.part)
    if min(len(split.train), len(split.validation), len(split.test)) < FEWEST_ROWS:
        raise ProtocolError(
            label_party, f"{label_party} sent a split in which a part has fewer than {FEWEST_ROWS} records."
        )
    return split


def feature_role(
    label_party: str, state: FeatureState, store: Store, split: Split, plan: Plan, sender: EmbeddingSender | None = None
) -> Role[Progress]:
    """Train this party's bottom model with the label party, and leave the best weights in `state.bottom`.

    `store` has the inputs in the common order; `sender` sends the embeddings, None: each as it is. See vsplit/SPEC.md,
    "Training".

    Learns: the gradient of the loss at its own embeddings, and from it the labels of the training records and
    approximately their scores; after each epoch whether the model became better.
    Reveals: to the label party, for each shared record at each step, its embedding, or only the sum with those of the other
    feature parties, depending on `sender`.
    Assumes: the label party is semi-honest; labels are not protected from this party, nor features from that one.
    """
    progress = state.progress
    sender = PlainSender(label_party) if sender is None else sender
    yield from sender.begin(_start_digest(state, split))
    while progress.epoch < plan.epochs and not progress.stopped:
        order = epoch_batches(split.train, plan.batch_size, plan.seed, progress.epoch)
        # A state that was stored after the last batch of an epoch lacks only the validation.
        if progress.batch < len(order):
            yield from _train(label_party, sender, state, store, order, plan)
        yield from _embed(sender, state, store, VALIDATION, batches(split.validation, plan.batch_size))
        verdict = yield from receive(label_party, Verdict, HEAD)
        if verdict.epoch != progress.epoch:
            raise ProtocolError(
                label_party, f"{label_party} sent the verdict on epoch {verdict.epoch} where {progress.epoch} was due."
            )
        sender.bind(verdict)
        if verdict.keep:
            progress.keep(bottom=state.bottom)
        progress.stopped = verdict.stop
        progress.end_epoch()
        text = f"{state.clipped / state.given:.2%} of the embedding's values clipped" if state.clipped else ""
        yield Note("training", progress.epoch, plan.epochs, text)
    progress.restore(bottom=state.bottom)
    for part, rows in ((VALIDATION, split.validation), (TEST, split.test)):
        yield from _embed(sender, state, store, part, batches(rows, plan.batch_size))
    return progress


def _start_digest(state: FeatureState, split: Split) -> bytes:
    """A digest of where a training starts, over all that the label party has sent about it: 32 bytes."""
    progress = state.progress
    place = (state.step, progress.epoch, progress.batch, progress.kept_epoch, progress.stopped)
    parts = [repr(place).encode(), *(part.tobytes() for part in (split.train, split.validation, split.test))]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


def _train(
    label_party: str, sender: EmbeddingSender, state: FeatureState, store: Store, order: list[Rows], plan: Plan
) -> Role[None]:
    state.bottom.train()
    limit = most_in_batch(plan.batch_size) * plan.width * 4 + HEAD
    progress = state.progress
    inputs = store.take(order[progress.batch])
    for number in range(progress.batch, len(order)):
        embedding = state.bottom(inputs)
        yield from _send(sender, state, TRAIN, number, embedding.detach())
        # while the label party computes
        state.optimizer.zero_grad(set_to_none=True)
        if number + 1 < len(order):
            inputs = store.take(order[number + 1])
        gradient = yield from receive(label_party, Gradient, limit, answer_first=True)
        if gradient.step != state.step or gradient.values.shape != embedding.shape:
            raise ProtocolError(
                label_party,
                f"{label_party} sent a gradient of step {gradient.step} and shape {gradient.values.shape} where step "
                f"{state.step} and {tuple(embedding.shape)} were due.",
            )
        sender.bind(gradient)
        # A copy, since a user's bottom model may write into it, and the message is not recorded yet.
        torch.autograd.backward(embedding, torch.tensor(gradient.values, device=store.device))
        state.optimizer.step()
        state.step += 1
        progress.batch = number + 1
        if gradient.checkpoint:
            yield Checkpoint(state.step, state)


def _embed(sender: EmbeddingSender, state: FeatureState, store: Store, part: int, order: Iterable[Rows]) -> Role[None]:
    state.bottom.eval()
    for number, rows in enumerate(order):
        with torch.no_grad():
            embedding = state.bottom(store.take(rows))
        yield from _send(sender, state, part, number, embedding)


def _send(sender: EmbeddingSender, state: FeatureState, part: int, number: int, embedding: Tensor) -> Role[None]:
    values: Floats = embedding.cpu().numpy()
    if not all_finite(values):
        raise diverged("this party's embedding")
    state.clipped += yield from sender.send_embedding(
        Batch(state.step, state.progress.epoch, part, number, len(values)), values
    )
    state.given += values.size
