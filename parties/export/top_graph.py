"""The top model as nodes of a graph, from the embeddings to the score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors.numpy import load as load_arrays

from parties.export.bottom_graph import add_perceptron
from parties.export.graph import GraphBuilder
from vsplit.aggregation.interface import SECURE
from vsplit.learn.models import weights


def add_top(graph: GraphBuilder, description: Mapping[str, Any], top: Any, own: str | None) -> None:
    """The output `score`, float64. `description` is model.json, `own` the value of the label party's embedding.

    Without `own`, the label party's embedding is an input too, if it has one.
    """
    spec = description["top"]
    joined = _joined(graph, description["party"], spec, description["embedding"], own)
    output = add_perceptron(
        graph, load_arrays(weights(top)), "layers.1", len(spec["hidden"]), graph.node("LeakyRelu", joined)
    )
    if spec["task"] == "multiclass":
        score = graph.node("Softmax", graph.cast(output, np.float64), axis=1)
        graph.output("score", score, np.float64, [spec["outputs"]], "the probability of each class of `classes`")
        return
    first = graph.cast(graph.node("Gather", output, graph.constant(0, np.int64), axis=1), np.float64)
    if spec["task"] == "binary":
        score = graph.node("Sigmoid", first)
        graph.output("score", score, np.float64, [], "the probability of the second class of `classes`")
        return
    scale, centre = (graph.constant(spec[part], np.float64) for part in ("scale", "centre"))
    score = graph.node("Add", graph.node("Mul", first, scale), centre)
    graph.output("score", score, np.float64, [], "the predicted outcome, in the unit of the label")


def _joined(graph: GraphBuilder, me: str, spec: Mapping[str, Any], width: int, own: str | None) -> str:
    """The embeddings joined in the order of training, which decides how floating-point numbers are rounded."""

    def embedding(name: str, holds: str) -> str:
        return graph.input(f"embedding_{name}", np.float32, [width], holds)

    if spec["aggregate"] in SECURE:
        total = embedding("sum", "the sum of the feature parties' embeddings")
        if me not in spec["contributors"]:
            return total
        return graph.node("Add", total, own or embedding(me, f"the output `embedding` of {me}"))
    values = [
        own if own and name == me else embedding(name, f"the output `embedding` of {name}")
        for name in spec["contributors"]
    ]
    if spec["aggregate"] == "concat":
        return graph.node("Concat", *values, axis=1)
    total = values[0]
    for value in values[1:]:
        total = graph.node("Add", total, value)
    return total
