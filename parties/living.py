"""What a party lives with while its run lasts, and what is known so far of the run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from parties.config.party import Party
from parties.events import NOTE, Event, Step, step_of
from parties.folder import RunFolder
from parties.home import Home
from parties.identity import PrivateIdentity
from parties.ledger.joining import RunLedger
from parties.pool import Pool
from parties.telling import FirstContact
from parties.unfinished.checkpoints import Checkpoints
from parties.unfinished.committing import Agreed, Resumed, Story
from parties.watch.watching import Watch
from vsplit.protocol import Note, VsplitError


@dataclass(slots=True)
class Life:
    """What a party lives with, and what is known so far of its run."""

    party: Party
    identity: PrivateIdentity
    watch: Watch
    home: Home
    folder: RunFolder
    kept: Checkpoints
    ledger: RunLedger
    pool: Pool
    order_secret: bytes = field(repr=False)
    first: FirstContact = field(default_factory=FirstContact)
    run: bytes = b""
    session: str = ""
    agreed: Agreed | None = None
    story: Story = field(default_factory=lambda: Story(_now()))
    farewell: list[VsplitError] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    continued: bool = False
    """The ledger tells of earlier sessions."""
    over: bool = False
    """Every party has its outcome, so that nobody needs this one any more."""
    epoch_began: float = 0.0

    def show(self, event: Event) -> None:
        """Show it to all who look on."""
        self.watch.show(event)

    def say(self, sentence: str) -> None:
        """Tell the people at home now, and again at the end."""
        self.said.append(sentence)
        self.show(Step(NOTE, text=sentence))

    def note(self, note: Note) -> None:
        """Pass a role's note on, and keep the time that each epoch took."""
        if note.stage == "training":
            now = time.monotonic()
            self.story.epoch_seconds.append(now - self.epoch_began)
            self.epoch_began = now
        self.show(step_of(note))

    def begin_training(self, epoch: int) -> None:
        """A training begins, or goes on, with `epoch` epochs done."""
        self.epoch_began = time.monotonic() - self.story.in_epoch
        self.show(Step("training", epoch, self.party.job.train.epochs))

    def story_until_now(self) -> Story:
        """The story, as it is to be kept now."""
        self.story.in_epoch = time.monotonic() - self.epoch_began
        return self.story

    def went_on(self, step: int, changes: list[str]) -> None:
        """The run goes on from `step` after a stop; `changes` may make a difference in the last bits of results."""
        self.story.resumed.append(Resumed(_now(), step, changes))
        self.say(f"The run goes on from step {step:,}." if step else "The run goes on from its alignment.")
        if changes:
            self.say(
                f"Since then this changed, and results may differ in their last digits from those of a run without a stop: "
                f"{'; '.join(changes)}."
            )

    def agreed_on(self) -> Agreed:
        """The alignment and what goes with it; raises ValueError before there is one."""
        if self.agreed is None:
            raise ValueError("no alignment has been agreed on")
        return self.agreed


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
