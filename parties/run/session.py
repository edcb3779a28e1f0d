"""What a party lives through with the others: they meet, agree from where to begin, align, train, and take leave.

Each step that must not be lost or done twice is kept before the next one begins (`parties.checkpoints.folder`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from parties.checkpoints.folder import LocalState
from parties.checkpoints.resuming import (
    RUN,
    Start,
    What,
    agree_on_start_feature,
    agree_on_start_label,
    all_keep_feature,
    all_keep_label,
)
from parties.checkpoints.schedule import CheckpointSchedule
from parties.checkpoints.snapshots import (
    AlignedRun,
    RunTimeline,
    offer_alignment,
    offer_final,
    restore_final,
    restore_step,
    store_step,
    stored_alignment,
)
from parties.data.aligned_rows import align_rows
from parties.ledger.exchange import IN_RUN_FOLDER, agree_keys, exchange_heads
from parties.ledger.record import FINISHED
from parties.monitoring.events import Step
from parties.network.driver import drive
from parties.network.stop_reasons import reason_code
from parties.network.tls import TlsTransport
from parties.run.alignment import align
from parties.run.connection import agree_on_seals, connect, exchange_handshakes
from parties.run.context import RunContext
from parties.run.mismatch_hints import find_causes
from parties.run.quotas import count_run
from parties.run.training import PreparedTraining, prepare, private_seed, train
from psi import check_agreed, check_match
from vsplit.learn.feature import FeatureState
from vsplit.learn.label import LabelState
from vsplit.protocol import (
    Checkpoint,
    MismatchError,
    PeerAbsent,
    ProtocolError,
    Role,
    StoppedError,
    TransportError,
    VsplitError,
)
from vsplit.sealing import Seal

R = TypeVar("R")


def run_session(context: RunContext, local: LocalState) -> PreparedTraining | None:
    """This party's part of the run, to the end of the farewell. `local` is what it begins with.

    A party that has its outcome already goes on without the others where they do not come. None: the run is over, and this
    party has finished it. Raises VsplitError.
    """
    if local.over:
        return local_outcome(context)
    try:
        session, start = _connect(context, local)
    except (TransportError, StoppedError, MismatchError) as error:
        if not local.final or local.finished == local.run:
            if isinstance(error, PeerAbsent) and local.finished and not local.run:
                raise PeerAbsent(error.peer, f"{error} {_has_finished(context)}") from None
            raise
        context.first.end()
        context.say(
            f"{error} This party's training is whole, so it ends without the others. What they may still need of it stays in "
            f"{context.checkpoints.folder}."
        )
        return local_outcome(context)
    if start.over:
        return _end_what_is_over(context, session, start, local)
    with _stopping(context, session.transport):
        trained = _with_the_others(context, session, start)
    _finish_session(context, session)
    return trained


def _has_finished(context: RunContext) -> str:
    return (
        f"This party has finished its last run, whose results in {context.party.output} stay as they are, and needs no further "
        "command for it; a new run needs all parties."
    )


def _end_what_is_over(
    context: RunContext, session: _Session, start: Start, local: LocalState
) -> PreparedTraining | None:
    """Every party has the outcome of this run, so that each ends it by itself, or has done so."""
    _finish_session(context, session)
    context.run = start.run
    if local.finished == start.run:
        return None
    context.over = True
    context.say("The other parties have finished this run already, so this party ends it by itself.")
    return local_outcome(context)


def _finish_session(context: RunContext, session: _Session) -> None:
    context.farewell = session.transport.finish()
    context.monitor.parted()
    context.ledger.end_session(FINISHED)


def local_outcome(context: RunContext) -> PreparedTraining:
    """The outcome as this party has kept it."""
    _adopt(context, stored_alignment(context.checkpoints))
    trained, changes = _stored_outcome(context, _prepared(context))
    context.resumed_from(trained.state.step, changes)
    return trained


def _stored_outcome(context: RunContext, prepared: PreparedTraining) -> tuple[PreparedTraining, list[str]]:
    joint, context.timeline, changes = restore_final(context.checkpoints, prepared.state)
    return replace(prepared, joint=joint), changes


class _Session:
    """A session with the others over a transport."""

    def __init__(self, context: RunContext, transport: TlsTransport) -> None:
        self.transport = transport
        self._context = context

    def run(self, role: Role[R]) -> R:
        """Run a role to its end."""
        context = self._context
        return drive(
            role,
            self.transport,
            context.pool,
            traffic=context.monitor.traffic,
            ledger=context.ledger,
            note=context.note,
            checkpoint=self._keep,
            waited=context.monitor.waited,
        )

    def _keep(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.state
        if not isinstance(state, FeatureState | LabelState):
            raise TypeError("a training hands out its own state")
        with self._context.monitor.keeping(checkpoint.step):
            store_step(self._context.checkpoints, self._context.run, state, self._context.timeline_until_now())
        self.sign()

    def sign(self, *, final: bool = False) -> None:
        """All parties are here at once, and nothing is under way: each signs what is on record; `final` after the training."""
        exchange_heads(self._context.ledger, self._context.party, self.run, final=final)


@contextlib.contextmanager
def _stopping(context: RunContext, transport: TlsTransport) -> Iterator[None]:
    """Whatever ends this party's life in here, the others are told in a word, with which the ledger's session ends."""
    try:
        yield
    except BaseException as error:
        word = reason_code(error)
        transport.stop(word)
        with contextlib.suppress(VsplitError):  # a ledger that cannot be written has ended this life
            context.ledger.end_session(word)
        raise


def _connect(context: RunContext, local: LocalState) -> tuple[_Session, Start]:
    party, job = context.party, context.party.job
    session = _Session(context, connect(party, context.identity, context.monitor, context.first))
    context.session = session.transport.session.hex()
    with _stopping(context, session.transport):
        if context.ledger.has_session(session.transport.session):
            raise ProtocolError(
                job.label_party,
                f"{job.label_party} gave this session the name of an earlier one; its program is another version or does not "
                "follow the protocol, so ask there.",
            )
        context.ledger.begin_session(session.transport.session)
        session.transport.add_observer(context.ledger)
        exchange_handshakes(party, "run", session.run)
        agree_keys(context.ledger, party, session.run)
        if party.role == "label":
            start = session.run(agree_on_start_label(party.name, job.feature_parties, local, os.urandom(RUN)))
        else:
            start = session.run(agree_on_start_feature(party.name, job.label_party, list(job.parties), local))
    return session, start


def _with_the_others(context: RunContext, session: _Session, start: Start) -> PreparedTraining:
    party = context.party
    if start.step is None:  # lists will be compared
        count_run(party, "run", datetime.now(UTC))
    seals = agree_on_seals(party, context.identity, "run", session.transport.session, session.run)
    context.run = start.run
    if start.step is not None:
        _take_ledger_along(context)
    prepared = _begin(context, session, seals) if start.step is None else _resume(context, start.step)
    if start.final:
        trained, changes = _stored_outcome(context, prepared)
        context.resumed_from(trained.state.step, changes)
    else:
        context.checkpoints.begin_at(prepared.state.step)
        trained = _train(context, session, prepared, seals)
        offer_final(context.checkpoints, context.run, trained.state, trained.joint, context.timeline_until_now())
    session.sign(final=True)
    _confirm_stored(context, session, "final")
    context.checkpoints.agree_on_final()
    context.over = True
    return trained


def _take_ledger_along(context: RunContext) -> None:
    """Where the run that goes on has finished here, its ledger does so as well: a copy, since that run's folder is whole."""
    older = context.folder.path / IN_RUN_FOLDER
    if context.folder.finished_run() == context.run.hex() and older.exists() and context.ledger.put_behind(older):
        context.continued = True


def _begin(context: RunContext, session: _Session, seals: Mapping[str, Seal]) -> PreparedTraining:
    """Align with fresh keys; what all parties then have on their disks is never done again."""
    party, party_data = context.party, context.party_data
    aligned = align(party_data, seals, context.order_secret, session.run)
    hints = find_causes(party, party_data.keys.keys, party_data.keys.report, aligned, session.run)
    try:
        check_match(aligned.matched, party.settings.accept.min_records or 1, _others(context), hints)
        check_agreed(aligned)
    except VsplitError:
        # All parties find the same here, each by itself. So they take leave, and none is told that another one stopped.
        session.transport.finish()
        raise
    context.show(Step("preparing the shared records", text=f"{aligned.matched:,} in common"))
    shared = align_rows(party_data, aligned, context.order_secret, session.run)
    secret = context.order_secret if party.role == "label" else b""
    agreed = AlignedRun(aligned, shared, hints, private_seed(party_data), secret, context.timeline.started)
    _adopt(context, agreed)
    prepared = _prepared(context)
    discarded = context.checkpoints.discard()
    if discarded:
        context.say(f"A new run has begun, and of the one before, this was discarded: {', '.join(discarded)}.")
    offer_alignment(context.checkpoints, context.run, agreed)
    _confirm_stored(context, session, "alignment")
    context.checkpoints.agree_on_alignment()
    session.sign()
    return prepared


def _resume(context: RunContext, step: int) -> PreparedTraining:
    """Go on from what all parties hold: the alignment, and the states after `step` steps, if that is not 0."""
    _adopt(context, stored_alignment(context.checkpoints))
    context.checkpoints.agree_on_alignment()
    prepared = _prepared(context)
    changes: list[str] = []
    if step:
        context.timeline, changes = restore_step(context.checkpoints, step, prepared.state)
    context.resumed_from(step, changes)
    return prepared


def _adopt(context: RunContext, agreed: AlignedRun) -> None:
    context.agreed = agreed
    context.timeline = RunTimeline(agreed.started)
    if context.party.role == "label":
        context.folder.hold("order.secret", agreed.order_secret)


def _prepared(context: RunContext) -> PreparedTraining:
    agreed = context.agreed_on()
    context.show(Step("preparing the shared records", text=f"{agreed.aligned.matched:,} in common"))
    return prepare(context.party_data, agreed.shared, agreed.seed)


def _train(
    context: RunContext, session: _Session, prepared: PreparedTraining, seals: Mapping[str, Seal]
) -> PreparedTraining:
    state, settings = prepared.state, context.party.job.train
    context.begin_training(state.progress.epoch)
    context.monitor.training(state, len(prepared.split.train), prepared.plan.batch_size)
    due = CheckpointSchedule(settings.checkpoint.steps, settings.checkpoint.seconds, begin=state.step)
    return train(context.party_data, prepared, session.run, run_name=context.run, seals=seals, due=due)


def _confirm_stored(context: RunContext, session: _Session, what: What) -> None:
    job = context.party.job
    role: Role[Any] = (
        all_keep_label(job.feature_parties, what)
        if context.party.role == "label"
        else all_keep_feature(job.label_party, what)
    )
    session.run(role)


def _others(context: RunContext) -> str:
    *first, last = (name for name in context.party.job.parties if name != context.party.name)
    return f"all others ({', '.join(first)} and {last})" if first else last
