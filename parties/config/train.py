"""The group `train` of a job: how the network is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from parties.config.errors import wrong
from parties.config.fields import Model, Seed


class EarlyStopping(Model):
    """Stop after `patience` epochs without a better validation loss."""

    patience: Annotated[int, Field(ge=1, le=100_000)]


class CheckpointInterval(Model):
    """When all parties store their states, to resume after an interruption: after so many steps or seconds, whichever comes
    first; None: not by this measure."""

    steps: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = 1000
    seconds: Annotated[float, Field(ge=0.01, le=604_800)] | None = 30.0


class Train(Model):
    """How the network is trained. `lr`, `weight_decay` and `momentum` are those of torch.optim."""

    epochs: Annotated[int, Field(ge=1, le=100_000)]
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)]
    optimizer: Literal["adam", "adamw", "sgd"]
    lr: Annotated[float, Field(gt=0, le=100)]
    weight_decay: Annotated[float, Field(ge=0, le=100)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    early_stopping: EarlyStopping | None = None
    checkpoint: CheckpointInterval = CheckpointInterval()
    seed: Seed = 0

    @model_validator(mode="after")
    def _momentum_is_for_sgd(self) -> Train:
        if self.momentum and self.optimizer != "sgd":
            raise wrong("momentum", f"is {self.momentum} with the optimizer {self.optimizer}; only sgd has a momentum")
        return self
