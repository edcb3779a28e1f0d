"""Bottom and top models.

A bottom model maps one party's prepared inputs to its embedding; the top model maps the joined embeddings to the
output. A party may use a torch module of its own as bottom model; see `build_bottom`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from vsplit.learn.batches import Rows
from vsplit.learn.plan import Plan
from vsplit.protocol import ConfigError

# Columns of the learned vector of one category.
CATEGORY_WIDTH = 4


class Inputs(NamedTuple):
    """A party's inputs: `numeric` float32 [n, d], `categories` int64 [n, c], `image` float32 [n, channels, h, w] in 0..1.

    An input that a party does not have has size 0 in its second dimension.
    """

    numeric: Tensor
    categories: Tensor
    image: Tensor


@dataclass(frozen=True, slots=True)
class InputShape:
    """The inputs of a bottom model: number of numeric inputs, codes per category column, (channels, h, w) or None."""

    numeric: int
    vocabularies: tuple[int, ...] = ()
    image: tuple[int, int, int] | None = None


class Store:
    """One party's inputs in the common order, on its device. Images stay uint8 until their batch is taken.

    Where many rows of the common order have the same inputs, these are stored once: `places`, int64 [rows], has the position
    of each row's inputs.
    """

    def __init__(
        self,
        numeric: npt.NDArray[np.float32],
        categories: npt.NDArray[np.int64] | None = None,
        images: npt.NDArray[np.uint8] | None = None,
        device: str = "cpu",
        places: Rows | None = None,
    ) -> None:
        rows = len(numeric)
        self._numeric = torch.from_numpy(numeric).to(device)
        self._categories = torch.from_numpy(np.zeros((rows, 0), np.int64) if categories is None else categories)
        self._categories = self._categories.to(device)
        self._images = None if images is None else torch.from_numpy(images).to(device)
        self._no_image = torch.zeros((rows, 0), device=device)
        self._places = places
        self.device = device

    def __len__(self) -> int:
        return len(self._numeric) if self._places is None else len(self._places)

    def take(self, rows: Rows) -> Inputs:
        """The inputs of these positions of the common order."""
        index = torch.from_numpy(rows if self._places is None else self._places[rows]).to(self.device)
        image = self._no_image[index] if self._images is None else self._images[index].float().div_(255.0)
        return Inputs(self._numeric[index], self._categories[index], image)


class TabularBottom(nn.Module):
    """A multilayer perceptron over numeric inputs and learned vectors of categories; Inputs [n] to float32 [n, width]."""

    starts: Tensor  # where each column's categories begin in the one table of vectors, int64 [c]

    def __init__(self, shape: InputShape, hidden: Sequence[int], width: int) -> None:
        super().__init__()
        starts = np.concatenate([[0], np.cumsum(shape.vocabularies)]).astype(np.int64)
        self.vectors = nn.Embedding(int(starts[-1]), CATEGORY_WIDTH) if shape.vocabularies else None
        self.register_buffer("starts", torch.from_numpy(starts[:-1]), persistent=False)
        wide = shape.numeric + CATEGORY_WIDTH * len(shape.vocabularies)
        self.layers = perceptron(wide, hidden, width)

    def forward(self, inputs: Inputs) -> Tensor:
        if self.vectors is None:
            joined: Tensor = self.layers(inputs.numeric)
            return joined
        vectors = self.vectors(inputs.categories + self.starts).flatten(1)
        embedding: Tensor = self.layers(torch.cat([inputs.numeric, vectors], 1))
        return embedding


class Top(nn.Module):
    """The label party's model over the joined embeddings: float32 [n, joined] to [n, outputs]."""

    def __init__(self, joined: int, hidden: Sequence[int], outputs: int) -> None:
        super().__init__()
        # Leaky, since a party whose whole embedding is below zero would otherwise never get a gradient again.
        self.layers = nn.Sequential(nn.LeakyReLU(), perceptron(joined, hidden, outputs))

    def forward(self, joined: Tensor) -> Tensor:
        output: Tensor = self.layers(joined)
        return output


def perceptron(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    widths = [inputs, *hidden]
    layers: list[nn.Module] = []
    for wide, narrow in itertools.pairwise(widths):
        layers += [nn.Linear(wide, narrow), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


def build_top(plan: Plan, outputs: int) -> Top:
    """The top model of a plan, with `outputs` columns (1, or the number of classes)."""
    return Top(plan.joined_width, plan.top_hidden, outputs)


Builder = Callable[[InputShape, int], nn.Module]


def tabular(hidden: Sequence[int]) -> Builder:
    """A builder of `TabularBottom`."""

    def build(shape: InputShape, width: int) -> nn.Module:
        if shape.image is not None:
            raise ConfigError(
                "The party file's data has an image, which the built-in bottom model does not take: name a torch "
                "module of your own with `bottom: {module: my_package.my_file:build}`."
            )
        return TabularBottom(shape, hidden, width)

    return build


def build_bottom(builder: Builder, shape: InputShape, width: int, device: str = "cpu") -> nn.Module:
    """Build a bottom model, and try a copy of it on two empty rows as training will: forward, backward, weights.

    Raises ConfigError where the builder or the module fails, where the output is not float32 [n, width], or where there
    is nothing in it to train. The state of torch's generator is left as the builder left it.
    """
    bottom = builder(shape, width)
    if not isinstance(bottom, nn.Module):
        raise ConfigError("The builder that the party file's `bottom.module` names did not return a torch.nn.Module.")
    bottom = bottom.to(device)
    image = torch.zeros((2, *shape.image) if shape.image else (2, 0))
    trial = Inputs(torch.zeros(2, shape.numeric), torch.zeros(2, len(shape.vocabularies), dtype=torch.int64), image)
    with torch.random.fork_rng():
        try:
            copy = deepcopy(bottom)
            outputs = [copy.train(mode)(Inputs(*(tensor.to(device) for tensor in trial))) for mode in (True, False)]
            if isinstance(outputs[0], Tensor) and outputs[0].requires_grad:
                torch.autograd.backward(outputs[0], torch.zeros_like(outputs[0]))
            load_weights(copy, weights(copy))
        except Exception as error:
            raise ConfigError(
                f"The bottom model fails on this party's inputs ({shape.numeric} numeric, {len(shape.vocabularies)} "
                f"categories, image {shape.image}): {type(error).__name__}: {error}"
            ) from error
    for output in outputs:
        if not isinstance(output, Tensor):
            raise ConfigError(f"The bottom model returns a {type(output).__name__} where a tensor is due.")
        if output.shape != (2, width) or output.dtype != torch.float32:
            raise ConfigError(
                f"The bottom model returns {output.dtype} {tuple(output.shape)} for two rows; the job's model.embedding asks "
                f"for float32 (2, {width})."
            )
    if not outputs[0].requires_grad:
        raise ConfigError("The bottom model has no trainable parameter: make one trainable, or leave its columns out.")
    return bottom


def weights(module: nn.Module) -> bytes:
    """The module's parameters and buffers in the safetensors format; tied ones are stored under each of their names."""
    state = module.state_dict().items()
    return save_tensors({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state})


def load_weights(module: nn.Module, data: bytes) -> None:
    """Restore what `weights` returned; raises where names or shapes differ."""
    module.load_state_dict(load_tensors(data))
