"""The training part of a job: one frozen record, the same at every party."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vsplit.aggregation.interface import SECURE, Aggregate, CutLayer, SecureSum
from vsplit.learn.batches import most_in_batch
from vsplit.protocol import ConfigError

Task = Literal["binary", "multiclass", "regression"]
OptimizerName = Literal["adam", "adamw", "sgd"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The learning part of a job.

    `contributors` are the parties with a bottom model, in the job's order: the order in which embeddings are
    concatenated or added. `width` is the number of columns of each embedding. `secure_sum` is given with an aggregation
    that is one of `SECURE`. `patience` is the number of epochs without a better validation loss (None: the last epoch
    counts). `lr`, `weight_decay` and `momentum` are the optimiser's, as in torch.optim. `party_dropout` is the probability
    with which a feature party's embedding of a training record is left out; see `vsplit.learn.party_dropout`. Raises
    ConfigError where the aggregation has no single embeddings.
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
    party_dropout: float = 0.0

    def __post_init__(self) -> None:
        check_party_dropout(self.aggregate, self.party_dropout)

    @property
    def joined_width(self) -> int:
        """Columns of the aggregate, which the top model takes."""
        return self.width * (len(self.contributors) if self.aggregate == "concat" else 1)

    @property
    def cut(self) -> CutLayer:
        """What the aggregation needs to know."""
        return CutLayer(
            aggregate=self.aggregate,
            contributors=self.contributors,
            width=self.width,
            most_rows=most_in_batch(self.batch_size),
            secure_sum=self.secure_sum,
        )


def check_party_dropout(aggregate: Aggregate, party_dropout: float) -> None:
    """Raise ConfigError where embeddings cannot be left out with this probability."""
    if not 0 <= party_dropout < 1:
        raise ConfigError(f"party_dropout is {party_dropout}; it is a probability, at least 0 and below 1.")
    if party_dropout and aggregate in SECURE:
        raise ConfigError(
            f"party_dropout leaves out single embeddings, and with {aggregate} the label party has only their sum: use "
            "`aggregate: concat` or `sum`, or leave party_dropout out."
        )
