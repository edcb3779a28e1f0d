"""The label party's role in training: it holds the labels and the top model, and perhaps features of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vsplit.learn.aggregation import join
from vsplit.learn.batches import Rows, Split, batches, epoch_batches, most_in_batch, to_parts
from vsplit.learn.messages import HEAD, Embedding, Gradient, Parts, Verdict
from vsplit.learn.models import Store
from vsplit.learn.plan import Plan
from vsplit.learn.training import Progress, Target, diverged
from vsplit.protocol import Note, ProtocolError, Role, Send, receive


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch of the history: mean losses over the training and the validation rows."""

    train_loss: float
    validation_loss: float


@dataclass(slots=True)
class LabelState:
    """All that the label party's training is made of; a role made from it goes on where it stands."""

    bottom: nn.Module | None
    top: nn.Module
    optimizer: torch.optim.Optimizer
    progress: Progress = field(default_factory=Progress)
    history: list[Epoch] = field(default_factory=list)
    step: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predictions for the validation and the test rows, in the order of the split; see `Target.predictions`."""

    validation: npt.NDArray[np.float64]
    test: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LabelSide:
    """What the label party brings: its name, its inputs (None without features) and its target, in the common order."""

    name: str
    store: Store | None
    target: Target
    device: str = "cpu"


def send_split(feature_parties: Sequence[str], split: Split, rows: int) -> Role[None]:
    """Tell the feature parties a split by date of `rows` shared records (persons, where these have many rows each).

    See vsplit/SPEC.md, "Split".
    """
    for party in feature_parties:
        yield Send(party, Parts(part=to_parts(split, rows)))


def label_role(
    feature_parties: Sequence[str], state: LabelState, side: LabelSide, split: Split, plan: Plan
) -> Role[Predictions]:
    """Train with the feature parties, leave the kept weights in `state`, and predict.

    Without feature parties it trains on this party's own features alone, in the same way and on the same rows: that is
    the model which the joint one is compared with. See vsplit/SPEC.md, "Training".

    Learns: the embedding of each shared record from each feature party, at each step.
    Reveals: to each feature party, the gradient of the loss at its own embeddings, and after each epoch whether the
    validation loss fell.
    Assumes: feature parties are semi-honest; labels are not protected from them, nor features from this party.
    """
    progress = state.progress
    while progress.epoch < plan.epochs and not progress.stopped:
        order = epoch_batches(split.train, plan.batch_size, plan.seed, progress.epoch)
        train_loss = yield from _train(feature_parties, state, side, order, plan)
        outputs = yield from _outputs(feature_parties, state, side, split.validation, plan)
        validation_loss = _loss(side.target, outputs, split.validation)
        state.history.append(Epoch(train_loss, validation_loss))
        keep = _judge(state, plan, validation_loss)
        for party in feature_parties:
            yield Send(party, Verdict(epoch=progress.epoch, keep=keep, stop=progress.stopped))
        progress.epoch += 1
        text = f"loss {train_loss:.4f}, validation {validation_loss:.4f}"
        yield Note("training", progress.epoch, plan.epochs, text)
    progress.restore(bottom=state.bottom, top=state.top)
    predictions = []
    for rows in (split.validation, split.test):
        outputs = yield from _outputs(feature_parties, state, side, rows, plan)
        predictions.append(side.target.predictions(outputs))
    return Predictions(*predictions)


def _judge(state: LabelState, plan: Plan, validation_loss: float) -> bool:
    """Whether this epoch's weights are to be kept; ends the training where the plan's patience is over."""
    progress = state.progress
    if plan.patience is None:
        progress.kept_epoch = progress.epoch
        return False  # the last epoch counts, and nothing has to be remembered for that
    if validation_loss < progress.best_loss:
        progress.best_loss, progress.stale = validation_loss, 0
        progress.keep(bottom=state.bottom, top=state.top)
        return True
    progress.stale += 1
    progress.stopped = progress.stale >= plan.patience
    return False


def _train(
    feature_parties: Sequence[str], state: LabelState, side: LabelSide, order: list[Rows], plan: Plan
) -> Role[float]:
    state.top.train()
    if state.bottom is not None:
        state.bottom.train()
    total, count = torch.zeros((), device=side.device), 0
    for rows in order:
        # The own bottom runs while the others' embeddings travel.
        own = state.bottom(side.store.take(rows)) if state.bottom is not None and side.store is not None else None
        leaves = yield from _receive_embeddings(feature_parties, state, side, len(rows), plan)
        if own is not None:
            leaves[side.name] = own.detach()
        for leaf in leaves.values():
            leaf.requires_grad_()
        output = state.top(join(plan.aggregate, [leaves[name] for name in plan.contributors if name in leaves]))
        loss = side.target.loss(output, torch.from_numpy(rows).to(side.device))
        torch.autograd.backward(loss)
        # The gradients leave before this party's own weights are updated, so that the others work meanwhile.
        for party in feature_parties:
            yield Send(party, _gradient(state.step, leaves[party]))
        if own is not None:
            torch.autograd.backward(own, leaves[side.name].grad)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        total += loss.detach() * len(rows)
        count += len(rows)
        state.step += 1
    return float(total) / count


def _outputs(
    feature_parties: Sequence[str], state: LabelState, side: LabelSide, rows: Rows, plan: Plan
) -> Role[Tensor]:
    """The top model's outputs for `rows`, float32 [n, outputs], without training."""
    state.top.eval()
    if state.bottom is not None:
        state.bottom.eval()
    outputs = []
    for part in batches(rows, plan.batch_size):
        embeddings = {}
        if state.bottom is not None and side.store is not None:
            with torch.no_grad():
                embeddings[side.name] = state.bottom(side.store.take(part))
        embeddings |= yield from _receive_embeddings(feature_parties, state, side, len(part), plan)
        with torch.no_grad():
            joined = join(plan.aggregate, [embeddings[name] for name in plan.contributors if name in embeddings])
            outputs.append(state.top(joined))
    return torch.cat(outputs)


def _receive_embeddings(
    feature_parties: Sequence[str], state: LabelState, side: LabelSide, rows: int, plan: Plan
) -> Role[dict[str, Tensor]]:
    embeddings = {}
    for party in feature_parties:
        message = yield from receive(party, Embedding, most_in_batch(plan.batch_size) * plan.width * 4 + HEAD)
        if message.step != state.step or message.values.shape != (rows, plan.width):
            raise ProtocolError(
                party,
                f"{party} sent an embedding of step {message.step} and shape {message.values.shape} where step "
                f"{state.step} and {(rows, plan.width)} were due.",
            )
        embeddings[party] = torch.from_numpy(message.values).to(side.device)
    return embeddings


def _gradient(step: int, leaf: Tensor) -> Gradient:
    if leaf.grad is None:
        raise RuntimeError("the loss does not depend on this embedding")
    try:
        return Gradient(step=step, values=leaf.grad.cpu().numpy())
    except ValueError:
        raise diverged("the gradient of the loss") from None


def _loss(target: Target, outputs: Tensor, rows: Rows) -> float:
    with torch.no_grad():
        loss = float(target.loss(outputs, torch.from_numpy(rows).to(outputs.device)))
    if not np.isfinite(loss):
        raise diverged("the validation loss")
    return loss
