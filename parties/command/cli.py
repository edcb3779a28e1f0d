"""The command `vsplit`: its commands, arguments and options.

Exit codes: 0 success; 1 unexpected error; 2 invalid config file, key file or command line; 3 this party's data cannot be
used; 4 the job asks for more than the party file allows; 5 another party violated the protocol, stopped, or runs a different
job; 6 another party is absent, or the link to it is lost; 7 a ledger is broken, or two ledgers disagree; 130 interrupted by
Ctrl-C; 141 the reader of the output closed it. If the output cannot be written for another reason, such as a full disk, a
command that otherwise succeeds exits with 1.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from parties.command.console import Console
from parties.command.execution import execute, execute_with_progress
from parties.command.finished_run_commands import compare, export, predict
from parties.command.options import DebugOption, EventsOption, JsonOption, PartyArgument, PredictOption, RestartOption
from parties.command.output import Outputs
from parties.command.party_argument import check_party_argument
from parties.command.subcommands import identity_app, ledger_app
from parties.local.command_line import set_arguments
from parties.local.text import json_line
from parties.monitoring.events import Show
from vsplit import __version__
from vsplit.protocol import ConfigError


class _Command(TyperGroup):
    """The whole command. It records its arguments, for sentences that ask to repeat the command."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **more: Any) -> Any:
        set_arguments(args)
        return super().make_context(info_name, args, *rest, **more)


app = typer.Typer(
    name="vsplit",
    cls=_Command,
    help="Train one neural network with other organisations. Every record stays with its owner.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 success; 1 unexpected error; 2 config, key or command line; 3 data; 4 refused by the party file; "
    "5 another party; 6 link; 7 ledger; 130 interrupted; 141 output closed.",
)
app.add_typer(identity_app, name="identity")
app.add_typer(ledger_app, name="ledger")


def main() -> None:
    """What the console script runs once the search path is clean (`parties.__main__`)."""
    outputs = Outputs()
    try:
        app()
    except SystemExit as end:
        sys.exit(outputs.code(end.code if isinstance(end.code, int) else 0))


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:
        print(f"vsplit {__version__}")
        raise typer.Exit


@app.command()
def demo(debug: DebugOption = False) -> None:
    """Run the thyroid example on this machine: two parties, two processes, real data."""

    def command(console: Console) -> int:
        from parties.command.demo import run_demo

        return run_demo(console, debug=debug)

    execute(command, debug=debug)


@app.command()
def init(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="The names of the parties, two or more.")],
    label: Annotated[
        str | None, typer.Option("--label", metavar="NAME", help="The label party; default: the first NAME.")
    ] = None,
    task: Annotated[str, typer.Option("--task", help="binary, multiclass or regression.")] = "binary",
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="The folder for the files; created if absent.")
    ] = Path(),
    keys: Annotated[
        bool, typer.Option("--keys", help="For separate machines: a key file per party, no `identity: auto`.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Write a commented job file and one commented party file per NAME, to be filled in. Overwrites no file."""

    def command(_console: Console) -> int:
        from parties.command.init import write_configs

        return write_configs(names, label=label, task=task, folder=folder, keys=keys)

    execute(command, debug=debug)


@app.command()
def run(
    party: PartyArgument, restart: RestartOption = False, debug: DebugOption = False, events: EventsOption = False
) -> None:
    """Run one party; resume after an interruption. Aligns, trains, evaluates and writes the run folder."""

    def command(show: Show) -> int:
        from parties.command.run import run_file

        return run_file(party, show, restart=restart)

    resuming = "To resume the run, repeat the command at every party; here"
    execute_with_progress(party, command, resuming=resuming, debug=debug, events=events)


@app.command()
def overlap(
    party: PartyArgument, as_json: JsonOption = False, debug: DebugOption = False, events: EventsOption = False
) -> None:
    """Count the records that all parties share, without revealing which. Writes no run folder."""
    figures: list[dict[str, Any]] = []

    def command(show: Show) -> int:
        from parties.command.overlap import overlap_figures, run_overlap

        figures.append(overlap_figures(run_overlap(party, show)))
        return 0

    def print_figures() -> None:
        for line in figures if as_json else ():
            print(json_line(line))

    # With --json standard output has that one line alone, printed after the screen has closed.
    resuming = "An overlap keeps no state; to start it again, repeat the command at every party; here"
    execute_with_progress(
        party, command, resuming=resuming, debug=debug, events=events, stderr=as_json, at_end=print_figures
    )


app.command()(predict)


@app.command()
def launch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with a job file and its party files.")],
    overlap: Annotated[bool, typer.Option("--overlap", help="Run `vsplit overlap` instead of `vsplit run`.")] = False,
    predict: Annotated[bool, typer.Option("--predict", help="Run `vsplit predict` instead of `vsplit run`.")] = False,
    restart: RestartOption = False,
    debug: DebugOption = False,
) -> None:
    """Run every party of a folder on this machine: one process per party, one screen."""

    def command(console: Console) -> int:
        from parties.command.launch import launch as launch_folder
        from parties.config.digests import Purpose

        if overlap and predict:
            raise ConfigError("A launch runs one command: omit --overlap or --predict.")
        if restart and (overlap or predict):
            what = "An overlap" if overlap else "A prediction"
            raise ConfigError(f"{what} keeps no state that --restart could discard; omit one of the two options.")
        purpose: Purpose = "overlap" if overlap else "predict" if predict else "run"
        return launch_folder(folder, console, purpose=purpose, restart=restart, debug=debug)

    execute(command, debug=debug)


@app.command()
def check(
    party: PartyArgument,
    overlap: Annotated[
        bool, typer.Option("--overlap", help="Check only what `vsplit overlap` needs: no label, no model.")
    ] = False,
    predict: PredictOption = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write a page for the data-protection officer to this file."),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the content of that page as one line of JSON, the rest to the error output."
        ),
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Dry run: validate config and data, and show what would leave this party and which unfinished run would be resumed.

    Connects to no other party.
    """

    def command(console: Console) -> int:
        from parties.command.check_file import check_file

        return check_file(party, console, overlap=overlap, predict=predict, html=html, as_json=as_json)

    execute(command, debug=debug, stderr=as_json)


@app.command()
def runs(
    party: PartyArgument,
    prune: Annotated[bool, typer.Option("--prune", help="Delete old run folders, after confirmation.")] = False,
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, metavar="N", help="With --prune: keep the N newest runs.")
    ] = None,
    older_than: Annotated[
        int | None,
        typer.Option("--older-than", min=0, metavar="DAYS", help="With --prune: delete runs that ended before that."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: do not ask for confirmation.")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the run folders of a party file: the current one, and those that later runs have moved aside."""

    def command(console: Console) -> int:
        from parties.command.runs import print_runs, prune_runs

        check_party_argument(party)
        if prune:
            return prune_runs(party, console, keep=keep, older_than=older_than, sure=yes, as_json=as_json)
        if keep is not None or older_than is not None or yes:
            raise ConfigError("--keep, --older-than and --yes need --prune; add it, or omit them.")
        return print_runs(party, console, as_json=as_json)

    execute(command, debug=debug, stderr=as_json)


app.command()(export)
app.command()(compare)
