"""Screens: one party's progress, and a launch's, where every party has its line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from parties.events import Event, Failed, Finished, Step

_PLAIN_PAUSE = 5.0  # seconds between two lines about the same stage where the output is no terminal


class Screen:
    """The progress of one or more parties, drawn in place on a terminal and line by line elsewhere."""

    def __init__(self, parties: Sequence[str], console: Console) -> None:
        self._console = console
        self._steps: dict[str, Event | None] = dict.fromkeys(parties)
        self._told: dict[str, tuple[str, float]] = {}
        self._began = time.monotonic()
        self._live = Live(self._table(), console=console, refresh_per_second=8, transient=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live.is_started:
            self._live.update(self._table(), refresh=True)
            self._live.stop()

    def show(self, party: str, event: Event) -> None:
        """Show what `party` does now."""
        self._steps[party] = event
        if self._live.is_started:
            self._live.update(self._table())
        elif isinstance(event, Step):
            self._tell(party, event)

    def _tell(self, party: str, step: Step) -> None:
        stage, at = self._told.get(party, ("", 0.0))
        now = time.monotonic()
        if step.stage == stage and now - at < _PLAIN_PAUSE and step.done != step.total:
            return
        self._told[party] = (step.stage, now)
        figures = f" {step.done:,} of {step.total:,}" if step.total else ""
        text = f", {step.text}" if step.text else ""
        self._console.print(f"{now - self._began:6.1f} s  {party}: {step.stage}{figures}{text}", highlight=False)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        for width in (None, 32, 24, None):
            table.add_column(no_wrap=True, width=width)
        for party, event in self._steps.items():
            table.add_row(Text(party, style="bold"), *_cells(event))
        table.add_row("", Text(f"{time.monotonic() - self._began:.0f} s", style="dim"), "", "")
        return table


def _cells(event: Event | None) -> tuple[Text, ProgressBar | Text, Text]:
    if isinstance(event, Finished):
        return Text("done", style="green"), Text(""), Text("")
    if isinstance(event, Failed):
        return Text("failed", style="red"), Text(""), Text("")
    if event is None:
        return Text("starting", style="dim"), Text(""), Text("")
    bar = ProgressBar(event.total, event.done, width=24) if event.total else Text("")
    count = f"{event.done:,}/{event.total:,}  " if event.total else ""
    return Text(event.stage), bar, Text(count + event.text, style="dim")


def print_end(console: Console, party: str, event: Finished) -> None:
    """The last lines of a party that came to a good end."""
    for line in event.lines:
        console.print(f"{party}: {line}", highlight=False)
    console.print(f"{party}: report {event.report}", highlight=False, soft_wrap=True)


def print_failure(console: Console, party: str, event: Failed) -> None:
    """The sentence of a party that failed."""
    console.print(Text(f"{party}: {event.sentence}" if party else event.sentence, style="red"), soft_wrap=True)
