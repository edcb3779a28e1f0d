"""The command `vsplit`.

Exit codes: 0 all went well; 1 an unforeseen error; 2 a config file, a key file or the command line is wrong; 3 this
party's data cannot be used; 4 the job asks more than the party file allows; 5 another party misbehaved, stopped or runs
another job; 6 another party is absent or the link to it is lost; 7 a ledger is broken, or two tell different stories; 130
interrupted by Ctrl-C; 141 whoever read the output has closed it. Where the output cannot be written for another reason, such
as a full disk, a command that went well otherwise ends with 1.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from parties.command.console import Console
from parties.command.interrupts import asked_to_end
from parties.command.output import Outputs
from parties.command.screen import Screen, print_end, print_failure
from parties.local.command_line import remember, same_command
from parties.local.text import json_line, visible
from parties.monitoring.events import STARTING, Event, Failed, Finished, JsonLines, Step, failed_by
from vsplit import __version__
from vsplit.protocol import ConfigError, VsplitError

if TYPE_CHECKING:
    from parties.command.disclosure_document import Document


class _Command(TyperGroup):
    """The whole command, which keeps what was typed for sentences that ask to give it again."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **more: Any) -> Any:
        remember(args)
        return super().make_context(info_name, args, *rest, **more)


app = typer.Typer(
    name="vsplit",
    cls=_Command,
    help="Train one neural model with other organisations; every record stays at home.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 well; 1 unforeseen; 2 config, key or command line; 3 data; 4 refused by the party file; "
    "5 another party; 6 link; 7 a ledger is broken; 130 interrupted; 141 output closed.",
)
identity_app = typer.Typer(help="Keys and identity lines.", no_args_is_help=True)
app.add_typer(identity_app, name="identity")
ledger_app = typer.Typer(help="The record of what left and what came.", no_args_is_help=True)
app.add_typer(ledger_app, name="ledger")

PartyArgument = Annotated[Path, typer.Argument(metavar="PARTY.yaml", help="The party file.")]
LedgerArgument = Annotated[
    Path, typer.Argument(metavar="LEDGER", help="A ledger, or the run folder in which it stands.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the outcome as one line of JSON.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")]
RestartOption = Annotated[
    bool, typer.Option("--restart", help="Begin afresh, and discard what an unfinished run has kept; at every party.")
]
EventsOption = Annotated[bool, typer.Option("--events", hidden=True)]
NO_CONFIG = {".key": "a key file", **dict.fromkeys((".csv", ".gz", ".parquet"), "a file of data")}


def main() -> None:
    """What the console script runs once the search path is clean (`parties.__main__`)."""
    outputs = Outputs()
    try:
        app()
    except SystemExit as end:
        sys.exit(outputs.code(end.code if isinstance(end.code, int) else 0))


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False) -> None:
    if version:
        print(f"vsplit {__version__}")
        raise typer.Exit


@app.command()
def demo(debug: DebugOption = False) -> None:
    """Run the thyroid example on this machine: two parties, two processes, real data."""

    def command() -> int:
        from parties.command.demo import run_demo

        return run_demo(console, debug=debug)

    console = Console()
    _guard(command, _printer(console), debug)


@app.command()
def init(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="The parties, two or more.")],
    label: Annotated[
        str | None,
        typer.Option("--label", metavar="NAME", help="The party that knows the outcome; default: the first."),
    ] = None,
    task: Annotated[str, typer.Option("--task", help="binary, multiclass or regression.")] = "binary",
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where the files go; made if absent.")
    ] = Path(),
    keys: Annotated[
        bool, typer.Option("--keys", help="For different machines: a key file for each party, not `identity: auto`.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Write a commented job file and one party file for each name, to be filled in. Overwrites nothing."""

    def command() -> int:
        from parties.command.init import write_configs

        return write_configs(names, label=label, task=task, folder=folder, keys=keys)

    _guard(command, _printer(Console()), debug)


@app.command()
def run(
    party: PartyArgument, restart: RestartOption = False, debug: DebugOption = False, events: EventsOption = False
) -> None:
    """Live one party's life: align, train, judge, and leave a run folder. Goes on with a run that was broken off."""
    goes_on = "A run that was broken off goes on when all give their commands again, here"
    _live_on_screen(
        party, lambda show: _live(party, show, restart), Console(), debug=debug, events=events, goes_on=goes_on
    )


@app.command()
def overlap(
    party: PartyArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one line of JSON.")] = False,
    debug: DebugOption = False,
    events: EventsOption = False,
) -> None:
    """Find out with the other parties how many records all share, and not which. Leaves no run folder."""
    figures: list[dict[str, Any]] = []

    def command(show: Callable[[Event], None]) -> int:
        from parties.command.overlap import live_overlap, overlap_figures

        figures.append(overlap_figures(live_overlap(_party_file(party), show)))
        return 0

    def print_figures() -> None:
        for line in figures if as_json else ():
            print(json_line(line))

    # With --json standard output has the one line alone, once the screen is done.
    console = Console(stderr=as_json)
    goes_on = "An overlap keeps nothing; it begins again when all give their commands again, here"
    _live_on_screen(party, command, console, debug=debug, events=events, goes_on=goes_on, at_end=print_figures)


@app.command()
def launch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with a job file and its party files.")],
    overlap: Annotated[
        bool, typer.Option("--overlap", help="Let each give `vsplit overlap` instead of `vsplit run`.")
    ] = False,
    restart: RestartOption = False,
    debug: DebugOption = False,
) -> None:
    """Run every party of a folder on this machine, one process each, on one screen."""

    def command() -> int:
        from parties.command.launch import launch as launch_folder

        if overlap and restart:
            raise ConfigError(
                "An overlap keeps nothing that --restart could discard; leave one of the two options out."
            )
        return launch_folder(folder, console, purpose="overlap" if overlap else "run", restart=restart, debug=debug)

    console = Console()
    _guard(command, _printer(console), debug)


@app.command()
def check(
    party: PartyArgument,
    overlap: Annotated[
        bool, typer.Option("--overlap", help="Look at what `vsplit overlap` needs alone: no label, no model.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE", help="Write a page for the data-protection officer to this file as well."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what the page says as one line of JSON, and the rest as errors are.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Read config and data, connect to nobody, and say what would go wrong and what would leave this party."""

    def command() -> int:
        from parties.command.disclosure_page import check_page, disclose

        file, page = _party_file(party), None if html is None else check_page(html)

        def show(document: Document) -> None:
            disclose(document, page, console, print_json=as_json)

        if overlap:
            from parties.command.check_overlap import print_overlap_check

            return print_overlap_check(file, console, show)
        from parties.command.check import print_check

        return print_check(file, console, show)

    console = Console(stderr=as_json)
    _guard(command, _printer(console), debug)


@app.command()
def runs(
    party: PartyArgument,
    prune: Annotated[bool, typer.Option("--prune", help="Take old run folders away; asks first.")] = False,
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, metavar="N", help="With --prune: keep the N newest runs.")
    ] = None,
    older_than: Annotated[
        int | None,
        typer.Option("--older-than", min=0, metavar="DAYS", help="With --prune: take away what ended before that."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: do not ask.")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the run folders of a party file: the current one, and those that later runs have moved aside."""

    def command() -> int:
        from parties.command.runs import print_runs, prune_runs

        file = _party_file(party)
        if prune:
            return prune_runs(file, console, keep=keep, older_than=older_than, sure=yes, as_json=as_json)
        if keep is not None or older_than is not None or yes:
            raise ConfigError("--keep, --older-than and --yes are for --prune; add it, or leave them out.")
        return print_runs(file, console, as_json=as_json)

    console = Console(stderr=as_json)
    _guard(command, _printer(console), debug)


@identity_app.command("new")
def identity_new(
    name: Annotated[str, typer.Argument(help="Whose key it is; the file is NAME.key in this folder.")],
    debug: DebugOption = False,
) -> None:
    """Make a key pair and print the line for the job file."""
    from parties.command.identity import make_identity

    _guard(lambda: make_identity(name), _printer(Console()), debug)


@identity_app.command("show")
def identity_show(
    key: Annotated[Path, typer.Argument(metavar="NAME.key", help="The key file.")], debug: DebugOption = False
) -> None:
    """Print the identity line of a key file again."""
    from parties.command.identity import show_identity

    _guard(lambda: show_identity(key), _printer(Console()), debug)


@ledger_app.command("show")
def ledger_show(ledger: LedgerArgument, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Sum up what left this organisation and what came, by kind and party, and what each kind reveals."""

    def command() -> int:
        from parties.command.ledger import print_ledger

        return print_ledger(ledger, Console(), as_json=as_json)

    _guard(command, _printer(Console(stderr=as_json)), debug)


@ledger_app.command("verify")
def ledger_verify(
    ledger: LedgerArgument,
    other: Annotated[
        Path | None, typer.Argument(metavar="OTHER", help="The ledger of another party of the run.")
    ] = None,
    job: Annotated[
        Path | None, typer.Option("--job", help="The job file, whose identities must be those signed by.")
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="The run may still go on, so that no end is due.")
    ] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Prove offline that a ledger is as others signed for it, and that two parties' ledgers tell the same story."""

    def command() -> int:
        from parties.command.ledger import print_verdict

        return print_verdict(ledger, other, Console(), job=job, unfinished=unfinished, as_json=as_json)

    _guard(command, _printer(Console(stderr=as_json)), debug)


def _party_file(path: Path) -> Path:
    """The file that was given, where it may be a party file at all. Raises ConfigError."""
    wanted = "give your party file, the one that names the job and your data"
    if not path.exists():
        raise ConfigError(f"The party file {path.absolute()} does not exist; {wanted}, as seen from this folder.")
    if path.is_dir():
        raise ConfigError(f"{path.absolute()} is a folder; {wanted}.")
    if path.suffix.lower() in NO_CONFIG:
        raise ConfigError(f"{path.absolute()} is {NO_CONFIG[path.suffix.lower()]} and no party file; {wanted}.")
    return path


def _live(file: Path, show: Callable[[Event], None], restart: bool) -> int:
    from parties.command.identity import load_identity
    from parties.command.launch import launched
    from parties.config.party import load_party
    from parties.run.contact import contact_in
    from parties.run.failure_notice import notifying_others

    file = _party_file(file)
    with notifying_others(lambda: contact_in(file), show):
        party = load_party(file)
        party, identity = launched(party) or (party, load_identity(party))
        show(Step(STARTING))
        # This takes seconds; what is wrong with the files above shows at once.
        from parties.run.party_run import run_party

    show(run_party(party, identity, show, restart=restart))
    return 0


def _live_on_screen(
    file: Path,
    run_party: Callable[[Callable[[Event], None]], int],
    console: Console,
    *,
    debug: bool,
    events: bool,
    goes_on: str,
    at_end: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Live a life with its progress on this screen, or with its events as lines for a launch that reads them; and leave."""
    interrupted = f"Interrupted here; every party that this one was connected to was told. {goes_on} {same_command()}."
    if events:
        write = JsonLines(_own_stdout())
        _guard(lambda: run_party(write), write, debug, interrupted)
    from parties.config.party import name_in

    name = name_in(file)
    ends: list[Finished] = []
    with Screen([name], console) as screen:

        def show(event: Event) -> None:
            screen.show(name, event)
            if isinstance(event, Finished):
                ends.append(event)

        outcome = _attempt(lambda: run_party(show), debug, interrupted)
        if isinstance(outcome, Failed):
            show(outcome)
    for end in ends:
        print_end(console, name, end)
    at_end()
    if isinstance(outcome, Failed) and screen.has_shown(name, outcome):
        outcome = outcome.exit_code
    _leave(outcome, _printer(console))


def _own_stdout() -> TextIO:
    """This process's standard output for events alone; whatever else is printed goes where errors go."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


def _printer(console: Console) -> Callable[[Event], None]:
    def show(event: Event) -> None:
        if isinstance(event, Failed):
            print_failure(console, "", event)

    return show


def _guard(
    command: Callable[[], int], show: Callable[[Event], None], debug: bool, interrupted: str = "Interrupted."
) -> NoReturn:
    _leave(_attempt(command, debug, interrupted), show)


def _leave(outcome: Failed | int, show: Callable[[Event], None]) -> NoReturn:
    if isinstance(outcome, Failed):
        show(outcome)
        raise typer.Exit(outcome.exit_code)
    raise typer.Exit(outcome)


def _attempt(command: Callable[[], int], debug: bool, interrupted: str = "Interrupted.") -> Failed | int:
    """Run a command; any failure becomes one sentence and an exit code, with a traceback only where it is asked for."""
    for number in asked_to_end():
        signal.signal(number, _as_interrupt)
    try:
        return command()
    except (VsplitError, KeyboardInterrupt, Exception) as error:
        if debug:
            print(visible(traceback.format_exc(), keep="\n"), file=sys.stderr)
        return failed_by(error, interrupted)


def _as_interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
