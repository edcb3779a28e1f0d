"""What a party lives through with the others: they meet, agree from where to begin, align, train, and take leave.

Each step that must not be lost or done twice is kept before the next one begins (`parties.unfinished.checkpoints`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from parties.aligning import align
from parties.driver import drive
from parties.events import Step
from parties.hints import find_causes
from parties.learning import Trained, prepare, private_seed, train
from parties.ledger.agreeing import IN_RUN_FOLDER, agree_keys, exchange_heads
from parties.ledger.record import FINISHED
from parties.living import Life
from parties.meeting import agree_on_seals, connect, greet
from parties.network.tls import TlsTransport
from parties.network.transport import stop_word
from parties.partners import count_meeting
from parties.shared import share_rows
from parties.unfinished.checkpoints import Held
from parties.unfinished.committing import (
    Agreed,
    Story,
    go_on_from_step,
    keep_step,
    kept_alignment,
    kept_final,
    offer_alignment,
    offer_final,
)
from parties.unfinished.due import Due
from parties.unfinished.resuming import (
    RUN,
    Start,
    What,
    agree_on_start_feature,
    agree_on_start_label,
    all_keep_feature,
    all_keep_label,
)
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


def trained_together(life: Life, held: Held) -> Trained | None:
    """This party's part of the run, to the end of the farewell. `held` is what it begins with.

    A party that has its outcome already goes on without the others where they do not come. None: the run is over, and this
    party has finished it. Raises VsplitError.
    """
    if held.over:
        return outcome_at_home(life)
    try:
        session, start = _meet(life, held)
    except (TransportError, StoppedError, MismatchError) as error:
        if not held.final or held.finished == held.run:
            if isinstance(error, PeerAbsent) and held.finished and not held.run:
                raise PeerAbsent(error.peer, f"{error} {_has_finished(life)}") from None
            raise
        life.first.end()
        life.say(
            f"{error} This party's training is whole, so it ends without the others. What they may still need of it stays in "
            f"{life.kept.folder}."
        )
        return outcome_at_home(life)
    if start.over:
        return _end_what_is_over(life, session, start, held)
    with _stopping(life, session.transport):
        trained = _with_the_others(life, session, start)
    _take_leave(life, session)
    return trained


def _has_finished(life: Life) -> str:
    return (
        f"This party has finished its last run, whose results in {life.party.output} stay as they are, and needs no further "
        "command for it; a new run needs all parties."
    )


def _end_what_is_over(life: Life, session: _Session, start: Start, held: Held) -> Trained | None:
    """Every party has the outcome of this run, so that each ends it by itself, or has done so."""
    _take_leave(life, session)
    life.run = start.run
    if held.finished == start.run:
        return None
    life.over = True
    life.say("The other parties have finished this run already, so this party ends it by itself.")
    return outcome_at_home(life)


def _take_leave(life: Life, session: _Session) -> None:
    life.farewell = session.transport.finish()
    life.watch.parted()
    life.ledger.end_session(FINISHED)


def outcome_at_home(life: Life) -> Trained:
    """The outcome as this party has kept it."""
    _take_up(life, kept_alignment(life.kept))
    trained, life.story, changes = kept_final(life.kept, _prepared(life))
    life.went_on(trained.state.step, changes)
    return trained


class _Session:
    """A session with the others over a transport."""

    def __init__(self, life: Life, transport: TlsTransport) -> None:
        self.transport = transport
        self._life = life

    def run(self, role: Role[R]) -> R:
        """Run a role to its end."""
        life = self._life
        watch = life.watch
        return drive(
            role,
            self.transport,
            life.pool,
            traffic=watch.traffic,
            ledger=life.ledger,
            note=life.note,
            checkpoint=self._keep,
            waited=watch.waited,
        )

    def _keep(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.state
        if not isinstance(state, FeatureState | LabelState):
            raise TypeError("a training hands out its own state")
        with self._life.watch.keeping(checkpoint.step):
            keep_step(self._life.kept, self._life.run, state, self._life.story_until_now())
        self.sign()

    def sign(self, *, final: bool = False) -> None:
        """All parties are here at once, and nothing is under way: each signs what is on record; `final` after the training."""
        exchange_heads(self._life.ledger, self._life.party, self.run, final=final)


@contextlib.contextmanager
def _stopping(life: Life, transport: TlsTransport) -> Iterator[None]:
    """Whatever ends this party's life in here, the others are told in a word, with which the ledger's session ends."""
    try:
        yield
    except BaseException as error:
        word = stop_word(error)
        transport.stop(word)
        with contextlib.suppress(VsplitError):  # a ledger that cannot be written has ended this life
            life.ledger.end_session(word)
        raise


def _meet(life: Life, held: Held) -> tuple[_Session, Start]:
    party, job = life.party, life.party.job
    session = _Session(life, connect(party, life.identity, life.watch, life.first))
    life.session = session.transport.session.hex()
    with _stopping(life, session.transport):
        if life.ledger.has_session(session.transport.session):
            raise ProtocolError(
                job.label_party,
                f"{job.label_party} gave this session the name of an earlier one; its program is another version or does not "
                "follow the protocol, so ask there.",
            )
        life.ledger.begin_session(session.transport.session)
        session.transport.add_observer(life.ledger)
        greet(party, "run", session.run)
        agree_keys(life.ledger, party, session.run)
        if party.role == "label":
            start = session.run(agree_on_start_label(party.name, job.feature_parties, held, os.urandom(RUN)))
        else:
            start = session.run(agree_on_start_feature(party.name, job.label_party, list(job.parties), held))
    return session, start


def _with_the_others(life: Life, session: _Session, start: Start) -> Trained:
    party = life.party
    if start.step is None:  # lists will be compared
        count_meeting(party, "run", datetime.now(UTC))
    seals = agree_on_seals(party, life.identity, "run", session.transport.session, session.run)
    life.run = start.run
    if start.step is not None:
        _take_ledger_along(life)
    begun = _begin(life, session, seals) if start.step is None else _go_on(life, start.step)
    if start.final:
        trained, life.story, changes = kept_final(life.kept, begun)
        life.went_on(trained.state.step, changes)
    else:
        life.kept.begin_at(begun.state.step)
        trained = _train(life, session, begun, seals)
        offer_final(life.kept, life.run, trained, life.story_until_now())
    session.sign(final=True)
    _all_keep(life, session, "final")
    life.kept.agree_on_final()
    life.over = True
    return trained


def _take_ledger_along(life: Life) -> None:
    """Where the run that goes on has finished here, its ledger does so as well: a copy, since that run's folder is whole."""
    older = life.folder.path / IN_RUN_FOLDER
    if life.folder.finished_run() == life.run.hex() and older.exists() and life.ledger.put_behind(older):
        life.continued = True


def _begin(life: Life, session: _Session, seals: Mapping[str, Seal]) -> Trained:
    """Align with fresh keys; what all parties then have on their disks is never done again."""
    party, home = life.party, life.home
    aligned = align(home, seals, life.order_secret, session.run)
    hints = find_causes(party, home.keys.keys, home.keys.report, aligned, session.run)
    try:
        check_match(aligned.matched, party.settings.accept.min_records or 1, _others(life), hints)
        check_agreed(aligned)
    except VsplitError:
        # All parties find the same here, each by itself. So they take leave, and none is told that another one stopped.
        session.transport.finish()
        raise
    life.show(Step("preparing the shared records", text=f"{aligned.matched:,} in common"))
    shared = share_rows(home, aligned, life.order_secret, session.run)
    secret = life.order_secret if party.role == "label" else b""
    agreed = Agreed(aligned, shared, hints, private_seed(home), secret, life.story.started)
    _take_up(life, agreed)
    begun = _prepared(life)
    discarded = life.kept.discard()
    if discarded:
        life.say(f"A new run has begun, and of the one before, this was discarded: {', '.join(discarded)}.")
    offer_alignment(life.kept, life.run, agreed)
    _all_keep(life, session, "alignment")
    life.kept.agree_on_alignment()
    session.sign()
    return begun


def _go_on(life: Life, step: int) -> Trained:
    """Go on from what all parties hold: the alignment, and the states after `step` steps, if that is not 0."""
    _take_up(life, kept_alignment(life.kept))
    life.kept.agree_on_alignment()
    begun = _prepared(life)
    changes: list[str] = []
    if step:
        life.story, changes = go_on_from_step(life.kept, step, begun)
    life.went_on(step, changes)
    return begun


def _take_up(life: Life, agreed: Agreed) -> None:
    life.agreed = agreed
    life.story = Story(agreed.started)
    if life.party.role == "label":
        life.folder.hold("order.secret", agreed.order_secret)


def _prepared(life: Life) -> Trained:
    agreed = life.agreed_on()
    life.show(Step("preparing the shared records", text=f"{agreed.aligned.matched:,} in common"))
    return prepare(life.home, agreed.shared, agreed.seed)


def _train(life: Life, session: _Session, begun: Trained, seals: Mapping[str, Seal]) -> Trained:
    state, settings = begun.state, life.party.job.train
    life.begin_training(state.progress.epoch)
    life.watch.training(state, len(begun.split.train), begun.plan.batch_size)
    due = Due(settings.checkpoint.steps, settings.checkpoint.seconds, begin=state.step)
    return train(life.home, begun, session.run, run_name=life.run, seals=seals, due=due)


def _all_keep(life: Life, session: _Session, what: What) -> None:
    job = life.party.job
    role: Role[Any] = (
        all_keep_label(job.feature_parties, what)
        if life.party.role == "label"
        else all_keep_feature(job.label_party, what)
    )
    session.run(role)


def _others(life: Life) -> str:
    *first, last = (name for name in life.party.job.parties if name != life.party.name)
    return f"all others ({', '.join(first)} and {last})" if first else last
