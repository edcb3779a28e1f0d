"""The embeddings that the label party received in a training, stored for the tops of subsets. SPEC.md, section 12.3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vsplit.aggregation.interface import Batch, EmbeddingReceiver
from vsplit.learn.batches import TRAIN, VALIDATION, Rows, Split, batches, epoch_batches
from vsplit.learn.plan import Plan
from vsplit.learn.training import Progress
from vsplit.protocol import Floats, Role


class EmbeddingRecord:
    """One embedding of each feature party for each row, float32 [feature parties, rows, width].

    `latest` has those of the last training pass; `kept` those of the epoch whose weights were kept, and at the end, for
    validation and test rows, those of the kept weights. `epoch` is the epoch of `latest`.
    """

    def __init__(self, feature_parties: int, rows: int, width: int) -> None:
        self.latest = torch.zeros(feature_parties, rows, width)
        self.kept = torch.zeros_like(self.latest)
        self.epoch = 0

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps besides `epoch`, by name."""
        return {"latest": self.latest, "kept": self.kept}

    def restore(self, tensors: Mapping[str, Tensor], epoch: int) -> None:
        """Put back what `tensors` gave, and the epoch of that time."""
        self.latest, self.kept, self.epoch = tensors["latest"].clone(), tensors["kept"].clone(), epoch


class RecordingReceiver(EmbeddingReceiver):
    """Takes embeddings by another receiver, one array for each feature party, and stores them in `record`."""

    def __init__(
        self, inner: EmbeddingReceiver, record: EmbeddingRecord, progress: Progress, split: Split, plan: Plan
    ) -> None:
        if any(len(group) != 1 for group in inner.groups):
            raise ValueError("to record embeddings, the embedding of each feature party has to arrive")
        self.groups = inner.groups
        self._inner, self._record, self._progress, self._split, self._plan = inner, record, progress, split, plan
        self._order: tuple[int, list[Rows]] | None = None

    def begin(self) -> Role[None]:
        """What the other receiver agrees on."""
        yield from self._inner.begin()

    def take(self, batch: Batch) -> Role[list[Floats]]:
        """What arrives for a batch, stored at its rows."""
        arrived = yield from self._inner.take(batch)
        record, progress = self._record, self._progress
        if batch.epoch != record.epoch:  # the verdict on the epoch before is known
            if progress.kept_epoch == record.epoch:
                record.kept.copy_(record.latest)
            record.epoch = batch.epoch
        trained = progress.stopped or progress.epoch == self._plan.epochs
        if batch.part == TRAIN or trained:
            into = record.kept if trained else record.latest
            index = torch.from_numpy(self._rows(batch))
            for stored, values in zip(into, arrived, strict=True):
                stored[index] = torch.from_numpy(values)
        return arrived

    def join(self, arrived: Sequence[Tensor], own: Tensor | None) -> Tensor:
        """As the other receiver joins them."""
        return self._inner.join(arrived, own)

    def _rows(self, batch: Batch) -> Rows:
        size, split = self._plan.batch_size, self._split
        if batch.part != TRAIN:
            return list(batches(split.validation if batch.part == VALIDATION else split.test, size))[batch.number]
        if self._order is None or self._order[0] != batch.epoch:
            self._order = batch.epoch, epoch_batches(split.train, size, self._plan.seed, batch.epoch)
        return self._order[1][batch.number]
