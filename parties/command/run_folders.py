"""`vsplit export` and `vsplit compare`: their arguments and options. Both read finished run folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parties.command.console import Console
from parties.command.execution import execute
from parties.command.options import DebugOption, JsonOption

RunArgument = Annotated[Path, typer.Argument(metavar="RUN_FOLDER", help="The folder of a finished run.")]


def export(
    run: RunArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The ONNX file to write; NAME.json is written beside it.")
    ],
    separate: Annotated[
        bool, typer.Option("--separate", help="Two files, NAME-bottom.onnx and NAME-top.onnx, instead of one graph.")
    ] = False,
    code: Annotated[
        Path,
        typer.Option("--code", metavar="DIR", help="The folder of a bottom module of your own; default: this folder."),
    ] = Path(),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of these names.")] = False,
    debug: DebugOption = False,
) -> None:
    """Write this party's part of the model as ONNX, with the preparation of its numbers inside the graph."""

    def command(console: Console) -> int:
        from parties.command.export import print_export

        return print_export(run, console, out, code, separate=separate, overwrite=overwrite)

    execute(command, debug=debug)


def compare(
    first: RunArgument,
    second: Annotated[Path, typer.Argument(metavar="OTHER_RUN", help="The folder of another finished run.")],
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare two finished runs of one party: the jobs, the records, the metrics, the traffic and the time."""

    def command(console: Console) -> int:
        from parties.command.compare import print_comparison

        return print_comparison(first, second, console, as_json=as_json)

    execute(command, debug=debug, stderr=as_json)
