"""`vsplit predict`: its arguments and options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from parties.command.execution import execute_with_progress
from parties.command.options import DebugOption, EventsOption, PartyArgument
from parties.monitoring.events import Show


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
        from parties.command.predict_file import predict_file
        from parties.config.scoring_settings import ScoringOptions

        return predict_file(party, show, ScoringOptions(run, data, out, missing))

    resuming = "A prediction keeps no state; to start it again, repeat the command at every party; here"
    execute_with_progress(party, command, resuming=resuming, debug=debug, events=events)
