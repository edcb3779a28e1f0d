"""One party's life, from its data at home to its run folder. Both roles live it in the same order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from parties import leave
from parties.aligning import limits_of
from parties.allocator import keep_freed_memory
from parties.common_order import order_secret
from parties.config.party import Party
from parties.driver import drive
from parties.events import READING, Finished, Show, Step
from parties.folder import RunFolder, check_output
from parties.home import read_home
from parties.identity import PrivateIdentity
from parties.learning import Trained, check_model, train_alone
from parties.ledger.agreeing import IN_RUN_FOLDER, about_of, recorded_traffic
from parties.ledger.settling import own_ledger, told_in_run_folder
from parties.living import Life
from parties.network.memory import MemoryNetwork
from parties.pool import Pool, cores
from parties.seeds import seed_in_words
from parties.telling import FirstContact, contact_of, give_way, others_told
from parties.together import trained_together
from parties.unfinished.checkpoints import Checkpoints, Held
from parties.unfinished.fingerprint import origin_of
from parties.watch.watching import Watch, watching
from vsplit.kernels import engine
from vsplit.protocol import Note, Role, VsplitError

R = TypeVar("R")

ALONE = "training alone"


def live(party: Party, identity: PrivateIdentity, show: Show, *, restart: bool = False) -> Finished:
    """Live one party's life; returns what to tell the people at home. Raises VsplitError.

    Where a run was broken off the life goes on with it, unless `restart` is given: then what was kept of it is discarded,
    once all parties begin afresh.
    """
    contact = contact_of(party, identity)
    give_way(contact)
    with others_told(lambda: contact, show) as first, watching(party, show) as watch:
        finished = _live(party, identity, watch, first, restart)
        watch.logbook.show(finished)
        return finished


def _live(party: Party, identity: PrivateIdentity, watch: Watch, first: FirstContact, restart: bool) -> Finished:
    keep_freed_memory()
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
    with (
        Checkpoints(party.output, origin_of(home), said.append) as kept,
        own_ledger(kept, folder, about_of(party, identity)) as ledger,
        Pool(cores()) as pool,
    ):
        life = Life(party, identity, watch, home, folder, kept, ledger, pool, secret, first, said=said)
        life.continued = ledger.tells_of_sessions
        if sentence := seed_in_words(party):
            life.say(sentence)
        held = Held(restart=True) if restart else _held(kept, folder.finished_run())
        life.run = held.run
        if held.over:  # and the others need nothing of this party
            first.end()
        if held.over and held.finished == held.run:
            return Finished([_had_ended(party, ""), *_clear_up(life)])
        trained = trained_together(life, held)
        if trained is None:  # another party had still to finish it, and needed nothing of this one
            return Finished([_had_ended(party, " Another party had still to finish it, and does."), *_clear_up(life)])
        finished = _leave(life, trained)
        if life.over or held.over:
            finished.lines.extend(_clear_up(life))
        return finished


def _held(kept: Checkpoints, finished: str) -> Held:
    """What this party begins with; `finished` names the run whose results stand in the run folder, empty: none do."""
    held = replace(kept.look(finished), finished=bytes.fromhex(finished))
    if held.run and held.run == held.finished and not held.over:
        # This party lacks nothing and holds its part ready for the others, who may begin a new run all the same.
        return replace(held, agreed=False)
    return held


def _had_ended(party: Party, more: str) -> str:
    return f"The run had come to its end already: {party.output} is whole.{more}"


def _clear_up(life: Life) -> list[str]:
    """Nobody needs what was kept any more; returns what to tell where it cannot be taken away.

    That it is so goes last, so that clearing up can be broken off as well. The ledger stays where the run folder does not
    tell all of it: what has left has left.
    """
    ledger, finished = life.ledger.path, life.folder.path / IN_RUN_FOLDER
    lines = []
    try:
        closed = life.ledger.close()
        if closed is None or told_in_run_folder(life.folder, ledger, about_of(life.party, life.identity)):
            life.ledger.discard()
        else:
            lines.append(
                f"What crossed after the end of the run is on record in {ledger}, which cannot be added to {finished} and "
                "stays where it is: whoever has to account for the run needs both."
            )
    except (OSError, VsplitError):
        return [
            f"What crossed after the end of the run is on record in {ledger}, which could not be added to {finished} and taken "
            "away; nothing is lost, and the next command tries it again."
        ]
    try:
        life.kept.discard_run(life.run)
    except VsplitError:
        lines.append(
            f"What was kept of the run in {life.kept.folder} could not be taken away; nobody needs it any more, and the next "
            "command tries it again."
        )
    return lines


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
