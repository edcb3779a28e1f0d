"""What both roles compute locally: losses, optimisers, and the best weights so far."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsplit.learn.plan import Plan, Task
from vsplit.protocol import DataError


def build_optimizer(plan: Plan, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """The plan's optimiser in torch's fused form. It treats each parameter separately, so that one optimiser per party
    does the same as one over all parameters."""
    values = list(parameters)
    if plan.optimizer == "sgd":
        return torch.optim.SGD(values, lr=plan.lr, momentum=plan.momentum, weight_decay=plan.weight_decay, fused=True)
    kind = torch.optim.AdamW if plan.optimizer == "adamw" else torch.optim.Adam
    return kind(values, lr=plan.lr, weight_decay=plan.weight_decay, fused=True)


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The label party's labels in the common order, and how outputs become losses and predictions.

    `values`: binary float32 0/1 [n], multiclass int64 codes [n], regression float32 [n], scaled.
    `weights`: float32 weight of each class, or None. `centre`, `scale`: of a regression's training rows, in double
    precision; the model learns (value - centre) / scale, so that large labels that differ little stay apart.
    """

    task: Task
    values: Tensor
    classes: int = 2
    weights: Tensor | None = None
    centre: float = 0.0
    scale: float = 1.0

    @property
    def outputs(self) -> int:
        """Columns of the top model's output."""
        return self.classes if self.task == "multiclass" else 1

    def of(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """The labels at these positions [b]."""
        return self.values[torch.from_numpy(rows).to(self.values.device)]

    def loss(self, output: Tensor, truth: Tensor) -> Tensor:
        """Mean loss of `output` [b, outputs] where the labels are `truth` [b]: cross entropy, or squared error."""
        if self.task == "multiclass":
            return F.cross_entropy(output, truth, weight=self.weights)
        if self.task == "regression":
            return F.mse_loss(output[:, 0], truth)
        weight = None if self.weights is None else self.weights[truth.long()]
        return F.binary_cross_entropy_with_logits(output[:, 0], truth, weight=weight)

    def predictions(self, output: Tensor) -> npt.NDArray[np.float64]:
        """Probabilities [n] or [n, classes], or values in the label's own unit [n]."""
        if self.task == "multiclass":
            scores = torch.softmax(output.double(), 1)
        elif self.task == "regression":
            scores = output[:, 0].double() * self.scale + self.centre
        else:
            scores = torch.sigmoid(output[:, 0].double())
        predicted: npt.NDArray[np.float64] = scores.cpu().numpy()
        return predicted


def make_target(plan: Plan, values: npt.NDArray[Any], train: npt.NDArray[np.int64], device: str = "cpu") -> Target:
    """The target for labels in the common order (binary: 0/1, multiclass: codes from 0, regression: numbers).

    Class weights and scaling are taken from the training rows alone. Raises DataError where these hold one class only.
    """
    if plan.task == "regression":
        training = values[train].astype(np.float64)
        scale = float(training.std())
        if scale == 0.0:
            raise DataError("All training rows have the same label, so that there is nothing to learn.")
        centre = float(training.mean())
        scaled = ((values.astype(np.float64) - centre) / scale).astype(np.float32)
        return Target("regression", torch.from_numpy(scaled).to(device), centre=centre, scale=scale)
    codes = values.astype(np.int64)
    classes = 2 if plan.task == "binary" else int(codes.max()) + 1
    counts = np.bincount(codes[train], minlength=classes)
    if np.count_nonzero(counts) < 2:
        raise DataError(
            "The training rows among the shared records hold one class of the label only: share more records, or another split."
        )
    weights = None
    if plan.balanced:
        even = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
        weights = torch.from_numpy(even.astype(np.float32)).to(device)
    labels = codes.astype(np.float32) if plan.task == "binary" else codes
    return Target(plan.task, torch.from_numpy(labels).to(device), classes, weights)


@dataclass(slots=True)
class Progress:
    """The progress of a training: everything besides weights and optimiser that a role needs to resume.

    `epoch` counts the completed epochs, `batch` the completed training batches of the current one.
    """

    epoch: int = 0
    batch: int = 0
    kept_epoch: int | None = None
    stale: int = 0
    best_loss: float = float("inf")
    stopped: bool = False
    kept: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    def keep(self, **modules: nn.Module | None) -> None:
        """Store copies of these modules' weights as the best so far."""
        self.kept_epoch = self.epoch
        self.kept = {name: deepcopy(module.state_dict()) for name, module in modules.items() if module is not None}

    def end_epoch(self) -> None:
        """The epoch has been evaluated, and the next one begins."""
        self.epoch += 1
        self.batch = 0

    def restore(self, **modules: nn.Module | None) -> None:
        """Restore the best weights."""
        for name, module in modules.items():
            if module is not None and name in self.kept:
                module.load_state_dict(self.kept[name])


def diverged(whose: str) -> DataError:
    """The error for values that are not finite numbers any more."""
    return DataError(
        f"The training has diverged: {whose} is not a finite number any more; lower `train.lr` in the job, or look for "
        "extreme values in the features."
    )
