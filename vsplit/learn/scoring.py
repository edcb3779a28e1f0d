"""The roles of prediction: a trained model scores records that are aligned in a common order. SPEC.md, section 12.

Every module runs on blocks of exactly `BLOCK` rows, the last one padded. A matrix product of one shape computes all its rows in
the same way, so the score of a record does not depend, in any bit, on its position or on the records that are scored with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vsplit.aggregation.interface import Batch, CutLayer, EmbeddingReceiver, EmbeddingSender
from vsplit.learn.batches import TEST, Rows
from vsplit.learn.models import Inputs, Store
from vsplit.learn.plan import Task
from vsplit.learn.training import Target
from vsplit.protocol import DataError, Floats, Note, Role, all_finite

BLOCK = 384
"""Rows of every block: a multiple of 6 and of 64, the numbers of rows that matrix products on common processors compute at
once, so that no row is computed by the code for a remainder."""

SCORES = TEST + 1
"""The `part` of a batch whose embeddings are scored: no batch of a training has it."""

_BEGINNING = b"vsplit-scores-v1"


class InputSource(Protocol):
    """Inputs by their position, as a `Store` has them."""

    def __len__(self) -> int:
        """How many rows there are."""

    def take(self, rows: Rows) -> Inputs:
        """The inputs of these rows."""


def scoring_cut(cut: CutLayer) -> CutLayer:
    """The cut layer of a scoring, for `sender_for` and `receiver_for`: that of the training, in batches of `BLOCK` rows."""
    return replace(cut, most_rows=BLOCK)


@dataclass(frozen=True, slots=True, eq=False)
class LabelPart:
    """The label party's part of a trained model: `bottom` is None without features of its own.

    Only `Target.predictions` of `target` is used, so it may be without labels.
    """

    bottom: nn.Module | None
    top: nn.Module
    target: Target
    device: str = "cpu"


def output_target(task: Task, classes: int, centre: float, scale: float) -> Target:
    """A target without labels, for a `LabelPart`; the arguments are those of `Target`."""
    return Target(task, torch.zeros(0), classes, centre=centre, scale=scale)


def score_feature(
    label_party: str, bottom: nn.Module, store: Store, records: Rows, sender: EmbeddingSender, model: bytes
) -> Role[int]:
    """Send the embeddings of `records`, positions in `store`, int64 [n], in the common order; SPEC.md, section 12.1.

    `model` names the trained model, and must be the same at all parties. Returns how many values were clipped for a secure
    sum. Raises DataError where an embedding is not finite.

    Learns: nothing besides the number of records, which is known from the alignment.
    Reveals: to the label party, once for each record, its embedding or only the sum with those of the other feature parties,
    depending on `sender`.
    Assumes: the label party is semi-honest; features are not protected from it.
    """
    if not len(records):
        raise ValueError("there is a record or more to score")
    count = len(records)
    yield from sender.begin(_beginning(model, count))
    bottom.eval()
    clipped = 0
    for number, (padded, size) in enumerate(blocks(records)):
        clipped += yield from sender.send_embedding(batch_of(number, size), embedding_of(bottom, store, padded, size))
        yield Note("scoring", min((number + 1) * BLOCK, count), count)
    return clipped


def score_label(
    feature_parties: Sequence[str],
    part: LabelPart,
    store: Store | None,
    receiver: EmbeddingReceiver,
    records: int,
    rows: Rows | None = None,
) -> Role[npt.NDArray[np.float64]]:
    """Predictions for this party's rows, [n] or [n, classes] (`Target.predictions`); SPEC.md, section 12.1.

    `feature_parties` are those that take part; `receiver` receives their embeddings of the `records`, in the common
    order. `store` has the own features, one row for each record, or None. Where records are persons with many rows,
    `rows`, int64 [n], has the record of each row of `store`; each person's embedding still crosses once.

    Learns: once for each record, each feature party's embedding or their sum, depending on `receiver`.
    Reveals: nothing; no message leaves besides those with which a secure sum begins or is passed on.
    Assumes: feature parties are semi-honest.
    """
    if records < 1:
        raise ValueError("there is a record or more to score")
    owner = np.arange(records) if rows is None else rows
    if store is not None and len(store) != len(owner):
        raise ValueError(f"there are {len(owner)} rows to score, and features of {len(store)}")
    if len(owner) and not 0 <= owner.min() <= owner.max() < records:
        raise ValueError(f"each row belongs to one of {records} records")
    if sorted(name for group in receiver.groups for name in group) != sorted(feature_parties):
        raise ValueError("the receiver is for other feature parties")
    yield from receiver.begin()
    part.top.eval()
    own = None  # computed while the embeddings are in transit
    if part.bottom is not None and store is not None:
        own = embed(part.bottom, store)
    arrived: list[list[Tensor]] = [[] for _ in receiver.groups]
    for number, (_, size) in enumerate(blocks(np.arange(records))):
        for group, values in zip(arrived, (yield from receiver.take(batch_of(number, size))), strict=True):
            group.append(torch.tensor(values, device=part.device))
        yield Note("scoring", min((number + 1) * BLOCK, records), records)
    embeddings = [torch.cat(group) for group in arrived]
    return predict(part, receiver, embeddings, own, owner)


def embedding_of(bottom: nn.Module, source: InputSource, padded: Rows, size: int) -> Floats:
    """The embeddings of the first `size` rows of a block. Raises DataError where one is not finite."""
    with torch.no_grad():
        values: Floats = bottom(source.take(padded))[:size].cpu().numpy()
    if not all_finite(values):
        raise _not_finite("the bottom model's embedding")
    return values


def embed(bottom: nn.Module, source: InputSource) -> Tensor:
    """The embeddings of all rows of `source`, float32 [n, width], in blocks of one shape, without training."""
    bottom.eval()
    with torch.no_grad():
        return torch.cat([bottom(source.take(padded))[:size] for padded, size in blocks(np.arange(len(source)))])


def predict(
    part: LabelPart, receiver: EmbeddingReceiver, embeddings: Sequence[Tensor], own: Tensor | None, owner: Rows
) -> npt.NDArray[np.float64]:
    """Predictions for rows whose own embeddings are `own` and whose records, `owner`, have the received `embeddings`."""
    found = []
    for padded, size in blocks(np.arange(len(owner))):
        index = torch.from_numpy(owner[padded]).to(part.device)
        mine = None if own is None else own[torch.from_numpy(padded).to(part.device)]
        with torch.no_grad():
            output = part.top(receiver.join([each[index] for each in embeddings], mine))
        found.append(part.target.predictions(output)[:size])
    predicted: npt.NDArray[np.float64] = np.concatenate(found)
    if not np.isfinite(predicted).all():
        raise _not_finite("the model's output")
    return predicted


def blocks(rows: Rows) -> Iterator[tuple[Rows, int]]:
    """`BLOCK` rows at a time, and how many of them count: the last block is padded with its own first row."""
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        yield np.concatenate([block, np.full(BLOCK - len(block), block[0])]), len(block)


def batch_of(number: int, rows: int) -> Batch:
    """The name of a block."""
    return Batch(step=number, epoch=0, part=SCORES, number=number, rows=rows)


def _beginning(model: bytes, records: int) -> bytes:
    return hashlib.sha256(_BEGINNING + hashlib.sha256(model).digest() + records.to_bytes(8, "big")).digest()


def _not_finite(what: str) -> DataError:
    return DataError(
        f"For some of these records, {what} is not a finite number: look for values in the features that are far beyond "
        "those of the training."
    )
