"""One party's life, from its data at home to its run folder. Both roles live it in the same order."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from parties import leave
from parties.aligning import limits_of
from parties.common_order import order_secret
from parties.config.party import Party
from parties.driver import drive
from parties.events import NOTE, READING, Event, Finished, Show, Step, step_of
from parties.folder import RunFolder, check_output
from parties.home import Home, read_home
from parties.identity import PrivateIdentity
from parties.learning import Trained, check_model, train_alone
from parties.ledger.agreeing import LEDGER, open_ledger, recorded_traffic
from parties.ledger.ledger import Ledger
from parties.network.memory import MemoryNetwork
from parties.pool import Pool, cores
from parties.together import trained_together
from parties.unfinished.checkpoints import UNFINISHED, Checkpoints, Held
from parties.unfinished.committing import Agreed, Resumed, Story
from parties.unfinished.fingerprint import origin_of
from parties.watch.watching import Watch, watching
from vsplit.kernels import engine
from vsplit.protocol import Note, Role, VsplitError

R = TypeVar("R")

ALONE = "training alone"


@dataclass(slots=True)
class Life:
    """What a party lives with, and what is known so far of its run."""

    party: Party
    identity: PrivateIdentity
    watch: Watch
    home: Home
    folder: RunFolder
    kept: Checkpoints
    ledger: Ledger
    pool: Pool
    order_secret: bytes = field(repr=False)
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


def live(party: Party, identity: PrivateIdentity, show: Show, *, restart: bool = False) -> Finished:
    """Live one party's life; returns what to tell the people at home. Raises VsplitError.

    Where a run was broken off the life goes on with it, unless `restart` is given: then what was kept of it is discarded,
    once all parties begin afresh.
    """
    with watching(party, show) as watch:
        finished = _live(party, identity, watch, restart)
        watch.logbook.show(finished)
        return finished


def _live(party: Party, identity: PrivateIdentity, watch: Watch, restart: bool) -> Finished:
    secret = order_secret(party)
    watch.show(Step(READING))
    check_output(party)
    engine.check_demand()
    folder = RunFolder(party.output)
    folder.hold_configs(party)
    home = read_home(party)
    limits_of(party, len(home.keys.keys)).check_own(len(home.keys.keys))
    # A wrong device, package or bottom model is found before the others are met and anything has left.
    check_model(home)
    said: list[str] = []
    continued = (party.output / UNFINISHED / LEDGER).exists()
    with (
        Checkpoints(party.output, origin_of(home), said.append) as kept,
        open_ledger(kept.folder / LEDGER, party, identity) as ledger,
        Pool(cores()) as pool,
    ):
        life = Life(party, identity, watch, home, folder, kept, ledger, pool, secret, said=said, continued=continued)
        held = Held() if restart else kept.look(folder.finished_run())
        if held.run and held.run.hex() == folder.finished_run():
            if held.over:
                _clear_up(kept, ledger)
                return Finished([f"The run had come to its end already: {party.output} is whole."])
            # This party lacks nothing and holds its part ready for the others, who may begin a new run all the same.
            held = replace(held, agreed=False)
        life.run = held.run
        finished = _leave(life, trained_together(life, held))
        if life.over or held.over:
            _clear_up(kept, ledger)
        return finished


def _clear_up(kept: Checkpoints, ledger: Ledger) -> None:
    """Nobody needs what was kept any more. That it is so goes last, so that clearing up can be broken off as well."""
    ledger.discard()
    kept.discard()


def _leave(life: Life, trained: Trained) -> Finished:
    agreed, story, ledger = life.agreed_on(), life.story, life.ledger.close()
    run = leave.Run(
        datetime.fromisoformat(agreed.started),
        life.run.hex(),
        life.session,
        recorded_traffic(life.ledger.path) if life.continued else life.watch.traffic,
        story.epoch_seconds,
        life.farewell,
        agreed.hints,
        story.resumed,
        life.said,
        ledger,
    )
    if life.party.role == "feature":
        return leave.feature(life.home, life.folder, agreed.aligned, trained, run)
    life.show(Step(ALONE))
    alone, lacking = None, f"{life.party.name}'s model alone diverged in training, so there is nothing to compare with."
    try:
        alone = train_alone(life.home, trained, agreed.seed, lambda role: _drive_alone(life, role))
    except KeyboardInterrupt:  # the joint model is whole, and must not be lost for want of a comparison
        lacking = f"The training of {life.party.name} alone was interrupted, so there is nothing to compare with."
    life.show(Step("judging"))
    return leave.label(life.home, life.folder, agreed.aligned, trained, run, alone=alone, lacking=lacking)


def _drive_alone(life: Life, role: Role[R]) -> R:
    """Run a role that speaks to nobody, on a network of one."""
    endpoint = MemoryNetwork([life.party.name]).endpoint(life.party.name)

    def note(note: Note) -> None:
        life.show(Step(ALONE, note.done, note.total, note.text))

    return drive(role, endpoint, life.pool, note=note)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
