"""The arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PartyArgument = Annotated[Path, typer.Argument(metavar="PARTY.yaml", help="The party file.")]
LedgerArgument = Annotated[
    Path, typer.Argument(metavar="LEDGER", help="A ledger file, or the run folder that contains it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show a traceback on failure.")]
RestartOption = Annotated[
    bool,
    typer.Option("--restart", help="Start from the beginning and discard an unfinished run. Needed at every party."),
]
PredictOption = Annotated[
    bool, typer.Option("--predict", help="Check what `vsplit predict` needs, with the model of the finished run.")
]
EventsOption = Annotated[bool, typer.Option("--events", hidden=True)]
