"""Party dropout: in training, the embeddings of some feature parties are left out for some records. SPEC.md, section 12.2.

A model that is trained in this way remains useful where a feature party is absent. The job's seed determines which embeddings
are left out. Only the label party leaves them out; a training has the same messages with and without it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vsplit.aggregation.interface import Batch, EmbeddingReceiver
from vsplit.learn.batches import TRAIN
from vsplit.learn.plan import Plan
from vsplit.protocol import Floats, Role

_SEED_OF_DROPOUT = 2  # epoch_batches takes 1, split_by_seed 0


def present(plan: Plan, feature_parties: int, epoch: int, number: int, rows: int) -> npt.NDArray[np.bool_]:
    """Whose embedding is used for each row of a training batch, bool [feature parties, rows].

    Each is left out with the probability `plan.party_dropout`. Where all of a record would be left out, all are used.
    """
    drawn = np.random.default_rng([plan.seed, _SEED_OF_DROPOUT, epoch, number]).random((feature_parties, rows))
    used: npt.NDArray[np.bool_] = drawn >= plan.party_dropout
    return used | ~used.any(axis=0)


class DropoutReceiver(EmbeddingReceiver):
    """Leaves out some of the embeddings that another receiver receives, where they are joined.

    An embedding that is left out is replaced by zeros, and the gradient at it is zero.
    """

    def __init__(self, inner: EmbeddingReceiver, plan: Plan) -> None:
        if any(len(group) != 1 for group in inner.groups):
            raise ValueError("party dropout needs the embedding of each feature party")
        self.groups = inner.groups
        self._inner, self._plan = inner, plan
        self._batch: Batch | None = None

    def begin(self) -> Role[None]:
        """Begin the other receiver."""
        yield from self._inner.begin()

    def take(self, batch: Batch) -> Role[list[Floats]]:
        """All embeddings that arrive for a batch."""
        self._batch = batch
        return (yield from self._inner.take(batch))

    def join(self, arrived: Sequence[Tensor], own: Tensor | None) -> Tensor:
        """The top model's input from what arrived for the last batch; in training, without what is left out."""
        batch = self._batch
        if batch is None:
            raise RuntimeError("a batch is taken before it is joined")
        if batch.part != TRAIN or not arrived:
            return self._inner.join(arrived, own)
        used = present(self._plan, len(arrived), batch.epoch, batch.number, batch.rows)
        masks = torch.from_numpy(used.astype(np.float32)).to(arrived[0].device)
        return self._inner.join([each * mask[:, None] for each, mask in zip(arrived, masks, strict=True)], own)
