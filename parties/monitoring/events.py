"""The events of a running party, which its own screen shows, or that of a launch."""

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
AWAY, BACK = "waiting for a link", "resuming"
"""The stages while a party that was connected is away, and when it is connected again."""
NOTE = "note"
"""Not a stage, but a sentence that the operator should read."""

FAILURE, NOTIFYING = "failure", "notifying the other parties"
"""The stages of a party that has failed before it was connected: its error, and while it notifies the other parties."""

BEFORE_CONNECTION = (STARTING, READING, WAITING, NOTE, FAILURE, NOTIFYING)
"""The stages of a party that may not be connected to any other yet."""


class Step(msgspec.Struct, tag="step", frozen=True):
    """The progress of a stage: `done` of `total` (0: unknown), and figures in `text`."""

    stage: str
    done: int = 0
    total: int = 0
    text: str = ""


class Finished(msgspec.Struct, tag="finished", frozen=True):
    """The party has finished; `lines` are for its operator, `report` is the path of a run's report, if there is one."""

    lines: list[str]
    report: str = ""


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """The party ended with an error: one sentence, and the exit code."""

    sentence: str
    exit_code: int


INTERRUPTED = 130
"""The exit code of an interruption."""

Event = Step | Finished | Failed
Show = Callable[[Event], None]


def failed_by(error: BaseException, interrupted: str = "Interrupted.") -> Failed:
    """The event for an `error` that ended the party; `interrupted` is the sentence for an interruption."""
    if isinstance(error, VsplitError):
        return Failed(str(error), error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return Failed(interrupted, INTERRUPTED)
    return Failed(
        f"Unexpected error ({type(error).__name__}): run {current_command('--debug')}, and report its output.",
        1,
    )


class JsonLines:
    """Writes each event as one line of JSON, for a launch that reads them.

    When they are no longer read, the launch has ended, and this party ends as if it had been interrupted.
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
    """The countdown while other parties are not connected."""
    return Step(WAITING, 0, 0, f"for {' and '.join(names)}, {left:.0f} s left")


def notifying_step(names: Sequence[str], until: datetime, left: float) -> Step:
    """The countdown while a party that has failed notifies the other parties."""
    style = "%H:%M:%S" if datetime.now().date() == until.date() else "%Y-%m-%d %H:%M"
    return Step(
        NOTIFYING, text=f"{' and '.join(names)}, until {until:{style}}, {left:.0f} s left; Ctrl-C ends it at once"
    )


def without_countdown(text: str) -> str:
    """The text of a waiting step without the seconds that are left."""
    return _LEFT.sub("", text)


def away_step(peer: str, why: str, since: datetime, until: datetime, left: float) -> Step:
    """The countdown while a connected party is away; `why` follows "the link", times are local ones.

    The reason comes last, since it may be long, and the remaining time is more important.
    """
    style = "%H:%M:%S" if since.date() == until.date() else "%Y-%m-%d %H:%M"
    return Step(AWAY, text=f"{peer} away since {since:{style}}, until {until:{style}}, {left:.0f} s left (it {why})")


def back_step(peer: str) -> Step:
    """A party that was away is connected again."""
    return Step(BACK, text=f"the link to {peer} is restored")
