"""One party's part in `vsplit predict`. `_Prediction.steps` reads as the steps of SPEC.md, section 9."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from parties.config.scoring_settings import ScoringSettings
from parties.ledger.exchange import IN_RUN_FOLDER, about_of
from parties.ledger.merging import RunLedger
from parties.local.text import listed
from parties.monitoring.events import READING, Finished, Step
from parties.monitoring.monitor import Monitor
from parties.network.stop_reasons import reason_code
from parties.network.tls import TlsTransport
from parties.network.worker_pool import Pool, cores
from parties.run.alignment import match_records
from parties.run.connection import connect
from parties.run.contact import Contact
from parties.run.context import RunContext
from parties.run.failure_notice import FirstContact
from parties.run.handshake import exchange_handshakes
from parties.run.limits import limits_of
from parties.run.model_choice import agree_on_model
from parties.run.seals import agree_on_seals
from parties.run.session import Session
from parties.run.storage import confirm_stored
from parties.scoring.finished_model import FinishedModel, load_finished
from parties.scoring.folder import SCORES, PredictionFolder
from parties.scoring.models import score_rows, send_embeddings
from parties.scoring.records import Records, read_records
from parties.scoring.scores import Scores, scores_table, write_scores
from psi import ORDER_SECRET, Alignment, Limits, check_agreed, check_match
from vsplit import __version__
from vsplit.kernels import engine
from vsplit.protocol import ConfigError, ProtocolError, RefusedError, VsplitError
from vsplit.sealing import Seal

Count = Callable[[int], None]
"""Counts a prediction of so many records, or raises RefusedError where they are too many or too few."""


def predict_party(
    settings: ScoringSettings, contact: Contact, first: FirstContact, monitor: Monitor, count: Count
) -> Finished:
    """Run one party's part of a prediction; returns what its operator is shown. Raises VsplitError."""
    engine.check_demand()
    monitor.show(Step(READING))
    model, records = load_both(settings)
    own = len(records.keys.keys)
    limits = limits_of(settings.accept, own)
    limits.check_own(own)
    _check_missing(settings, model, records)
    with Pool(cores()) as pool:
        transport = connect(contact, settings.wait, monitor, first)
        with _opened(settings, contact, transport) as (folder, ledger):
            session = Session(transport, settings.names, ledger, pool, RunContext(monitor))
            return _Prediction(settings, contact, model, records, limits, folder, ledger, session).steps(count)


def load_both(settings: ScoringSettings) -> tuple[FinishedModel, Records]:
    """The model of the finished run and the records to score. Raises what `load_finished` and `read_records` do."""
    model = load_finished(settings.run_folder, settings.names, settings.job, settings.model)
    uses_images = bool((model.part.description["bottom"] or {}).get("image"))
    records = read_records(
        settings.source, settings.names, settings.job.align, model.part.preparation, uses_images=uses_images
    )
    return model, records


def _check_missing(settings: ScoringSettings, model: FinishedModel, records: Records) -> None:
    """Raise what can be known before the other parties are connected."""
    if not settings.names.is_label:
        return
    if settings.missing == "fallback" and not model.has_fallback:
        raise ConfigError(
            f"The run in {model.folder} has no model of {settings.names.me} alone, which would score the records that other "
            "parties do not know. Give --missing refuse, or train again with this version."
        )
    without = records.table.rows - len(records.keys.rows)
    if settings.missing == "refuse" and without:
        raise RefusedError(
            f"In {records.table.where}, {without:,} row(s) have no usable key, so other parties cannot know them, and "
            "--missing refuse scores all rows with all parties or none. Correct or remove these rows, or give "
            "--missing fallback."
        )


@contextmanager
def _opened(
    settings: ScoringSettings, contact: Contact, transport: TlsTransport
) -> Iterator[tuple[PredictionFolder, RunLedger]]:
    """The folder of this prediction, and its ledger. Where one cannot be opened, the other parties are notified."""
    about = about_of(settings.job, settings.names.me, contact.identity)
    try:
        folder = PredictionFolder.create(settings.run_folder, datetime.now(UTC), transport.session)
        opened = RunLedger.open(folder.path / IN_RUN_FOLDER, about)
    except BaseException as error:
        transport.stop(reason_code(error))
        raise
    with opened as ledger:
        yield folder, ledger


@dataclass(frozen=True, slots=True)
class _Prediction:
    """What is open during a prediction."""

    settings: ScoringSettings
    contact: Contact
    model: FinishedModel
    records: Records
    limits: Limits
    folder: PredictionFolder
    ledger: RunLedger
    session: Session

    def steps(self, count: Count) -> Finished:
        """The steps of a prediction, in order."""
        names, job, session = self.settings.names, self.settings.job, self.session
        started = datetime.now(UTC)
        file: Path | None = None
        lines: list[str] = []
        with session.stopping():
            session.begin_record()
            exchange_handshakes(names, job, "predict", session.run)
            session.agree_on_ledger_keys()
            asked = agree_on_model(names, self.model.run, len(self.records.keys.keys), session.run)
            count(asked)  # the lists of keys are going to be compared
            seals = agree_on_seals(names, job, self.contact.identity, "predict", session.name, session.run)
            aligned = self._align(seals, asked)
            if names.is_label:
                file, lines = self._score(aligned)
            elif aligned.matched:
                lines = self._send(aligned, seals)
            session.sign(final=True)
            confirm_stored(names, "final", session.run)
        session.close()
        self.ledger.close()
        self.folder.write_summary(self._summary(aligned, started, file))
        return Finished([*self._matched(aligned), *lines, f"The record of this prediction is in {self.folder.path}."])

    def _align(self, seals: Mapping[str, Seal], asked: int) -> Alignment:
        """The records that all parties know. Raises where a party asks for more of them, before any embedding is sent."""
        names, session = self.settings.names, self.session
        aligned = match_records(
            names, self.records.keys.keys, seals, os.urandom(ORDER_SECRET), self.limits, session.run
        )
        if not names.is_label and aligned.peer_records[names.label_party] != asked:
            raise ProtocolError(
                names.label_party,
                f"{names.label_party} asked for scores of {asked:,} records and brought a list of "
                f"{aligned.peer_records[names.label_party]:,}; it does not follow the protocol, so ask there.",
            )
        if not aligned.matched:  # no embedding crosses, and the label party's own model scores all
            return aligned
        try:
            check_match(aligned.matched, self.limits.min_records, listed(names.others))
            check_agreed(aligned)
        except VsplitError:
            session.transport.finish()
            raise
        return aligned

    def _send(self, aligned: Alignment, seals: Mapping[str, Seal]) -> list[str]:
        rows = self.records.keys.rows[aligned.positions]
        store = self.records.store(rows, self.model.device)
        clipped = send_embeddings(self.settings.names, self.model, store, seals, self.session)
        return [f"{clipped:,} values were clipped for the secure sum."] if clipped else []

    def _score(self, aligned: Alignment) -> tuple[Path, list[str]]:
        """Score all rows and write the file, before the other parties learn that this one has what it needs."""
        settings, table, names = self.settings, self.records.table, self.settings.names
        if settings.missing == "refuse" and aligned.matched < len(self.records.keys.keys):
            raise RefusedError(
                f"{listed(names.others)} {'knows' if len(names.others) == 1 else 'all know'} {aligned.matched:,} of "
                f"{len(self.records.keys.keys):,} records, and --missing refuse scores all records with all parties or none. "
                "Remove the others, or give --missing fallback."
            )
        scores = score_rows(names, self.model, self.records, aligned, self.session)
        description = self.model.part.description
        found = scores_table(
            table,
            scores,
            description["top"]["task"],
            self.model.classes,
            names.all,
            names.me,
            self.model.run.hex(),
            settings.job.job,
        )
        file = settings.out or self.folder.path / SCORES
        write_scores(found, file)
        return file, [*_in_words(names.me, scores), f"scores {file}"]

    def _matched(self, aligned: Alignment) -> list[str]:
        return [f"{aligned.matched:,} records are known to {listed(self.settings.names.all)}."]

    def _summary(self, aligned: Alignment, started: datetime, file: Path | None) -> dict[str, object]:
        """What predict.json has."""
        names, report = self.settings.names, self.records.keys.report
        return {
            "format": 1,
            "job": self.settings.job.job,
            "party": names.me,
            "role": names.role,
            "model": self.model.run.hex(),
            "run_folder": str(self.settings.run_folder),
            "session": self.session.name.hex(),
            "started": started.isoformat(timespec="seconds"),
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": __version__,
            "records": {
                "rows": report.rows,
                "usable": len(self.records.keys.keys),
                "matched": aligned.matched,
                "lists": dict(aligned.peer_records),
            },
            "scores": None if file is None else str(file),
        }


def _in_words(me: str, scores: Scores) -> list[str]:
    joint, rows = int(np.count_nonzero(scores.joint)), len(scores.joint)
    lines = [f"{joint:,} of {rows:,} rows were scored by the joint model."]
    if joint < rows:
        lines.append(
            f"{rows - joint:,} rows were scored by the model of {me} alone, and are marked so in the column with."
        )
    return lines
