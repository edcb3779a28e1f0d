"""What the parties have agreed on for the training: one frozen record, the same at every party."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Task = Literal["binary", "multiclass", "regression"]
Aggregate = Literal["concat", "sum", "masked_sum", "paillier_sum"]
Rounding = Literal["nearest", "stochastic"]
Noise = Literal["short", "full"]
OptimizerName = Literal["adam", "adamw", "sgd"]


SECURE: frozenset[Aggregate] = frozenset({"masked_sum", "paillier_sum"})
"""The aggregations that show the label party the sum of the feature parties' embeddings and no single one; what the columns
say is in the sum as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureSum:
    """How embeddings become whole numbers for a secure sum, and how strong the Paillier key is.

    Values are clipped to [-range, range] and written with `bits` bits; `key_bits` and `noise` are for `paillier_sum` alone
    and None without it.
    """

    range: float = 8.0
    bits: int = 16
    rounding: Rounding = "nearest"
    key_bits: int | None = None
    noise: Noise | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The learning part of a job.

    `contributors` are the parties with a bottom model, in the job's order: the order in which embeddings are
    concatenated or added. `width` is the number of columns of each embedding. `secure_sum` is given with an aggregation
    that is one of `SECURE`. `patience` counts epochs without a better
    validation loss (None: the last epoch counts). `lr`, `weight_decay` and `momentum` are the optimiser's, as in
    torch.optim.
    """

    task: Task
    contributors: tuple[str, ...]
    aggregate: Aggregate = "concat"
    secure_sum: SecureSum | None = None
    width: int = 16
    top_hidden: tuple[int, ...] = (64,)
    epochs: int = 30
    batch_size: int = 256
    optimizer: OptimizerName = "adam"
    lr: float = 0.001
    weight_decay: float = 0.0
    momentum: float = 0.0
    balanced: bool = False
    patience: int | None = None
    seed: int = 0

    @property
    def joined_width(self) -> int:
        """Columns of the aggregate, which the top model takes."""
        return self.width * (len(self.contributors) if self.aggregate == "concat" else 1)
