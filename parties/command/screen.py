"""The screen with the progress of one party, or of a launch with a line for each party; and the last lines of both."""

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

from parties.command.progress_rate import ProgressRate
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
# The same for a party that waits without news: the first pause, the factor by which each further one grows, the longest.
_WAITING_PAUSE, _GROWTH, _LONGEST_PAUSE = 10.0, 2.0, 300.0
_WAITS = (WAITING, AWAY, NOTIFYING)
_WIDE = 110  # columns of a terminal that has room for bars beside the figures
_BAR = 24
_LEAST_ROOM = 20  # columns for words, also beside a long name


class Screen:
    """The progress of one or more parties, drawn in place on a terminal and line by line elsewhere.

    `show` may be called from several threads. `clock` returns seconds.
    """

    def __init__(self, parties: Sequence[str], console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._events: dict[str, Event | None] = dict.fromkeys(parties)
        # By party and stage, since stages whose lists alternate alternate as well.
        self._printed: dict[tuple[str, str], float] = {}
        self._waits: dict[str, _Wait] = {}
        self._failures: set[tuple[str, str]] = set()
        self._rates: dict[tuple[str, str], ProgressRate] = {}
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
        """Show what `party` does now. A note is printed at once, above the lines of a terminal, and remains there."""
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
                    self._print_step(party, event)

    def has_shown(self, party: str, failed: Failed) -> bool:
        """Whether the sentence of this failure has been printed already."""
        return (party, failed.sentence) in self._failures

    def _print_note(self, party: str, sentence: str, style: str = "") -> None:
        time = "" if self._live.is_started else f"{self._clock() - self._began:6.1f} s  "
        print_text(self._console, f"{time}{party}: {sentence}", style)

    def _follow(self, party: str, step: Step) -> None:
        place, now = (party, step.stage), self._clock()
        rate = self._rates.get(place)
        if rate is not None and rate.follows(step.done, step.total):
            rate.step(step.done, now)
        elif step.total:
            self._rates[place] = ProgressRate(step.done, step.total, now)

    def _print_step(self, party: str, step: Step) -> None:
        place, now = (party, step.stage), self._clock()
        ended = step.total > 0 and step.done == step.total
        wait = self._waits.pop(party, None)
        if step.stage in _WAITS:
            # Rarely, so that a log shows what happened; but at once where the text changes.
            self._waits[party] = wait = _Wait(step) if wait is None or not wait.continues(step) else wait
            if not wait.is_due(now):
                return
        elif place in self._printed and now - self._printed[place] < _PLAIN_PAUSE and not ended:
            return
        self._printed[place] = now
        print_text(self._console, f"{now - self._began:6.1f} s  {party}: {self._words(party, step)}")

    def _words(self, party: str, step: Step, room: float = math.inf) -> str:
        """What a party does, with as much about its rate as fits into `room` columns."""
        figures = f" {step.done:,}/{step.total:,}" if step.total else ""
        words = visible("  ".join(filter(None, [step.stage + figures, step.text])))
        rate = self._rates.get((party, step.stage)) if step.total else None
        # A stage with figures of its own, such as a loss, is shown without a rate.
        wordings = [] if rate is None else rate.wordings(self._clock(), rated=not step.text)
        fitting = (f"{words}  {one}" for one in wordings)
        return next((line for line in fitting if len(line) <= room), words)

    def _lines(self) -> Group:
        """A line for each party and the time, without padding: what a terminal echoes at the end of the last line, such as ^C,
        must not wrap to a new one."""
        width = max(len(party) for party in self._events)
        lines = []
        for party, event in list(self._events.items()):
            overflow: OverflowMethod = "crop" if self._console.options.ascii_only else "ellipsis"
            line = Text(no_wrap=True, overflow=overflow).append(party.ljust(width + 2), style="bold")
            if self._console.width >= _WIDE:
                line.append(_bar(event, plain=self._console.options.ascii_only), style="cyan")
            room = max(_LEAST_ROOM, self._console.width - len(line))
            words = self._line(party, event, room)
            # A sentence is wrapped, since it has no figures at its end that could be omitted.
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
    """When a wait without news is printed: at its start, and then after growing pauses."""

    def __init__(self, step: Step) -> None:
        self._stage, self._text = step.stage, without_countdown(step.text)
        self._due, self._pause = -math.inf, _WAITING_PAUSE

    def continues(self, step: Step) -> bool:
        return (step.stage, without_countdown(step.text)) == (self._stage, self._text)

    def is_due(self, now: float) -> bool:
        if now < self._due:
            return False
        self._due, self._pause = now + self._pause, min(self._pause * _GROWTH, _LONGEST_PAUSE)
        return True


def _bar(event: Event | None, *, plain: bool = False) -> str:
    if not isinstance(event, Step) or not event.total:
        return " " * (_BAR + 2)
    done = round(_BAR * event.done / event.total)
    full, empty = "#." if plain else "━╌"
    return full * done + empty * (_BAR - done) + "  "


def print_text(console: Console, text: str, style: str = "") -> None:
    """Print a sentence literally, without interpreting markup; only on a terminal are lines broken, between words."""
    console.print(Text(visible(text), style=style), soft_wrap=not console.is_terminal)


def print_end(console: Console, party: str, event: Finished) -> None:
    """Print the last lines of a party that has finished."""
    for line in event.lines:
        print_text(console, f"{party}: {line}")
    if event.report:  # A path broken over two lines cannot be clicked or copied.
        console.print(Text(visible(f"{party}: report {event.report}")), soft_wrap=True)


def print_failure(console: Console, party: str, event: Failed) -> None:
    """Print the sentence of a party that has failed, and below it, indented, the likely causes, one in each line."""
    style = "yellow" if _is_interrupt(event) else "red"
    sentence, *causes = event.sentence.split("\n")
    print_text(console, f"{party}: {sentence}" if party else sentence, style=style)
    for cause in causes:
        print_text(console, f"  {cause}", style=style)


def _is_interrupt(event: Failed) -> bool:
    return event.exit_code == INTERRUPTED
