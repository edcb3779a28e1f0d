"""The bottom model as nodes of a graph, from the raw numbers and the codes of categories to the embedding."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_arrays

from parties.data.prepare import CLIP, Preparation
from parties.export.graph import OPSET, GraphBuilder
from vsplit.learn.models import InputShape, weights
from vsplit.learn.onnx_module import onnx_model

Arrays = Mapping[str, npt.NDArray[np.generic]]


def add_bottom(graph: GraphBuilder, spec: Mapping[str, Any], preparation: Preparation, bottom: Any) -> str:
    """The embedding, float32 [rows, width]. `spec` is the group `bottom` of model.json, `bottom` the torch module."""
    prepared = {}
    if preparation.numbers:
        prepared["numeric"] = _numeric(graph, preparation)
    if preparation.categories:
        prepared["categories"] = _categories(graph, preparation)
    if spec["image"]:
        holds = "the image, turned upright and resized, from 0 to 1"
        prepared["image"] = graph.input("image", np.float32, spec["image"], holds)
    if spec["module"]:
        shape = InputShape(spec["numeric"], tuple(spec["vocabularies"]), spec["image"])
        return graph.include(onnx_model(spec["module"], bottom, shape, OPSET), prepared)
    starts = [0, *itertools.accumulate(spec["vocabularies"])][:-1]
    return _tabular(graph, load_arrays(weights(bottom)), prepared, starts, len(spec["hidden"]))


def add_perceptron(graph: GraphBuilder, arrays: Arrays, prefix: str, hidden: int, value: str) -> str:
    """Linear layers with ReLU between them, as `vsplit.learn.models.perceptron` builds them."""
    for place in range(0, 2 * hidden + 1, 2):
        if place:
            value = graph.node("Relu", value)
        layer = [graph.constant(arrays[f"{prefix}.{place}.{part}"], np.float32) for part in ("weight", "bias")]
        value = graph.node("Gemm", value, *layer, transB=1)
    return value


def _numeric(graph: GraphBuilder, preparation: Preparation) -> str:
    """As `Preparation.transform`, in the same order and precision: float64 up to the last step."""
    columns = preparation.numbers
    median, mean, scale = (
        graph.constant([getattr(one, part) for one in columns], np.float64) for part in ("median", "mean", "scale")
    )
    raw = graph.input(
        "numbers", np.float64, [len(columns)], "the columns of `numbers`, unscaled; NaN is a missing value"
    )
    missing = graph.node("IsNaN", raw)
    filled = graph.node("Where", missing, median, raw)
    scaled = graph.node("Div", graph.node("Sub", filled, mean), scale)
    bounds = [graph.constant(bound, np.float64) for bound in (-CLIP, CLIP)]
    numeric = graph.cast(graph.node("Clip", scaled, *bounds), np.float32)
    with_indicator = [place for place, one in enumerate(columns) if one.indicator]
    if with_indicator:
        chosen = graph.node("Gather", missing, graph.constant(with_indicator, np.int64), axis=1)
        numeric = graph.node("Concat", numeric, graph.cast(chosen, np.float32), axis=1)
    return numeric


def _categories(graph: GraphBuilder, preparation: Preparation) -> str:
    """The codes, with 0 for every code that is none of the table."""
    columns = preparation.categories
    holds = "the codes of the columns of `categories`: 1 for the first word; 0, and any code without a word, is unknown"
    codes = graph.input("codes", np.int64, [len(columns)], holds)
    none = graph.constant(0, np.int64)
    most = graph.constant([len(one.words) for one in columns], np.int64)
    known = graph.node("And", graph.node("GreaterOrEqual", codes, none), graph.node("LessOrEqual", codes, most))
    return graph.node("Where", known, codes, none)


def _tabular(
    graph: GraphBuilder, arrays: Arrays, prepared: Mapping[str, str], starts: Sequence[int], hidden: int
) -> str:
    """The layers of `vsplit.learn.models.TabularBottom`."""
    joined = [prepared["numeric"]] if "numeric" in prepared else []
    if "categories" in prepared:
        # One table has the vectors of all columns, one column after another.
        rows = graph.node("Add", prepared["categories"], graph.constant(starts, np.int64))
        vectors = graph.node("Gather", graph.constant(arrays["vectors.weight"], np.float32), rows, axis=0)
        joined.append(graph.node("Flatten", vectors, axis=1))
    value = graph.node("Concat", *joined, axis=1)
    return add_perceptron(graph, arrays, "layers", hidden, value)
