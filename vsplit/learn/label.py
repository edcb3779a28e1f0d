"""The label party's role in training: it holds the labels and the top model, and optionally features of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vsplit.aggregation.interface import Batch, EmbeddingReceiver
from vsplit.aggregation.plain import PlainReceiver
from vsplit.learn.batches import TEST, TRAIN, VALIDATION, Rows, Split, batches, epoch_batches, to_parts
from vsplit.learn.embedding_record import EmbeddingRecord, RecordingReceiver
from vsplit.learn.messages import Gradient, Parts, Verdict
from vsplit.learn.models import Store
from vsplit.learn.party_dropout import DropoutReceiver
from vsplit.learn.plan import Plan
from vsplit.learn.training import Progress, Target, diverged
from vsplit.protocol import Checkpoint, Note, Role, Send

Due = Callable[[int], bool]
"""Whether all parties store their states once so many steps are done."""


def never(_step: int) -> bool:
    """Store no state."""
    return False


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch of the history: mean losses over the training and the validation rows."""

    train_loss: float
    validation_loss: float


@dataclass(slots=True)
class LabelState:
    """The complete state of the label party's training; a role created from it resumes at its step.

    `loss_sum` adds the losses of the epoch's training rows so far, float32 [], and `loss_rows` counts these rows. `record`
    stores what arrives, where models of subsets are to be trained; see `vsplit.learn.subset_models`.
    """

    bottom: nn.Module | None
    top: nn.Module
    optimizer: torch.optim.Optimizer
    progress: Progress = field(default_factory=Progress)
    history: list[Epoch] = field(default_factory=list)
    step: int = 0
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    loss_rows: int = 0
    record: EmbeddingRecord | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predictions for the validation and the test rows, in the order of the split; see `Target.predictions`."""

    validation: npt.NDArray[np.float64]
    test: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LabelSide:
    """The label party's name, its inputs (None without features) and its target, in the common order."""

    name: str
    store: Store | None
    target: Target
    device: str = "cpu"


def send_split(feature_parties: Sequence[str], split: Split, rows: int) -> Role[None]:
    """Send the feature parties a split by date of `rows` shared records (persons, where these have many rows each).

    See vsplit/SPEC.md, "Split".
    """
    for party in feature_parties:
        yield Send(party, Parts(part=to_parts(split, rows)))


def label_role(
    feature_parties: Sequence[str],
    state: LabelState,
    side: LabelSide,
    split: Split,
    plan: Plan,
    receiver: EmbeddingReceiver | None = None,
    due: Due = never,
) -> Role[Predictions]:
    """Train with the feature parties, leave the best weights in `state`, and predict.

    `receiver` receives the embeddings; None: each as it is. `due` returns, for the number of steps that are done, whether all
    parties store their states there. Without feature parties it trains on this party's own features alone, in the same way and
    on the same rows: the joint model is compared with that model. See vsplit/SPEC.md, "Training".

    Learns: for each shared record at each step, each feature party's embedding or their sum, depending on `receiver`.
    Reveals: to each feature party, the gradient of the loss at what arrived, which discloses the labels of the training
    records and approximately their scores, and after each epoch whether the validation loss fell.
    Assumes: feature parties are semi-honest; labels are not protected from them, nor features from this party.
    """
    progress = state.progress
    receiver = _wrapped(receiver or PlainReceiver(side.name, feature_parties, plan.cut), state, split, plan)
    yield from receiver.begin()
    while progress.epoch < plan.epochs and not progress.stopped:
        order = epoch_batches(split.train, plan.batch_size, plan.seed, progress.epoch)
        yield from _train(receiver, state, side, order, due)
        train_loss = float(state.loss_sum) / state.loss_rows
        outputs = yield from _outputs(receiver, state, side, VALIDATION, batches(split.validation, plan.batch_size))
        validation_loss = _loss(side.target, outputs, split.validation)
        state.history.append(Epoch(train_loss, validation_loss))
        keep = _keeps(state, plan, validation_loss)
        for party in feature_parties:
            yield Send(party, Verdict(epoch=progress.epoch, keep=keep, stop=progress.stopped))
        progress.end_epoch()
        text = f"loss {train_loss:.4f}, validation {validation_loss:.4f}"
        yield Note("training", progress.epoch, plan.epochs, text)
    progress.restore(bottom=state.bottom, top=state.top)
    return (yield from _predict(receiver, state, side, split, plan.batch_size))


def _predict(
    receiver: EmbeddingReceiver, state: LabelState, side: LabelSide, split: Split, size: int
) -> Role[Predictions]:
    predictions = []
    for part, rows in ((VALIDATION, split.validation), (TEST, split.test)):
        outputs = yield from _outputs(receiver, state, side, part, batches(rows, size))
        predictions.append(side.target.predictions(outputs))
    return Predictions(*predictions)


def _wrapped(receiver: EmbeddingReceiver, state: LabelState, split: Split, plan: Plan) -> EmbeddingReceiver:
    """`receiver` with what the plan and the state ask for besides: a record of what arrives, party dropout."""
    if state.record is not None:
        receiver = RecordingReceiver(receiver, state.record, state.progress, split, plan)
    return DropoutReceiver(receiver, plan) if plan.party_dropout else receiver


def _keeps(state: LabelState, plan: Plan, validation_loss: float) -> bool:
    """Whether this epoch's weights are the best so far; stops the training where the plan's patience is exhausted."""
    progress = state.progress
    if plan.patience is None:
        progress.kept_epoch = progress.epoch
        return False  # the last epoch counts, for which no copy is needed
    if validation_loss < progress.best_loss:
        progress.best_loss, progress.stale = validation_loss, 0
        progress.keep(bottom=state.bottom, top=state.top)
        return True
    progress.stale += 1
    progress.stopped = progress.stale >= plan.patience
    return False


def _train(receiver: EmbeddingReceiver, state: LabelState, side: LabelSide, order: list[Rows], due: Due) -> Role[None]:
    progress = state.progress
    state.top.train()
    if state.bottom is not None:
        state.bottom.train()
    if progress.batch == 0:
        state.loss_sum, state.loss_rows = torch.zeros((), device=side.device), 0
    for number in range(progress.batch, len(order)):
        rows = order[number]
        # What needs no embedding of the other parties is computed while these are in transit.
        own = state.bottom(side.store.take(rows)) if state.bottom is not None and side.store is not None else None
        truth = side.target.of(rows)
        arrived = yield from _take(receiver, side, Batch(state.step, progress.epoch, TRAIN, number, len(rows)))
        leaf, caught = _leaf(own)
        output = state.top(receiver.join([each.requires_grad_() for each in arrived], leaf))
        loss = side.target.loss(output, truth)
        torch.autograd.backward(loss)
        keep = due(state.step + 1)
        # What the other parties wait for is sent first; they compute while this party's bottom gets its gradients.
        for parties, embedding in zip(receiver.groups, arrived, strict=True):
            gradient = _message(state.step, embedding, keep)
            for party in parties:
                yield Send(party, gradient)
        if own is not None:
            torch.autograd.backward(own, caught)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.loss_sum += loss.detach() * len(rows)
        state.loss_rows += len(rows)
        state.step += 1
        progress.batch = number + 1
        if keep:
            yield Checkpoint(state.step, state)


def _outputs(
    receiver: EmbeddingReceiver, state: LabelState, side: LabelSide, part: int, order: Iterable[Rows]
) -> Role[Tensor]:
    """The top model's outputs for these batches of a part, float32 [n, outputs], without training."""
    state.top.eval()
    if state.bottom is not None:
        state.bottom.eval()
    outputs = []
    for number, rows in enumerate(order):
        own = None
        if state.bottom is not None and side.store is not None:
            with torch.no_grad():
                own = state.bottom(side.store.take(rows))
        arrived = yield from _take(receiver, side, Batch(state.step, state.progress.epoch, part, number, len(rows)))
        with torch.no_grad():
            outputs.append(state.top(receiver.join(arrived, own)))
    return torch.cat(outputs)


def _take(receiver: EmbeddingReceiver, side: LabelSide, batch: Batch) -> Role[list[Tensor]]:
    arrived = yield from receiver.take(batch)
    return [torch.from_numpy(values).to(side.device) for values in arrived]


def _leaf(own: Tensor | None) -> tuple[Tensor | None, list[Tensor]]:
    """This party's embedding detached from its bottom model, and the list that will contain the gradient at it.

    A hook catches the gradient with the strides that it has in one pass through the whole network. `grad` would have a
    contiguous copy, for which some of torch's sums differ in the last bit.
    """
    caught: list[Tensor] = []
    if own is None:
        return None, caught
    leaf = own.detach().requires_grad_()
    leaf.register_hook(caught.append)  # type: ignore[no-untyped-call]
    return leaf, caught


def _message(step: int, embedding: Tensor, checkpoint: bool) -> Gradient:
    """The message to the parties whose embeddings this array holds: the gradient of the loss at it."""
    if embedding.grad is None:
        raise RuntimeError("the loss does not depend on what arrived")
    try:
        return Gradient(step=step, checkpoint=checkpoint, values=embedding.grad.cpu().contiguous().numpy())
    except ValueError:
        raise diverged("the gradient of the loss") from None


def _loss(target: Target, outputs: Tensor, rows: Rows) -> float:
    with torch.no_grad():
        loss = float(target.loss(outputs, target.of(rows)))
    if not np.isfinite(loss):
        raise diverged("the validation loss")
    return loss
