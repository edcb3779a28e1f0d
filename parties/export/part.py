"""`vsplit export`: a party's part as ONNX files, and a JSON file with what the graphs' inputs and outputs are."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from parties.export.bottom_graph import add_bottom
from parties.export.graph import GraphBuilder, check_installed
from parties.export.top_graph import add_top
from parties.local.atomic import write_whole
from parties.local.text import json_text
from parties.run.model_store import ModelPart, load_part
from vsplit.protocol import ConfigError, StorageError

FORMAT = 1
_EMBEDDING = "the party's embedding, which the top model takes"


def export_part(run: Path, out: Path, code: Path, *, separate: bool, overwrite: bool) -> list[Path]:
    """Write the model part in the run folder `run` as the ONNX file `out`, and a description as JSON beside it.

    At the label party the graph has its bottom and the top; with `separate` these are two files. A bottom model of the
    user's own is looked for in the folder `code`. Returns the files; the description is written last. Raises ConfigError,
    and StorageError where a file cannot be written; no new file is left then.
    """
    check_installed()
    if out.suffix.lower() != ".onnx":
        raise ConfigError(f"--out is {out}, which does not end with .onnx; name a file such as part.onnx.")
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"--out is {out}, and the folder {out.absolute().parent} does not exist; create it first.")
    if not code.is_dir():
        raise ConfigError(f"--code is {code}, which is no folder; name the folder that has your bottom module.")
    part = load_part(run, code.absolute())
    graphs = _separate(part) if separate else {"": _whole(part)}
    metadata = {key: str(part.description[key]) for key in ("job", "party", "role")}
    files = {out.with_name(f"{out.stem}{name}.onnx"): graph for name, graph in graphs.items()}
    contents = {file: graph.model(f"vsplit_{part.description['role']}", metadata) for file, graph in files.items()}
    description = _description(part, {file.name: graph for file, graph in files.items()})
    contents[out.with_suffix(".json")] = (json_text(description) + "\n").encode()
    _write(contents, overwrite=overwrite)
    return list(contents)


def _whole(part: ModelPart) -> GraphBuilder:
    """All that the party has, in one graph."""
    graph = GraphBuilder()
    embedding = _bottom(graph, part)
    if part.top is None:
        _output_embedding(graph, part, embedding)
    else:
        add_top(graph, part.description, part.top, embedding)
    return graph


def _separate(part: ModelPart) -> dict[str, GraphBuilder]:
    """The bottom and the top, each in a graph of its own, by what is added to the name of the file."""
    graphs = {}
    if part.bottom is not None:
        graphs["-bottom"] = GraphBuilder()
        _output_embedding(graphs["-bottom"], part, _bottom(graphs["-bottom"], part))
    if part.top is not None:
        graphs["-top"] = GraphBuilder()
        add_top(graphs["-top"], part.description, part.top, None)
    return graphs


def _bottom(graph: GraphBuilder, part: ModelPart) -> str | None:
    if part.bottom is None or part.preparation is None:
        return None
    return add_bottom(graph, part.description["bottom"], part.preparation, part.bottom)


def _output_embedding(graph: GraphBuilder, part: ModelPart, value: str | None) -> None:
    if value is None:
        raise ConfigError(f"The model part of {part.description['party']} has neither a bottom nor a top to export.")
    graph.output("embedding", value, np.float32, [part.description["embedding"]], _EMBEDDING)


def _description(part: ModelPart, graphs: Mapping[str, GraphBuilder]) -> dict[str, Any]:
    """What a program needs to use the graphs: their inputs, the order of columns, and the code of each word."""
    known = part.description
    numbers, categories = (part.preparation.numbers, part.preparation.categories) if part.preparation else ((), ())
    return {
        "format": FORMAT,
        **{key: known[key] for key in ("job", "party", "role")},
        "task": known["top"]["task"] if known["top"] else None,
        "classes": known["top"]["classes"] if known["top"] else [],
        "numbers": [one.name for one in numbers],
        "categories": [
            {"name": one.name, "codes": {word: code for code, word in enumerate(one.words, 1)}} for one in categories
        ],
        "graphs": [{"file": name, "inputs": graph.inputs, "outputs": graph.outputs} for name, graph in graphs.items()],
    }


def _write(contents: Mapping[Path, bytes], *, overwrite: bool) -> None:
    """Write all files, each complete; where one fails, none is left that was not there before."""
    present = [file for file in contents if file.exists() or file.is_symlink()]
    if present and not overwrite:
        names = " and ".join(map(str, present))
        raise ConfigError(f"{names} would be overwritten; name another file, or add --overwrite.")
    written = []
    try:
        for file, content in contents.items():
            write_whole(file, [content])
            written.append(file)
    except OSError as error:
        for file in written:
            if file not in present:
                with contextlib.suppress(OSError):
                    file.unlink()
        raise StorageError(
            f"The export cannot be written to the folder {next(iter(contents)).absolute().parent} ({error.strerror}): free "
            "some space, or name another folder with --out."
        ) from None
