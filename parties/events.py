"""What one party tells the people at home while it lives: one stream of events, shown on its screen or a launch's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TextIO

import msgspec

from vsplit.protocol import Note

READING, WAITING = "reading data", "waiting"
BEFORE_MEETING = (READING, WAITING)
"""The stages of a party that has met no other yet."""


class Step(msgspec.Struct, tag="step", frozen=True):
    """How far a stage is: `done` of `total` (0: unknown), and figures in `text`."""

    stage: str
    done: int = 0
    total: int = 0
    text: str = ""


class Finished(msgspec.Struct, tag="finished", frozen=True):
    """The party's life ended well; `lines` are for people, `report` is the path of a run's report, if there is one."""

    lines: list[str]
    report: str = ""


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """The party's life ended with an error: one sentence, and the exit code."""

    sentence: str
    exit_code: int


Event = Step | Finished | Failed
Show = Callable[[Event], None]


class JsonLines:
    """Writes each event as one line of JSON, for a launch that reads them."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def __call__(self, event: Event) -> None:
        self._stream.write(msgspec.json.encode(event).decode() + "\n")
        self._stream.flush()


def read_event(line: str) -> Event:
    """The event in one line of JSON; raises msgspec.DecodeError."""
    event: Event = msgspec.json.decode(line, type=Event)
    return event


def step_of(note: Note) -> Step:
    """A role's note as an event."""
    return Step(note.stage, note.done, note.total, note.text)


def waiting_step(names: Sequence[str], left: float) -> Step:
    """The countdown while other parties are not there."""
    return Step(WAITING, 0, 0, f"for {' and '.join(names)}, {left:.0f} s left")
