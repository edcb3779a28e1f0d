"""Runs the body of a command: any failure becomes one sentence and an exit code, and progress goes to a screen or a launch."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO

import typer

from parties.command.console import Console
from parties.command.interrupts import termination_signals
from parties.command.party_argument import name_in
from parties.command.screen import Screen, print_end, print_failure
from parties.local.command_line import current_command
from parties.local.text import visible
from parties.monitoring.events import Event, Failed, Finished, JsonLines, Show, failed_by


def execute(command: Callable[[Console], int], *, debug: bool, stderr: bool = False) -> NoReturn:
    """Run a command and exit. With `stderr` its console is the error output, since standard output is for JSON alone."""
    console = Console(stderr=stderr)
    _exit(attempt(lambda: command(console), debug=debug), lambda failed: print_failure(console, "", failed))


def execute_with_progress(
    file: Path,
    command: Callable[[Show], int],
    *,
    resuming: str,
    debug: bool,
    events: bool,
    stderr: bool = False,
    at_end: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Run a command of one party and exit. Progress is shown on a screen, or with `events` as JSON lines for a launch.

    `resuming` is the sentence after an interruption, up to the command; `at_end` is called after the screen has closed.
    """
    interrupted = f"Interrupted. Every connected party was notified. {resuming}: {current_command()}."
    if events:
        write = JsonLines(event_output())
        _exit(attempt(lambda: command(write), debug=debug, interrupted=interrupted), write)
    console, name = Console(stderr=stderr), name_in(file)
    ends: list[Finished] = []
    with Screen([name], console) as screen:

        def show(event: Event) -> None:
            screen.show(name, event)
            if isinstance(event, Finished):
                ends.append(event)

        outcome = attempt(lambda: command(show), debug=debug, interrupted=interrupted)
        if isinstance(outcome, Failed):
            show(outcome)
    for end in ends:
        print_end(console, name, end)
    at_end()
    if isinstance(outcome, Failed) and screen.has_shown(name, outcome):
        outcome = outcome.exit_code
    _exit(outcome, lambda failed: print_failure(console, "", failed))


def attempt(command: Callable[[], int], *, debug: bool, interrupted: str = "Interrupted.") -> Failed | int:
    """The exit code of a command, or its failure as one sentence; `debug` prints the traceback of a failure."""
    for number in termination_signals():
        signal.signal(number, _raise_interrupt)
    try:
        return command()
    except (KeyboardInterrupt, Exception) as error:
        if debug:
            print(visible(traceback.format_exc(), keep="\n"), file=sys.stderr)
        return failed_by(error, interrupted)


def event_output() -> TextIO:
    """The standard output of this process, for events alone; anything else that is printed goes to the error output."""
    sys.stdout.flush()
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return output


def _exit(outcome: Failed | int, show: Callable[[Failed], None]) -> NoReturn:
    if isinstance(outcome, Failed):
        show(outcome)
        raise typer.Exit(outcome.exit_code)
    raise typer.Exit(outcome)


def _raise_interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
