"""How the top model joins the embeddings: side by side, or added."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vsplit.learn.plan import Aggregate


def join(aggregate: Aggregate, embeddings: Sequence[Tensor]) -> Tensor:
    """Join embeddings float32 [n, width], given in the job's order of parties.

    The order is that of the job and never that of arrival, since floating-point sums depend on it.
    """
    if aggregate == "concat":
        return torch.cat(list(embeddings), 1)
    total = embeddings[0]
    for embedding in embeddings[1:]:
        total = total + embedding
    return total
