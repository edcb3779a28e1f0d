"""One party's life, from its data at home to its run folder. Both roles live it in the same order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from parties.checkpoints.fingerprint import origin_of
from parties.checkpoints.folder import CheckpointFolder, LocalState
from parties.config.party import Party
from parties.config.seed_warning import seed_warning
from parties.data.party_data import read_party_data
from parties.ledger.exchange import IN_RUN_FOLDER, about_of, recorded_traffic
from parties.local.allocator import keep_freed_memory
from parties.monitoring.events import READING, Finished, Show, Step
from parties.monitoring.monitor import Monitor, monitoring
from parties.network.driver import drive
from parties.network.identity import PrivateIdentity
from parties.network.memory import MemoryNetwork
from parties.network.worker_pool import Pool, cores
from parties.run import results
from parties.run.alignment import limits_of
from parties.run.common_order import order_secret
from parties.run.context import RunContext
from parties.run.failure_notice import FirstContact, contact_of, end_earlier_start, notifying_others
from parties.run.run_folder import RunFolder, check_output
from parties.run.run_ledger import own_ledger, told_in_run_folder
from parties.run.session import run_session
from parties.run.training import PreparedTraining, check_model, train_alone
from vsplit.kernels import engine
from vsplit.protocol import Note, Role, VsplitError

R = TypeVar("R")

ALONE = "training alone"


def run_party(party: Party, identity: PrivateIdentity, show: Show, *, restart: bool = False) -> Finished:
    """Live one party's life; returns what to tell the people at home. Raises VsplitError.

    Where a run was broken off the life goes on with it, unless `restart` is given: then what was kept of it is discarded,
    once all parties begin afresh.
    """
    contact = contact_of(party, identity)
    end_earlier_start(contact)
    with notifying_others(lambda: contact, show) as first, monitoring(party, show) as monitor:
        finished = _run(party, identity, monitor, first, restart)
        monitor.logbook.show(finished)
        return finished


def _run(party: Party, identity: PrivateIdentity, monitor: Monitor, first: FirstContact, restart: bool) -> Finished:
    keep_freed_memory()
    secret = order_secret(party)
    monitor.show(Step(READING))
    check_output(party)
    engine.check_demand()
    folder = RunFolder(party.output)
    folder.hold_configs(party)
    home = read_party_data(party)
    limits_of(party, len(home.keys.keys)).check_own(len(home.keys.keys))
    # A wrong device, package or bottom model is found before the others are met and anything has left.
    check_model(home)
    said: list[str] = []
    with (
        CheckpointFolder(party.output, origin_of(home), said.append) as checkpoints,
        own_ledger(checkpoints, folder, about_of(party, identity)) as ledger,
        Pool(cores()) as pool,
    ):
        context = RunContext(
            party, identity, monitor, home, folder, checkpoints, ledger, pool, secret, first, said=said
        )
        context.continued = ledger.tells_of_sessions
        if sentence := seed_warning(party):
            context.say(sentence)
        local = LocalState(restart=True) if restart else _local_state(checkpoints, folder.finished_run())
        context.run = local.run
        if local.over:  # and the others need nothing of this party
            first.end()
        if local.over and local.finished == local.run:
            return Finished([_had_ended(party, ""), *_clear_up(context)])
        trained = run_session(context, local)
        if trained is None:  # another party had still to finish it, and needed nothing of this one
            return Finished(
                [_had_ended(party, " Another party had still to finish it, and does."), *_clear_up(context)]
            )
        finished = _write_results(context, trained)
        if context.over or local.over:
            finished.lines.extend(_clear_up(context))
        return finished


def _local_state(checkpoints: CheckpointFolder, finished: str) -> LocalState:
    """What this party begins with; `finished` names the run whose results stand in the run folder, empty: none do."""
    local = replace(checkpoints.look(finished), finished=bytes.fromhex(finished))
    if local.run and local.run == local.finished and not local.over:
        # This party lacks nothing and holds its part ready for the others, who may begin a new run all the same.
        return replace(local, agreed=False)
    return local


def _had_ended(party: Party, more: str) -> str:
    return f"The run had come to its end already: {party.output} is whole.{more}"


def _clear_up(context: RunContext) -> list[str]:
    """Nobody needs what was kept any more; returns what to tell where it cannot be taken away.

    That it is so goes last, so that clearing up can be broken off as well. The ledger stays where the run folder does not
    tell all of it: what has left has left.
    """
    ledger, finished = context.ledger.path, context.folder.path / IN_RUN_FOLDER
    lines = []
    try:
        closed = context.ledger.close()
        if closed is None or told_in_run_folder(context.folder, ledger, about_of(context.party, context.identity)):
            context.ledger.discard()
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
        context.checkpoints.discard_run(context.run)
    except VsplitError:
        lines.append(
            f"What was kept of the run in {context.checkpoints.folder} could not be taken away; nobody needs it any more, and "
            "the next command tries it again."
        )
    return lines


def _write_results(context: RunContext, trained: PreparedTraining) -> Finished:
    agreed, timeline, ledger = context.agreed_on(), context.timeline, context.ledger.close()
    run = results.RunRecord(
        datetime.fromisoformat(agreed.started),
        context.run.hex(),
        context.session,
        recorded_traffic(context.ledger.path) if context.continued else context.monitor.traffic,
        timeline.epoch_seconds,
        context.farewell,
        agreed.hints,
        timeline.resumed,
        context.said,
        ledger,
    )
    if context.party.role == "feature":
        return results.write_feature_results(context.party_data, context.folder, agreed.aligned, trained, run)
    context.show(Step(ALONE))
    alone, lacking = (
        None,
        f"{context.party.name}'s model alone diverged in training, so there is nothing to compare with.",
    )
    try:
        alone = train_alone(context.party_data, trained, agreed.seed, lambda role: _drive_alone(context, role))
    except KeyboardInterrupt:  # the joint model is whole, and must not be lost for want of a comparison
        lacking = f"The training of {context.party.name} alone was interrupted, so there is nothing to compare with."
    context.show(Step("judging"))
    return results.write_label_results(
        context.party_data, context.folder, agreed.aligned, trained, run, alone=alone, lacking=lacking
    )


def _drive_alone(context: RunContext, role: Role[R]) -> R:
    """Run a role that speaks to nobody, on a network of one."""
    endpoint = MemoryNetwork([context.party.name]).endpoint(context.party.name)

    def note(note: Note) -> None:
        context.show(Step(ALONE, note.done, note.total, note.text))

    return drive(role, endpoint, context.pool, note=note)
