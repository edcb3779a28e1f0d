"""The embeddings that the label party received in a training, stored for the tops of subsets. SPEC.md, section 12.3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vsplit.aggregation.interface import Batch, EmbeddingReceiver
from vsplit.aggregation.plain import join
from vsplit.learn.batches import TEST, TRAIN, VALIDATION, Split, batches, epoch_batches
from vsplit.learn.plan import Plan
from vsplit.learn.training import Progress
from vsplit.protocol import Floats, Role


class EmbeddingRecord:
    """One embedding of each feature party for each row, float32 [feature parties, rows, width].

    `latest` has the embeddings of the last training pass, and `epoch` is its epoch. `kept` has those of the training pass of
    the epoch with the best weights and, once the training is finished, those of the best weights for validation and test rows.
    """

    def __init__(self, feature_parties: int, rows: int, width: int) -> None:
        self.latest = torch.zeros(feature_parties, rows, width)
        self.kept = torch.zeros_like(self.latest)
        self.epoch = 0

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint has besides `epoch`, by name."""
        return {"latest": self.latest, "kept": self.kept}

    def restore(self, tensors: Mapping[str, Tensor], epoch: int) -> None:
        """Restore what `tensors` returned, and the epoch of that time."""
        self.latest, self.kept, self.epoch = tensors["latest"].clone(), tensors["kept"].clone(), epoch


class BatchPositions:
    """Which rows of the common order each batch of a training has."""

    def __init__(self, split: Split, plan: Plan) -> None:
        self._plan, self._train, self._epoch = plan, split.train, -1
        self._orders = {
            part: list(batches(rows, plan.batch_size))
            for part, rows in ((VALIDATION, split.validation), (TEST, split.test))
        }

    def of(self, batch: Batch) -> Tensor:
        """The positions of a batch, int64 [rows]."""
        if batch.part == TRAIN and batch.epoch != self._epoch:
            self._epoch = batch.epoch
            self._orders[TRAIN] = epoch_batches(self._train, self._plan.batch_size, self._plan.seed, batch.epoch)
        return torch.from_numpy(self._orders[batch.part][batch.number])


class RecordingReceiver(EmbeddingReceiver):
    """Stores in `record` the embeddings that another receiver receives."""

    def __init__(
        self, inner: EmbeddingReceiver, record: EmbeddingRecord, progress: Progress, split: Split, plan: Plan
    ) -> None:
        if any(len(group) != 1 for group in inner.groups):
            raise ValueError("to record embeddings, the embedding of each feature party has to arrive")
        self.groups = inner.groups
        self._inner, self._record, self._progress, self._plan = inner, record, progress, plan
        self._positions = BatchPositions(split, plan)

    def begin(self) -> Role[None]:
        """Begin the other receiver."""
        yield from self._inner.begin()

    def take(self, batch: Batch) -> Role[list[Floats]]:
        """What arrives for a batch, stored at its rows."""
        arrived = yield from self._inner.take(batch)
        record, progress = self._record, self._progress
        if batch.epoch != record.epoch:  # the verdict on the epoch before is known by now
            if progress.kept_epoch == record.epoch:
                record.kept.copy_(record.latest)
            record.epoch = batch.epoch
        trained = progress.stopped or progress.epoch == self._plan.epochs
        if batch.part == TRAIN or trained:
            into = record.kept if trained else record.latest
            index = self._positions.of(batch)
            for stored, values in zip(into, arrived, strict=True):
                stored[index] = torch.from_numpy(values)
        return arrived

    def join(self, arrived: Sequence[Tensor], own: Tensor | None) -> Tensor:
        """Join as the other receiver does."""
        return self._inner.join(arrived, own)


class StoredReceiver(EmbeddingReceiver):
    """Joins recorded embeddings, float32 [n, width] by feature party, as if they arrived; nothing is received."""

    def __init__(self, stored: Mapping[str, Tensor], me: str, split: Split, plan: Plan, device: str = "cpu") -> None:
        self.groups = ()
        self._stored, self._me, self._plan, self._device = stored, me, plan, device
        self._positions = BatchPositions(split, plan)
        self._batch: Batch | None = None

    def begin(self) -> Role[None]:
        """Nothing needs to be agreed on."""
        yield from ()

    def take(self, batch: Batch) -> Role[list[Floats]]:
        """Nothing arrives; the next join is for this batch."""
        self._batch = batch
        yield from ()
        return []

    def join(self, arrived: Sequence[Tensor], own: Tensor | None) -> Tensor:
        """The recorded embeddings of the last batch and the own one, in the order of the contributors."""
        if self._batch is None:
            raise RuntimeError("a batch is taken before it is joined")
        index = self._positions.of(self._batch)
        embeddings = {name: values[index].to(self._device) for name, values in self._stored.items()}
        if own is not None:
            embeddings[self._me] = own
        return join(self._plan.aggregate, [embeddings[name] for name in self._plan.contributors if name in embeddings])
