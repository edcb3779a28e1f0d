"""`vsplit predict`, `export` and `compare`: the arguments and options of the commands that use finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from parties.command.console import Console
from parties.command.execution import execute, execute_with_progress
from parties.command.options import DebugOption, EventsOption, JsonOption, PartyArgument
from parties.monitoring.events import Show

RunArgument = Annotated[Path, typer.Argument(metavar="RUN_FOLDER", help="The folder of a finished run.")]


def predict(
    party: PartyArgument,
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="FOLDER", help="The run folder with the model; default: that of the party file."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FILE", help="The records to score (label party); default: as in the party file."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The file for the scores, .parquet or .csv (label party)."),
    ] = None,
    missing: Annotated[
        Literal["fallback", "refuse"] | None,
        typer.Option(
            "--missing",
            metavar="POLICY",
            help="Records that another party does not know: fallback (default), the label party's own model scores them; "
            "refuse, none is scored.",
        ),
    ] = None,
    debug: DebugOption = False,
    events: EventsOption = False,
) -> None:
    """Score new people by the model of a finished run. Needed at every party; the label party receives the scores."""

    def command(show: Show) -> int:
        from parties.command.predict import predict_file
        from parties.config.scoring_settings import ScoringOptions

        return predict_file(party, show, ScoringOptions(run, data, out, missing))

    resuming = "A prediction keeps no state; to start it again, repeat the command at every party; here"
    execute_with_progress(party, command, resuming=resuming, debug=debug, events=events)


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
