"""One party's life, from its data at home to its run folder. Both roles live it in the same order."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from parties import leave
from parties.aligning import align, limits_of
from parties.config.job import Job
from parties.config.party import Party
from parties.driver import Traffic, drive
from parties.events import READING, Finished, Show, Step, step_of
from parties.folder import RunFolder, check_output
from parties.hints import find_causes
from parties.home import Home, read_home
from parties.identity import PrivateIdentity
from parties.learning import Trained, check_model, private_seed, train_alone, train_feature, train_label
from parties.meeting import connect, join, stop_word
from parties.network.memory import MemoryNetwork
from parties.network.tls import TlsTransport
from parties.pool import Pool, cores
from parties.shared import share_rows
from psi import Alignment, check_agreed, check_match
from vsplit.kernels import engine
from vsplit.protocol import Note, Role, VsplitError

R = TypeVar("R")

ALONE = "training alone"


@dataclass(slots=True)
class Life:
    """What is known so far of one party's run."""

    party: Party
    identity: PrivateIdentity
    show: Show
    order_secret: bytes = field(repr=False)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    traffic: Traffic = field(default_factory=Traffic)
    epoch_ends: list[float] = field(default_factory=list)
    training_began: float = 0.0
    hints: list[str] = field(default_factory=list)

    @property
    def job(self) -> Job:
        """The job, with every identity filled in."""
        return self.party.job

    def note(self, note: Note) -> None:
        """Pass a role's note on, and keep the time at which each epoch ended."""
        if note.stage == "training":
            self.epoch_ends.append(time.monotonic())
        self.show(step_of(note))


def live(party: Party, identity: PrivateIdentity, show: Show) -> Finished:
    """Live one party's life; returns what to tell the people at home. Raises VsplitError."""
    life = Life(party, identity, show, order_secret())
    show(Step(READING))
    check_output(party)
    engine.check_demand()
    folder = RunFolder(party.output)
    folder.hold_configs(party)
    home = read_home(party)
    limits_of(party, len(home.keys.keys)).check_own(len(home.keys.keys))
    # A wrong device, package or bottom model is found before the others are met and anything has left.
    check_model(home)
    seed = private_seed(home)
    with Pool(cores()) as pool:
        transport = connect(party, identity, show)
        try:
            aligned, trained = _with_the_others(life, home, folder, seed, transport, pool)
        except BaseException as error:
            transport.stop(stop_word(error))
            raise
        farewell = transport.finish()
        run = leave.Run(life.started, transport.session.hex(), life.traffic, _epoch_seconds(life), farewell, life.hints)
        if party.role == "feature":
            return leave.feature(home, folder, aligned, trained, run)
        show(Step(ALONE))
        alone, lacking = None, f"{party.name}'s model alone diverged in training, so there is nothing to compare with."
        try:
            alone = train_alone(home, trained, seed, lambda role: _drive_alone(life, role, pool))
        except KeyboardInterrupt:  # the joint model is whole, and must not be lost for want of a comparison
            lacking = f"The training of {party.name} alone was interrupted, so there is nothing to compare with."
        show(Step("judging"))
        return leave.label(home, folder, aligned, trained, run, alone=alone, lacking=lacking)


def _with_the_others(
    life: Life, home: Home, folder: RunFolder, seed: int | bytes, transport: TlsTransport, pool: Pool
) -> tuple[Alignment, Trained]:
    def run(role: Role[R]) -> R:
        return drive(role, transport, pool, traffic=life.traffic, note=life.note)

    def run_training(role: Role[R]) -> R:
        life.show(Step("training", 0, life.job.train.epochs))
        life.training_began = time.monotonic()
        return run(role)

    seals = join(life.party, life.identity, "run", transport.session, run)
    if life.party.role == "label":
        folder.hold("order.secret", life.order_secret)
    aligned = align(home, seals, life.order_secret, run)
    life.hints = find_causes(life.party, home.keys.keys, home.keys.report, aligned, run)
    try:
        check_match(aligned.matched, life.party.settings.accept.min_records or 1, _others(life), life.hints)
        check_agreed(aligned)
    except VsplitError:
        # All parties find the same here, each by itself. So they take leave, and none is told that another one stopped.
        transport.finish()
        raise
    life.show(Step("preparing the shared records", text=f"{aligned.matched:,} in common"))
    shared = share_rows(home, aligned, life.order_secret, run)
    if life.party.role == "feature":
        return aligned, train_feature(home, shared, seed, run_training, seals)
    return aligned, train_label(home, shared, seed, run_training)


def _others(life: Life) -> str:
    *first, last = (name for name in life.job.parties if name != life.party.name)
    return f"all others ({', '.join(first)} and {last})" if first else last


def order_secret() -> bytes:
    """32 fresh bytes from which the common order is drawn.

    Never from the party's seed: a feature party sees its keys in this order, so it could try seeds until one sorts them
    so, and then know the initial weights as well.
    """
    return os.urandom(32)


def _drive_alone(life: Life, role: Role[R], pool: Pool) -> R:
    """Run a role that speaks to nobody, on a network of one."""
    endpoint = MemoryNetwork([life.party.name]).endpoint(life.party.name)

    def note(note: Note) -> None:
        life.show(Step(ALONE, note.done, note.total, note.text))

    return drive(role, endpoint, pool, note=note)


def _epoch_seconds(life: Life) -> list[float]:
    starts = [life.training_began, *life.epoch_ends]
    return [end - start for start, end in zip(starts, life.epoch_ends, strict=False)]
