"""A bottom module of a party's own as ONNX, by torch's exporter."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vsplit.learn.models import Inputs, InputShape
from vsplit.protocol import ConfigError

_TRIAL_ROWS, _COMPARED_ROWS = 2, 7
_TOLERANCE = 1e-4


class _OnTensors(nn.Module):
    """The bottom as a function of the inputs that the party has, in the order of `Inputs`."""

    def __init__(self, bottom: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.bottom = bottom
        self.names = names

    def forward(self, *tensors: Tensor) -> Tensor:
        given = dict(zip(self.names, tensors, strict=True))
        rows = tensors[0].shape[0]
        absent = {"numeric": torch.zeros(rows, 0), "image": torch.zeros(rows, 0)}
        absent["categories"] = torch.zeros(rows, 0, dtype=torch.int64)
        embedding: Tensor = self.bottom(Inputs(**(absent | given)))
        return embedding


def onnx_model(name: str, bottom: nn.Module, shape: InputShape, opset: int) -> bytes:
    """The module `bottom` as an ONNX model; its inputs are those of `numeric`, `categories` and `image` that `shape` has.

    `name` is the module's import path, for errors. Raises ConfigError where the exporter is not installed or does not
    support the module, and where the exported model gives another embedding than torch.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise ConfigError(
            f"The bottom model {name} is a module of your own, whose export needs the package onnxscript, which is not "
            "installed here; install it with: pip install onnxscript"
        ) from None
    given = _made_up(shape, _TRIAL_ROWS)
    module = _OnTensors(bottom, tuple(given)).eval()
    try:
        data = _exported(module, given, opset)
        found, expected = _both(module, data, _made_up(shape, _COMPARED_ROWS))
    except Exception as error:
        reason = (str(error.__cause__ or error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"The bottom model {name} cannot be exported, because torch's ONNX exporter does not support it ({reason}). "
            "The exporter needs a module of operations that it supports, which works for any number of rows."
        ) from error
    if not np.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise ConfigError(
            f"The bottom model {name} cannot be exported: on {_COMPARED_ROWS} made-up rows the exported model gives another "
            "embedding than torch. A module that draws random numbers when it is used, or depends on more than its inputs and "
            "weights, cannot be exported."
        )
    return data


def _made_up(shape: InputShape, rows: int) -> dict[str, Tensor]:
    """Random inputs of the kinds that the party has."""
    draw = torch.Generator().manual_seed(0)
    given = {}
    if shape.numeric:
        given["numeric"] = torch.randn(rows, shape.numeric, generator=draw)
    if shape.vocabularies:
        codes = [torch.randint(count, (rows,), generator=draw) for count in shape.vocabularies]
        given["categories"] = torch.stack(codes, 1)
    if shape.image:
        given["image"] = torch.rand(rows, *shape.image, generator=draw)
    return given


def _exported(module: nn.Module, given: dict[str, Tensor], opset: int) -> bytes:
    rows = torch.export.Dim("rows")
    with _silence():
        program = torch.onnx.export(
            module,
            tuple(given.values()),
            input_names=list(given),
            dynamic_shapes=(tuple({0: rows} for _ in given),),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("it returned nothing")
    data: bytes = program.model_proto.SerializeToString()
    return data


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Without what torch prints, logs and warns of, which is about its own parts; an exception is still raised."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    nowhere = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _both(module: nn.Module, data: bytes, given: dict[str, Tensor]) -> tuple[Any, Any]:
    """The embedding of these inputs by the exported model, as onnx itself evaluates it, and by torch."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    inputs = {key: tensor.numpy() for key, tensor in given.items()}
    found: Any = ReferenceEvaluator(onnx.load_from_string(data)).run(None, inputs)
    with torch.no_grad():
        return found[0], module(*given.values()).numpy()
