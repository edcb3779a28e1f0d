"""Builds an ONNX graph node by node. A value is the name of a node's output, and each has the rows in its first dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vsplit import __version__
from vsplit.protocol import ConfigError

OPSET = 18
_IR_VERSION = 10  # what torch's exporter writes; onnxruntime reads it from 1.18 on
ROWS = "rows"
"""The name of the first dimension of every input and output."""

Dimension = int | str


def check_installed() -> None:
    """Raise ConfigError where the package onnx is not installed."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise ConfigError(
            "An export needs the package onnx, which is not installed here; install it with: pip install onnx"
        ) from None


class GraphBuilder:
    """Collects the nodes of one graph. `inputs` and `outputs` describe what the graph takes and returns, as plain data."""

    def __init__(self) -> None:
        check_installed()
        self.inputs: list[dict[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []

    def input(self, name: str, kind: type[np.generic], shape: Sequence[Dimension], holds: str) -> str:
        """An input of the graph, with [rows, *shape]; `holds` says what it has."""
        self.inputs.append(_described(name, kind, shape, holds))
        return name

    def output(self, name: str, value: str, kind: type[np.generic], shape: Sequence[Dimension], holds: str) -> None:
        """Make `value` an output of the graph."""
        from onnx import helper

        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(_described(name, kind, shape, holds))

    def constant(self, values: npt.ArrayLike, kind: type[np.generic]) -> str:
        """A tensor that is part of the graph."""
        from onnx import numpy_helper

        name = f"constant_{len(self._initializers)}"
        self._initializers.append(numpy_helper.from_array(np.array(values, kind, order="C"), name))
        return name

    def node(self, operator: str, *values: str, **attributes: Any) -> str:
        """The first output of an operator of ONNX."""
        from onnx import helper

        name = f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, [*values], [name], **attributes))
        return name

    def cast(self, value: str, kind: type[np.generic]) -> str:
        """The value as numbers of another type."""
        return self.node("Cast", value, to=_code(kind))

    def include(self, model: bytes, values: Mapping[str, str]) -> str:
        """The first output of another model, of the same `OPSET`, whose inputs are `values`."""
        import onnx
        from onnx import compose, helper, inliner

        flat = inliner.inline_local_functions(onnx.load_from_string(model))
        graph = compose.add_prefix(flat, "module.").graph
        self._nodes += [helper.make_node("Identity", [value], [f"module.{name}"]) for name, value in values.items()]
        self._nodes += graph.node
        self._initializers += graph.initializer
        return str(graph.output[0].name)

    def model(self, name: str, metadata: Mapping[str, str]) -> bytes:
        """The graph as an ONNX model, which onnx's own checker has accepted."""
        from onnx import checker, helper, shape_inference

        graph = helper.make_graph(
            self._nodes,
            name,
            [_tensor(one) for one in self.inputs],
            [_tensor(one) for one in self.outputs],
            self._initializers,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name="vsplit",
            producer_version=__version__,
        )
        helper.set_model_props(model, dict(metadata))
        try:
            checker.check_model(model, full_check=True)
        except (checker.ValidationError, shape_inference.InferenceError) as error:  # of a module of the user's own
            reason = " ".join(str(error).split())
            raise ConfigError(f"The exported graph is refused by the checker of the package onnx: {reason}") from error
        data: bytes = model.SerializeToString(deterministic=True)
        return data


def _described(name: str, kind: type[np.generic], shape: Sequence[Dimension], holds: str) -> dict[str, Any]:
    return {"name": name, "type": np.dtype(kind).name, "shape": [ROWS, *shape], "holds": holds}


def _tensor(described: Mapping[str, Any]) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(
        described["name"], helper.np_dtype_to_tensor_dtype(np.dtype(described["type"])), described["shape"]
    )


def _code(kind: type[np.generic]) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
