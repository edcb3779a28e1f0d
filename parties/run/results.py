"""What a run leaves at home: metrics, predictions, the model part and the report."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import msgspec
import numpy as np

from parties.checkpoints.resuming import LocalStateOffer, StartDecision, StateKept, StateKeptByAll
from parties.checkpoints.snapshots import Resumed
from parties.config.job import Job
from parties.config.seed_warning import seed_warning
from parties.data.party_data import PartyData
from parties.ledger.exchange import IN_RUN_FOLDER
from parties.ledger.heads import LedgerHead, LedgerLastLine, LedgerSalt
from parties.ledger.ledger import Closed
from parties.monitoring.events import Finished
from parties.network.driver import Traffic
from parties.report import content as shown
from parties.report.page import render_report
from parties.run.evaluation import evaluate, headlines
from parties.run.handshake import Handshake
from parties.run.model_store import save_part
from parties.run.predictions import meanings_of, parquet_file, predictions_table
from parties.run.run_folder import FINISHED, RunFolder
from parties.run.training import PreparedTraining
from psi import Alignment, KeyShapes
from psi.messages import (
    Agreement,
    ListSize,
    ListSizes,
    MaskedByAll,
    MaskedKeys,
    MatchBits,
    MatchCount,
    MatchPositions,
    OwnPositions,
)
from psi.multiplicity import RowCounts
from vsplit import __version__
from vsplit.aggregation.attempt import AttemptNonce, AttemptNonces
from vsplit.aggregation.masked_sum import MaskedEmbedding
from vsplit.aggregation.paillier_sum import EncryptedSum, PaillierKey
from vsplit.aggregation.plain import Embedding
from vsplit.learn import runtime
from vsplit.learn.feature import FeatureState
from vsplit.learn.label import LabelState, Predictions
from vsplit.learn.messages import Gradient, Parts, Verdict
from vsplit.protocol import Message, VsplitError
from vsplit.sealing import FreshKeys, KeyProofs, Sealed

# Every kind of message that can cross, so that each has its line on what it reveals.
KINDS: tuple[type[Message], ...] = (
    Handshake,
    LedgerSalt,
    LedgerLastLine,
    LedgerHead,
    LocalStateOffer,
    StartDecision,
    StateKept,
    StateKeptByAll,
    FreshKeys,
    KeyProofs,
    Sealed,
    ListSize,
    ListSizes,
    MaskedKeys,
    MaskedByAll,
    MatchCount,
    Agreement,
    MatchBits,
    OwnPositions,
    MatchPositions,
    KeyShapes,
    RowCounts,
    Parts,
    AttemptNonce,
    AttemptNonces,
    PaillierKey,
    Embedding,
    MaskedEmbedding,
    EncryptedSum,
    Gradient,
    Verdict,
)
NO_MESSAGE = "nothing: bytes that were no message of the awaited kind ended the session"
# What a report with many rows of one record says besides, among what is not protected.
MANY_ROWS = (
    "Each feature party knows how many rows the label party has of each of the matched records. It is sent a gradient for "
    "each of these rows, in an order that says nothing; so it can read how many of a record's rows had which outcome."
)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What the life of a party knows of its run: when, its name, which session, what crossed, how long each epoch took.

    `hints` say why so few records may have matched, where few did; `resumed` where it went on after a stop; `said` is
    what people were told meanwhile.
    """

    started: datetime
    name: str
    session: str
    traffic: Traffic
    epoch_seconds: list[float]
    farewell: list[VsplitError]
    hints: Sequence[str] = ()
    resumed: Sequence[Resumed] = ()
    said: Sequence[str] = ()
    ledger: Closed | None = None


def write_feature_results(
    party_data: PartyData, folder: RunFolder, aligned: Alignment, trained: PreparedTraining, run: RunRecord
) -> Finished:
    """Write a feature party's run folder. Raises ConfigError where it cannot be written."""
    with folder.filling():
        save_part(folder, party_data, trained)
        return _finish(party_data, folder, aligned, trained, run, {}, [])


def write_label_results(
    party_data: PartyData,
    folder: RunFolder,
    aligned: Alignment,
    trained: PreparedTraining,
    run: RunRecord,
    *,
    alone: Predictions | None,
    lacking: str = "",
) -> Finished:
    """Judge the joint model beside the label party alone, and write the label party's run folder.

    Where `alone` is None the joint model is judged by itself, and `lacking` says why.

    Raises ConfigError where it cannot be written, DataError where a model's predictions are no finite numbers.
    """
    if trained.joint is None:
        raise ValueError("the label party has predictions")
    judged = evaluate(party_data, trained, alone)
    lines = headlines(party_data, judged["test"].comparison)
    if alone is None:
        lines.append(lacking)
    with folder.filling():
        save_part(folder, party_data, trained)
        folder.write_json("metrics.json", {name: one.comparison for name, one in judged.items()})
        predictions = predictions_table(party_data, trained, alone)
        folder.write("predictions.parquet", parquet_file(predictions))
        return _finish(party_data, folder, aligned, trained, run, judged, lines, meanings_of(predictions))


def _finish(
    party_data: PartyData,
    folder: RunFolder,
    aligned: Alignment,
    trained: PreparedTraining,
    run: RunRecord,
    judged: dict[str, shown.Judgement],
    lines: list[str],
    predictions: dict[str, str] | None = None,
) -> Finished:
    ended = datetime.now(UTC)
    if run.ledger is not None:
        folder.link(run.ledger.path, IN_RUN_FOLDER)
    content = _content(party_data, aligned, trained, run, judged, ended)
    page = folder.write("report.html", render_report(content))
    groups = trained.shared.groups
    of_them = "" if groups is None else f", with {groups.rows:,} rows at {party_data.party.job.label_party}"
    lines = [f"{aligned.matched:,} records in common{of_them}.", *run.hints, *run.said, *lines]
    if folder.moved is not None:
        lines.append(f"The earlier run was moved to {folder.moved}.")
    lines += [f"At the farewell: {error}" for error in run.farewell]
    # The last file of all: a folder with it is complete.
    folder.write_json(
        FINISHED,
        {
            "job": party_data.party.job.job,
            "party": party_data.party.name,
            "role": party_data.party.role,
            "run": run.name,
            "session": run.session,
            "resumed": [msgspec.to_builtins(one) for one in run.resumed],
            "started": content.started,
            "ended": content.ended,
            "versions": content.versions,
            "records": asdict(content.records),
            "key_columns": [asdict(column) for column in content.key_columns],
            "merged_keys": content.merged_keys,
            "training": asdict(content.training),
            "traffic": [asdict(crossing) for crossing in content.traffic],
            "ledger": asdict(content.ledger) if content.ledger else None,
            "predictions": predictions,
            "seed": seed_warning(party_data.party) or None,
        },
    )
    return Finished(lines, str(page))


def _content(
    party_data: PartyData,
    aligned: Alignment,
    trained: PreparedTraining,
    run: RunRecord,
    judged: dict[str, shown.Judgement],
    ended: datetime,
) -> shown.ReportContent:
    job, party = party_data.party.job, party_data.party
    return shown.ReportContent(
        job=job.job,
        task=job.task,
        party=party.name,
        role=party.role,
        started=run.started.isoformat(timespec="seconds"),
        ended=ended.isoformat(timespec="seconds"),
        parties=[
            shown.Party(
                name=name,
                role=member.role,
                list_size=aligned.own_records if name == party.name else aligned.peer_records.get(name),
                overlap=aligned.matched if len(job.parties) == 2 else aligned.overlaps.get(name),
            )
            for name, member in job.parties.items()
        ],
        records=_records(party_data, aligned, trained),
        key_columns=party_data.keys.report.columns,
        merged_keys=party_data.keys.report.merged_keys,
        hints=run.hints,
        columns=_columns(party_data, trained),
        training=_training(job, trained, run),
        traffic=_crossings(run.traffic),
        ledger=None if run.ledger is None else shown.LedgerEnd(lines=run.ledger.lines, head=run.ledger.head),
        versions={
            "vsplit": __version__,
            "torch": runtime.version(),
            "numpy": np.__version__,
            "Python": platform.python_version(),
        },
        test=judged.get("test"),
        validation=judged.get("validation"),
        caveats=[one for one in (seed_warning(party), MANY_ROWS if trained.shared.groups is not None else "") if one],
    )


def _records(party_data: PartyData, aligned: Alignment, trained: PreparedTraining) -> shown.Records:
    quality, split = party_data.keys.report, trained.split
    return shown.Records(
        own=party_data.table.rows,
        without_key=quality.missing,
        malformed=quality.malformed,
        repeated=quality.left_out,
        without_label=party_data.without_label if party_data.party.role == "label" else None,
        listed=aligned.own_records,
        matched=aligned.matched,
        train=len(split.train),
        validation=len(split.validation),
        test=len(split.test),
        shared_rows=None if trained.shared.groups is None else trained.shared.groups.rows,
    )


def _columns(party_data: PartyData, trained: PreparedTraining) -> shown.Columns:
    shape = trained.inputs.shape if trained.inputs else None
    image = party_data.party.settings.data.image
    return shown.Columns(
        names=list(party_data.table.features.columns),
        numeric=shape.numeric if shape else 0,
        categorical=len(shape.vocabularies) if shape else 0,
        image=image.column if image else None,
        label=party_data.party.settings.data.label,
        ignored=list(party_data.party.settings.data.ignore),
    )


def _training(job: Job, trained: PreparedTraining, run: RunRecord) -> shown.Training:
    progress = trained.state.progress
    history = trained.state.history if isinstance(trained.state, LabelState) else []
    epochs = [
        shown.Epoch(
            number=number + 1,
            seconds=seconds,
            train_loss=history[number].train_loss if history else None,
            validation_loss=history[number].validation_loss if history else None,
        )
        for number, seconds in enumerate(run.epoch_seconds)
    ]
    stopped = (
        f"the validation loss had not fallen for {trained.plan.patience} epochs"
        if progress.stopped
        else "all epochs of the job were done"
    )
    kept = len(epochs) if progress.kept_epoch is None else progress.kept_epoch + 1
    return shown.Training(epochs=epochs, kept=kept, stopped=stopped, secure_sum=_secure_sum(job, trained))


def _secure_sum(job: Job, trained: PreparedTraining) -> shown.SecureSum | None:
    settings, parties, state = job.model.secure_sum, job.feature_parties, trained.state
    if settings is None:
        return None
    if settings.key_bits is None:
        how, helpers = "under masks that cancel in the sum", "all other feature parties"
    else:
        how = f"encrypted, with a Paillier key of {settings.key_bits:,} bits"
        helpers = "the feature parties next to it in the job's order"
    given, clipped = (state.given, state.clipped) if isinstance(state, FeatureState) else (None, None)
    return shown.SecureSum(
        how=how, parties=parties, with_help_of=helpers, range=settings.range, given=given, clipped=clipped
    )


def _crossings(traffic: Traffic) -> list[shown.Crossing]:
    reveals = {kind.__name__: kind.reveals for kind in KINDS}
    return [
        shown.Crossing(
            direction=direction,
            party=peer,
            kind=kind,
            messages=count.messages,
            size=count.bytes,
            reveals=reveals.get(kind, NO_MESSAGE),
        )
        for (direction, peer, kind), count in traffic.counts.items()
    ]
