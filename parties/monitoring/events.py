"""What one party tells the people at home while it lives: one stream of events, shown on its screen or a launch's."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TextIO

import msgspec

from parties.local.command_line import current_command
from parties.local.text import json_bytes
from vsplit.protocol import Note, VsplitError

_LEFT = re.compile(r", \d+ s left")

STARTING, READING, WAITING = "starting", "reading data", "waiting"
AWAY, BACK = "waiting for a link", "going on"
"""The stages while a party that was met before is away, and when it is there again."""
NOTE = "note"
"""The stage of a sentence that is none: something that people should know."""

FAILURE, TELLING = "failure", "telling the others"
"""The stages of a party that has failed before it met the others: the sentence of its error, and while it tells them."""

BEFORE_MEETING = (STARTING, READING, WAITING, NOTE, FAILURE, TELLING)
"""The stages of a party that may have met no other yet."""


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


INTERRUPTED = 130
"""The exit code of an interruption."""

Event = Step | Finished | Failed
Show = Callable[[Event], None]


def failed_by(error: BaseException, interrupted: str = "Interrupted.") -> Failed:
    """How a life that `error` ended is told to the people at home; `interrupted` is the sentence where they ended it."""
    if isinstance(error, VsplitError):
        return Failed(str(error), error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return Failed(interrupted, INTERRUPTED)
    return Failed(
        f"An error that vsplit did not foresee ({type(error).__name__}): give {current_command('--debug')}, and report "
        "what it shows.",
        1,
    )


class JsonLines:
    """Writes each event as one line of JSON, for a launch that reads them.

    When nobody reads them any more the launch is gone, and this party ends as if it had interrupted it.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lost = False

    def __call__(self, event: Event) -> None:
        if self._lost:
            return
        try:
            self._stream.write(json_bytes(event).decode() + "\n")
            self._stream.flush()
        except OSError:
            self._lost = True
            if isinstance(event, Step):
                raise KeyboardInterrupt from None


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


def telling_step(names: Sequence[str], until: datetime, left: float) -> Step:
    """The countdown while a party that has failed tells the others so."""
    style = "%H:%M:%S" if datetime.now().date() == until.date() else "%Y-%m-%d %H:%M"
    return Step(
        TELLING, text=f"{' and '.join(names)}, until {until:{style}}, {left:.0f} s left; Ctrl-C ends it at once"
    )


def without_countdown(text: str) -> str:
    """What a waiting step says, without the seconds that are left."""
    return _LEFT.sub("", text)


def away_step(peer: str, why: str, since: datetime, until: datetime, left: float) -> Step:
    """The countdown while a party that was there is away; `why` goes on from "the link ...", times are local ones.

    It comes last, since it may be long, and how long this party waits is what people look for.
    """
    style = "%H:%M:%S" if since.date() == until.date() else "%Y-%m-%d %H:%M"
    return Step(AWAY, text=f"{peer} away since {since:{style}}, until {until:{style}}, {left:.0f} s left (it {why})")


def back_step(peer: str) -> Step:
    """A party that was away is there again."""
    return Step(BACK, text=f"the link to {peer} is there again")
