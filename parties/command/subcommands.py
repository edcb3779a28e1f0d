"""`vsplit identity` and `vsplit ledger`: their subcommands, arguments and options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parties.command.console import Console
from parties.command.execution import execute
from parties.command.options import DebugOption, JsonOption, LedgerArgument

identity_app = typer.Typer(help="Key pairs and identity lines.", no_args_is_help=True)
ledger_app = typer.Typer(help="The record of the messages that were sent and received.", no_args_is_help=True)


@identity_app.command("new")
def identity_new(
    name: Annotated[str, typer.Argument(help="The party's name; the key is written to NAME.key in this folder.")],
    debug: DebugOption = False,
) -> None:
    """Create a key pair and print the identity line for the job file."""
    from parties.command.identity import make_identity

    execute(lambda _console: make_identity(name), debug=debug)


@identity_app.command("show")
def identity_show(
    key: Annotated[Path, typer.Argument(metavar="NAME.key", help="The key file.")], debug: DebugOption = False
) -> None:
    """Print the identity line of a key file."""
    from parties.command.identity import show_identity

    execute(lambda _console: show_identity(key), debug=debug)


@ledger_app.command("show")
def ledger_show(ledger: LedgerArgument, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Summarise what this party sent and received, by kind and party, and what each kind reveals."""

    def command(console: Console) -> int:
        from parties.command.ledger import print_ledger

        return print_ledger(ledger, console, as_json=as_json)

    execute(command, debug=debug, stderr=as_json)


@ledger_app.command("verify")
def ledger_verify(
    ledger: LedgerArgument,
    other: Annotated[
        Path | None, typer.Argument(metavar="OTHER", help="The ledger of another party of the same run.")
    ] = None,
    job: Annotated[
        Path | None, typer.Option("--job", help="The job file with the identities that must have signed.")
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Accept a ledger of a run that has not finished.")
    ] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Verify offline that a ledger is unbroken and as the other parties signed it, and that two parties' ledgers agree."""

    def command(console: Console) -> int:
        from parties.command.ledger import print_verdict

        return print_verdict(ledger, other, console, job=job, unfinished=unfinished, as_json=as_json)

    execute(command, debug=debug, stderr=as_json)
