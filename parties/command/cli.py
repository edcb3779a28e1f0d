"""The command `vsplit`.

Exit codes: 0 all went well; 1 an unforeseen error; 2 a config file, a key file or the command line is wrong; 3 this
party's data cannot be used; 4 the job asks more than the party file allows; 5 another party misbehaved, stopped or runs
another job; 6 another party is absent or the link to it is lost; 7 a ledger is broken, or two tell different stories; 130
interrupted by Ctrl-C.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO

import typer
from rich.console import Console

from parties.command.screen import Screen, print_end, print_failure
from parties.events import READING, Event, Failed, Finished, JsonLines, Step
from vsplit import __version__
from vsplit.protocol import ConfigError, VsplitError

app = typer.Typer(
    name="vsplit",
    help="Train one neural model with other organisations; every record stays at home.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 well; 1 unforeseen; 2 config, key or command line; 3 data; 4 refused by the party file; "
    "5 another party; 6 link; 7 a ledger is broken; 130 interrupted.",
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
INTERRUPTED = 130
NO_CONFIG = {".key": "a key file", **dict.fromkeys((".csv", ".gz", ".parquet"), "a file of data")}


def main() -> None:
    """Entry point of the console script."""
    # A bottom model of the user's own may stand in the folder in which the command is given. It is looked for last, so
    # that no file there hides a package.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    app()


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False) -> None:
    if version:
        typer.echo(f"vsplit {__version__}")
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
    _live_on_screen(party, lambda show: _live(party, show, restart), Console(), debug=debug, events=events)


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
            typer.echo(json.dumps(line))

    # With --json standard output has the one line alone, once the screen is done.
    console = Console(stderr=as_json)
    _live_on_screen(party, command, console, debug=debug, events=events, at_end=print_figures)


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
    debug: DebugOption = False,
) -> None:
    """Read config and data, connect to nobody, and say what would go wrong and what would leave this party."""

    def command() -> int:
        if overlap:
            from parties.command.check_overlap import print_overlap_check

            return print_overlap_check(_party_file(party), console)
        from parties.command.check import print_check

        return print_check(_party_file(party), console)

    console = Console()
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
    """Prove offline that a ledger is unbroken, and that two parties' ledgers tell the same story."""

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

    party = load_party(_party_file(file))
    started = launched(party)
    party, identity = started if started else (party, load_identity(party))
    show(Step(READING))
    # This takes seconds; what is wrong with the files above shows at once.
    from parties.life import live

    show(live(party, identity, show, restart=restart))
    return 0


def _live_on_screen(
    file: Path,
    live: Callable[[Callable[[Event], None]], int],
    console: Console,
    *,
    debug: bool,
    events: bool,
    at_end: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Live a life with its progress on this screen, or with its events as lines for a launch that reads them; and leave."""
    if events:
        write = JsonLines(_own_stdout())
        _guard(lambda: live(write), write, debug)
    from parties.config.party import name_in

    name = name_in(file)
    ends: list[Finished] = []
    with Screen([name], console) as screen:

        def show(event: Event) -> None:
            screen.show(name, event)
            if isinstance(event, Finished):
                ends.append(event)

        outcome = _attempt(lambda: live(show), debug)
        if isinstance(outcome, Failed):
            show(outcome)
    for end in ends:
        print_end(console, name, end)
    at_end()
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


def _guard(command: Callable[[], int], show: Callable[[Event], None], debug: bool) -> NoReturn:
    _leave(_attempt(command, debug), show)


def _leave(outcome: Failed | int, show: Callable[[Event], None]) -> NoReturn:
    if isinstance(outcome, Failed):
        show(outcome)
        raise typer.Exit(outcome.exit_code)
    raise typer.Exit(outcome)


def _attempt(command: Callable[[], int], debug: bool) -> Failed | int:
    """Run a command; any failure becomes one sentence and an exit code, with a traceback only where it is asked for."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _as_interrupt)
    try:
        return command()
    except (VsplitError, KeyboardInterrupt, Exception) as error:
        if debug:
            traceback.print_exc(file=sys.stderr)
        return _failure(error)


def _failure(error: BaseException) -> Failed:
    if isinstance(error, VsplitError):
        return Failed(str(error), error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return Failed(
            "Interrupted here; every party that this one was connected to was told. A run that was broken off goes on when all "
            "give the same command again.",
            INTERRUPTED,
        )
    return Failed(
        f"An error that vsplit did not foresee ({type(error).__name__}): run the command again with --debug, and report "
        "what it shows.",
        1,
    )


def _as_interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
