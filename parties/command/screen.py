"""Screens: one party's progress, and a launch's, where every party has its line; and the last lines of both."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, OverflowMethod
from rich.live import Live
from rich.text import Text

from parties.command.progress_rate import Pace
from parties.local.text import visible
from parties.monitoring.events import (
    AWAY,
    FAILURE,
    INTERRUPTED,
    NOTE,
    NOTIFYING,
    WAITING,
    Event,
    Failed,
    Finished,
    Step,
    without_countdown,
)

_PLAIN_PAUSE = 5.0  # seconds between two lines about the same stage where the output is no terminal
# The same for who waits and says nothing new: the first pause, by which each further one is longer, and the longest.
_WAITING_PAUSE, _LONGER, _LONGEST_PAUSE = 10.0, 2.0, 300.0
_WAITS = (WAITING, AWAY, NOTIFYING)
_WIDE = 110  # columns of a terminal that has room for bars beside the figures
_BAR = 24
_LEAST_ROOM = 20  # columns for words, however long the name of a party is


class Screen:
    """The progress of one or more parties, drawn in place on a terminal and line by line elsewhere.

    `show` may be called from several threads. `clock` tells seconds.
    """

    def __init__(self, parties: Sequence[str], console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._events: dict[str, Event | None] = dict.fromkeys(parties)
        # By party and stage, since the stages of lists that go in turns take turns as well.
        self._told: dict[tuple[str, str], float] = {}
        self._waits: dict[str, _Wait] = {}
        self._failures: set[tuple[str, str]] = set()
        self._paces: dict[tuple[str, str], Pace] = {}
        self._began = clock()
        self._lock = threading.Lock()
        self._live = Live(get_renderable=self._lines, console=console, refresh_per_second=8)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live.is_started:
            self._live.stop()

    def show(self, party: str, event: Event) -> None:
        """Show what `party` does now. A note is printed at once, above the lines of a terminal, and stays there."""
        with self._lock:
            if isinstance(event, Step) and event.stage == NOTE:
                self._print_note(party, event.text)
                return
            if isinstance(event, Step) and event.stage == FAILURE:
                self._print_note(party, event.text, "red")
                self._failures.add((party, event.text))
                return
            self._events[party] = event
            if isinstance(event, Step):
                self._follow(party, event)
                if not self._live.is_started:
                    self._tell(party, event)

    def has_shown(self, party: str, failed: Failed) -> bool:
        """Whether the sentence of this end was printed already, when the party failed."""
        return (party, failed.sentence) in self._failures

    def _print_note(self, party: str, sentence: str, style: str = "") -> None:
        time = "" if self._live.is_started else f"{self._clock() - self._began:6.1f} s  "
        say(self._console, f"{time}{party}: {sentence}", style)

    def _follow(self, party: str, step: Step) -> None:
        place, now = (party, step.stage), self._clock()
        pace = self._paces.get(place)
        if pace is not None and pace.follows(step.done, step.total):
            pace.step(step.done, now)
        elif step.total:
            self._paces[place] = Pace(step.done, step.total, now)

    def _tell(self, party: str, step: Step) -> None:
        place, now = (party, step.stage), self._clock()
        ended = step.total > 0 and step.done == step.total
        wait = self._waits.pop(party, None)
        if step.stage in _WAITS:
            # Rarely, since who reads a log looks for what happened; but at once where it says something else.
            self._waits[party] = wait = _Wait(step) if wait is None or not wait.goes_on(step) else wait
            if not wait.is_due(now):
                return
        elif place in self._told and now - self._told[place] < _PLAIN_PAUSE and not ended:
            return
        self._told[place] = now
        say(self._console, f"{now - self._began:6.1f} s  {party}: {self._words(party, step)}")

    def _words(self, party: str, step: Step, room: float = math.inf) -> str:
        """What a party does, with as much about its pace as `room` columns hold."""
        figures = f" {step.done:,}/{step.total:,}" if step.total else ""
        words = visible("  ".join(filter(None, [step.stage + figures, step.text])))
        pace = self._paces.get((party, step.stage)) if step.total else None
        # A stage with figures of its own, such as a loss, is told without a rate.
        wordings = [] if pace is None else pace.wordings(self._clock(), rated=not step.text)
        fitting = (f"{words}  {one}" for one in wordings)
        return next((line for line in fitting if len(line) <= room), words)

    def _lines(self) -> Group:
        """One line a party and the time, no longer than they need be: what a terminal echoes at the end of the last
        one, such as ^C, must not begin a new line."""
        width = max(len(party) for party in self._events)
        lines = []
        for party, event in list(self._events.items()):
            overflow: OverflowMethod = "crop" if self._console.options.ascii_only else "ellipsis"
            line = Text(no_wrap=True, overflow=overflow).append(party.ljust(width + 2), style="bold")
            if self._console.width >= _WIDE:
                line.append(_bar(event, plain=self._console.options.ascii_only), style="cyan")
            room = max(_LEAST_ROOM, self._console.width - len(line))
            words = self._line(party, event, room)
            # A sentence, and no figures at its end that could be left out.
            if isinstance(event, Step) and not event.total:
                words = Text("\n" + " " * len(line)).join(words.wrap(self._console, room))
            lines.append(line.append_text(words))
        seconds = f"{self._clock() - self._began:.0f} s"
        return Group(*lines, Text(" " * (width + 2) + seconds, style="dim"))

    def _line(self, party: str, event: Event | None, room: int) -> Text:
        if isinstance(event, Finished):
            return Text("done", style="green")
        if isinstance(event, Failed):
            return Text("interrupted", style="yellow") if _is_interrupt(event) else Text("failed", style="red")
        return Text("starting", style="dim") if event is None else Text(self._words(party, event, room))


class _Wait:
    """When a wait without news is told of: at its begin, and then after pauses that become longer."""

    def __init__(self, step: Step) -> None:
        self._stage, self._says = step.stage, without_countdown(step.text)
        self._due, self._pause = -math.inf, _WAITING_PAUSE

    def goes_on(self, step: Step) -> bool:
        return (step.stage, without_countdown(step.text)) == (self._stage, self._says)

    def is_due(self, now: float) -> bool:
        if now < self._due:
            return False
        self._due, self._pause = now + self._pause, min(self._pause * _LONGER, _LONGEST_PAUSE)
        return True


def _bar(event: Event | None, *, plain: bool = False) -> str:
    if not isinstance(event, Step) or not event.total:
        return " " * (_BAR + 2)
    done = round(_BAR * event.done / event.total)
    full, empty = "#." if plain else "━╌"
    return full * done + empty * (_BAR - done) + "  "


def say(console: Console, text: str, style: str = "") -> None:
    """Print a sentence as it is, without reading markup into names; only a terminal breaks its lines, between words."""
    console.print(Text(visible(text), style=style), soft_wrap=not console.is_terminal)


def print_end(console: Console, party: str, event: Finished) -> None:
    """The last lines of a party that came to a good end."""
    for line in event.lines:
        say(console, f"{party}: {line}")
    if event.report:  # A path that is broken over two lines cannot be clicked or copied.
        console.print(Text(visible(f"{party}: report {event.report}")), soft_wrap=True)


def print_failure(console: Console, party: str, event: Failed) -> None:
    """The sentence of a party that failed."""
    style = "yellow" if _is_interrupt(event) else "red"
    say(console, f"{party}: {event.sentence}" if party else event.sentence, style=style)


def _is_interrupt(event: Failed) -> bool:
    return event.exit_code == INTERRUPTED
