"""What a party lives with while its run lasts, and what is known so far of the run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from parties.checkpoints.folder import CheckpointFolder
from parties.checkpoints.snapshots import AlignedRun, Resumed, RunTimeline
from parties.config.party import Party
from parties.data.party_data import PartyData
from parties.ledger.merging import RunLedger
from parties.monitoring.events import NOTE, Event, Step, step_of
from parties.monitoring.monitor import Monitor
from parties.network.identity import PrivateIdentity
from parties.network.worker_pool import Pool
from parties.run.failure_notice import FirstContact
from parties.run.run_folder import RunFolder
from vsplit.protocol import Note, VsplitError


@dataclass(slots=True)
class RunContext:
    """What a party lives with, and what is known so far of its run."""

    party: Party
    identity: PrivateIdentity
    monitor: Monitor
    party_data: PartyData
    folder: RunFolder
    checkpoints: CheckpointFolder
    ledger: RunLedger
    pool: Pool
    order_secret: bytes = field(repr=False)
    first: FirstContact = field(default_factory=FirstContact)
    run: bytes = b""
    session: str = ""
    agreed: AlignedRun | None = None
    timeline: RunTimeline = field(default_factory=lambda: RunTimeline(_now()))
    farewell: list[VsplitError] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    continued: bool = False
    """The ledger tells of earlier sessions."""
    over: bool = False
    """Every party has its outcome, so that nobody needs this one any more."""
    epoch_began: float = 0.0

    def show(self, event: Event) -> None:
        """Show it to all who look on."""
        self.monitor.show(event)

    def say(self, sentence: str) -> None:
        """Tell the people at home now, and again at the end."""
        self.said.append(sentence)
        self.show(Step(NOTE, text=sentence))

    def note(self, note: Note) -> None:
        """Pass a role's note on, and keep the time that each epoch took."""
        if note.stage == "training":
            now = time.monotonic()
            self.timeline.epoch_seconds.append(now - self.epoch_began)
            self.epoch_began = now
        self.show(step_of(note))

    def begin_training(self, epoch: int) -> None:
        """A training begins, or goes on, with `epoch` epochs done."""
        self.epoch_began = time.monotonic() - self.timeline.in_epoch
        self.show(Step("training", epoch, self.party.job.train.epochs))

    def timeline_until_now(self) -> RunTimeline:
        """The story, as it is to be kept now."""
        self.timeline.in_epoch = time.monotonic() - self.epoch_began
        return self.timeline

    def resumed_from(self, step: int, changes: list[str]) -> None:
        """The run goes on from `step` after a stop; `changes` may make a difference in the last bits of results."""
        self.timeline.resumed.append(Resumed(_now(), step, changes))
        self.say(f"The run goes on from step {step:,}." if step else "The run goes on from its alignment.")
        if changes:
            self.say(
                f"Since then this changed, and results may differ in their last digits from those of a run without a stop: "
                f"{'; '.join(changes)}."
            )

    def agreed_on(self) -> AlignedRun:
        """The alignment and what goes with it; raises ValueError before there is one."""
        if self.agreed is None:
            raise ValueError("no alignment has been agreed on")
        return self.agreed


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
