"""One party's run, from its data to its run folder. `_Run.steps` reads as its steps, each of which is a module here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from parties.checkpoints.fingerprint import origin_of
from parties.checkpoints.folder import CheckpointFolder
from parties.checkpoints.local_state import LocalState
from parties.checkpoints.snapshots import AlignedRun, RunTimeline, stored_alignment
from parties.checkpoints.start_decision import Start
from parties.config.local_model import LocalModel
from parties.config.party import Party
from parties.config.party_names import PartyNames
from parties.config.quota_settings import QuotaSettings
from parties.config.seed_warning import seed_warning
from parties.data.party_data import PartyData
from parties.ledger.exchange import about_of, recorded_traffic
from parties.monitoring.events import Finished, Show
from parties.monitoring.monitor import Monitor, monitoring
from parties.network.identity import PrivateIdentity
from parties.network.worker_pool import Pool, cores
from parties.run.alignment import align_records, show_preparing
from parties.run.connection import connect
from parties.run.contact import Contact, contact_of
from parties.run.context import RunContext
from parties.run.evaluation import evaluate
from parties.run.failure_notice import FirstContact, end_earlier_start, notifying_others
from parties.run.handshake import exchange_handshakes
from parties.run.loading import load
from parties.run.outcome import Outcome
from parties.run.preparation import PreparedTraining, prepare, private_seed
from parties.run.quotas import count_run
from parties.run.results import write_results
from parties.run.run_files import RunFiles, clear_up, open_files
from parties.run.run_ledger import continue_ledger
from parties.run.seals import agree_on_seals
from parties.run.session import Session
from parties.run.start import agree_on_start, local_state
from parties.run.storage import confirm_outcome, offer_outcome, restore_outcome, restore_training, store_alignment
from parties.run.training import train_with_checkpoints
from vsplit.protocol import MismatchError, PeerAbsent, StoppedError, TransportError, VsplitError
from vsplit.sealing import Seal


def run_party(party: Party, identity: PrivateIdentity, show: Show, *, restart: bool = False) -> Finished:
    """Run one party to the end; returns what its operator is shown. Raises VsplitError.

    An interrupted run is resumed, unless `restart` is given: then what is stored of it is discarded, once all parties
    start from the beginning.
    """
    contact = contact_of(party, identity)
    end_earlier_start(contact)
    with notifying_others(lambda: contact, show) as first, monitoring(party, show) as monitor:
        with _opened(party, contact, first, monitor) as run:
            finished = run.steps(restart)
        monitor.logbook.show(finished)
        return finished


@contextlib.contextmanager
def _opened(party: Party, contact: Contact, first: FirstContact, monitor: Monitor) -> Iterator[_Run]:
    names, model = PartyNames.of(party.job, party.name), LocalModel.of(party)
    party_data, folder, order_secret = load(party, model, monitor.show)
    context, about = RunContext(monitor), about_of(party.job, party.name, contact.identity)
    origin = origin_of(party.name, party.job_file, model, party_data)
    checkpoints = CheckpointFolder(party.output, origin, context.sentences.append)
    with open_files(folder, checkpoints, about) as files, Pool(cores()) as pool:
        yield _Run(party, names, model, contact, first, party_data, order_secret, files, pool, context)


@dataclass(frozen=True, slots=True)
class _Run:
    """What is open during a run. It stays in this module: each step is handed the part that it needs."""

    party: Party
    names: PartyNames
    model: LocalModel
    contact: Contact
    first: FirstContact
    party_data: PartyData
    order_secret: bytes = field(repr=False)
    files: RunFiles
    pool: Pool
    context: RunContext

    def steps(self, restart: bool) -> Finished:
        """The steps of a run, in order."""
        party, names, job, context = self.party, self.names, self.party.job, self.context
        checkpoints, local = self.files.checkpoints, self._local_state(restart)
        if local.finished_by_all:
            return self._finish_locally(local)
        try:
            transport = connect(self.contact, party.settings.wait, context.monitor, self.first)
            session = Session(transport, names, self.files.ledger, self.pool, context)
            with session.stopping():
                session.begin_record()
                exchange_handshakes(names, job, "run", session.run)
                session.agree_on_ledger_keys()
                start = agree_on_start(names, local, session.run)
        except (TransportError, StoppedError, MismatchError) as error:
            return self._finish_without_others(error, local)
        if start.finished_by_all:
            return self._finish_after_others(session, start, local)
        with session.stopping():
            if start.step is None:  # the lists of keys are going to be compared
                count_run(QuotaSettings.of(party), "run", datetime.now(UTC))
            seals = agree_on_seals(names, job, self.contact.identity, "run", session.name, session.run)
            context.run = start.run
            aligned = self._align(session, seals) if start.step is None else self._load_alignment()
            prepared = self._prepare(aligned)
            if start.step is None:
                store_alignment(names, checkpoints, aligned, session, context)
            else:
                restore_training(checkpoints, start.step, prepared, context)
            trained = self._restore_outcome(prepared) if start.final else self._train(session, seals, prepared)
            confirm_outcome(names, checkpoints, session, context)
        session.close()
        return self._write(self._evaluate(aligned, trained))

    def _local_state(self, restart: bool) -> LocalState:
        if warning := seed_warning(self.party):
            self.context.say(warning)
        local = local_state(self.files.checkpoints, self.files.folder.finished_run(), restart=restart)
        self.context.run = local.run
        return local

    def _align(self, session: Session, seals: Mapping[str, Seal]) -> AlignedRun:
        return align_records(
            self.names,
            self.party.job,
            self.party.settings.accept,
            self.party_data,
            self.order_secret,
            seals,
            session,
            self.context,
            private_seed(self.model.seed),
        )

    def _load_alignment(self) -> AlignedRun:
        continue_ledger(self.files.ledger, self.files.folder, self.context.run)
        aligned = stored_alignment(self.files.checkpoints)
        self.files.checkpoints.confirm_alignment()
        return aligned

    def _prepare(self, aligned: AlignedRun) -> PreparedTraining:
        self.context.timeline = RunTimeline(aligned.started)
        if self.names.is_label:
            self.files.folder.collect("order.secret", aligned.order_secret)
        show_preparing(self.context, aligned.aligned)
        return prepare(self.names, self.party.job, self.party_data, self.model, aligned.shared, aligned.seed)

    def _train(self, session: Session, seals: Mapping[str, Seal], prepared: PreparedTraining) -> PreparedTraining:
        settings, device = self.party.job.train, self.model.device
        trained = train_with_checkpoints(
            self.names, settings, prepared, device, seals, self.files.checkpoints, session, self.context
        )
        offer_outcome(self.files.checkpoints, trained, self.context)
        return trained

    def _restore_outcome(self, prepared: PreparedTraining) -> PreparedTraining:
        return restore_outcome(self.files.checkpoints, prepared, self.context)

    def _evaluate(self, aligned: AlignedRun, trained: PreparedTraining) -> Outcome:
        context, closed = self.context, self.files.ledger.close()
        has_earlier = self.files.ledger.has_sessions_besides(context.session)
        traffic = recorded_traffic(self.files.ledger.path) if has_earlier else context.monitor.traffic
        evaluation = None
        if self.names.is_label:
            evaluation = evaluate(self.names.me, self.party_data, trained, self.model, aligned.seed, context, self.pool)
        return Outcome(aligned, trained, evaluation, traffic, closed)

    def _write(self, outcome: Outcome) -> Finished:
        finished = write_results(
            self.names,
            self.party.job,
            self.model.bottom,
            self.party_data,
            outcome,
            self.files.folder,
            self.context,
            seed_warning=seed_warning(self.party),
        )
        if self.context.finished_by_all:
            finished.lines.extend(self._clear_up())
        return finished

    # --- a run that needs no more training ----------------------------------------------------------------------------

    def _finish_locally(self, local: LocalState) -> Finished:
        """All parties have their outcomes: write this one's results, unless that is done."""
        self.first.end()  # no other party needs this one
        self.context.finished_by_all = True
        return self._already_finished("") if local.finished == local.run else self._write_stored_outcome()

    def _finish_without_others(self, error: VsplitError, local: LocalState) -> Finished:
        """Write the results where this party's training is complete; otherwise raise `error`."""
        if not local.final or local.finished == local.run:
            if isinstance(error, PeerAbsent) and local.finished and not local.run:
                raise PeerAbsent(
                    error.peer,
                    f"{error} This party has finished its last run, whose results in {self.files.folder.path} stay as they "
                    "are, and needs no further command for it; a new run needs all parties.",
                ) from None
            raise error
        self.first.end()
        self.context.say(
            f"{error} This party's training is complete, so it finishes without the other parties. What they may still "
            f"need of it stays in {self.files.checkpoints.folder}."
        )
        return self._write_stored_outcome()

    def _finish_after_others(self, session: Session, start: Start, local: LocalState) -> Finished:
        """Every other party has its outcome or has finished the run; so does this one."""
        session.close()
        self.context.run = start.run
        if local.finished == start.run:
            return self._already_finished(" Another party had not finished it yet, and does so now.")
        self.context.finished_by_all = True
        self.context.say("The other parties have finished this run already, so this party finishes it alone.")
        return self._write_stored_outcome()

    def _write_stored_outcome(self) -> Finished:
        aligned = stored_alignment(self.files.checkpoints)
        return self._write(self._evaluate(aligned, self._restore_outcome(self._prepare(aligned))))

    def _already_finished(self, more: str) -> Finished:
        sentence = f"The run has finished already: {self.party.output} is complete.{more}"
        return Finished([sentence, *self._clear_up()])

    def _clear_up(self) -> list[str]:
        return clear_up(self.files, self.context.run)
