"""What is known so far of a run, and what its operator is shown of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from parties.checkpoints.snapshots import Resumed, RunTimeline
from parties.monitoring.events import NOTE, Event, Step, step_of
from parties.monitoring.monitor import Monitor
from vsplit.protocol import Note, VsplitError


@dataclass(slots=True)
class RunContext:
    """The run's name, its last session, its timeline, and the sentences for its operator.

    `closing_errors` are the links that failed while the session was closed. `finished_by_all`: every party has its outcome,
    so that no other party needs this one any more.
    """

    monitor: Monitor
    run: bytes = b""
    session: str = ""
    timeline: RunTimeline = field(default_factory=lambda: RunTimeline(_now()))
    sentences: list[str] = field(default_factory=list)
    closing_errors: list[VsplitError] = field(default_factory=list)
    finished_by_all: bool = False
    _epoch_began: float = 0.0

    def show(self, event: Event) -> None:
        """Show an event now."""
        self.monitor.show(event)

    def say(self, sentence: str) -> None:
        """Show a sentence now, and again when the run ends."""
        self.sentences.append(sentence)
        self.show(Step(NOTE, text=sentence))

    def note(self, note: Note) -> None:
        """Show a role's note, and record how long each epoch took."""
        if note.stage == "training":
            now = time.monotonic()
            self.timeline.epoch_seconds.append(now - self._epoch_began)
            self._epoch_began = now
        self.show(step_of(note))

    def begin_training(self, epoch: int, epochs: int) -> None:
        """A training of `epochs` epochs starts or resumes, with `epoch` of them done."""
        self._epoch_began = time.monotonic() - self.timeline.in_epoch
        self.show(Step("training", epoch, epochs))

    def timeline_until_now(self) -> RunTimeline:
        """The timeline, as it is to be stored now."""
        self.timeline.in_epoch = time.monotonic() - self._epoch_began
        return self.timeline

    def resumed_from(self, step: int, changes: list[str]) -> None:
        """The run resumes from `step`; `changes` may alter the last digits of its results."""
        self.timeline.resumed.append(Resumed(_now(), step, changes))
        self.say(f"The run resumes from step {step:,}." if step else "The run resumes from its alignment.")
        if changes:
            self.say(
                f"Since then this changed, and results may differ in their last digits from those of an uninterrupted run: "
                f"{'; '.join(changes)}."
            )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
