"""Fills in what a run's report shows."""

from __future__ import annotations

import platform
from datetime import datetime

import numpy as np

from parties.config.job import Job
from parties.config.party_names import PartyNames
from parties.data.party_data import PartyData
from parties.network.driver import Traffic
from parties.report import content as report
from parties.run.message_kinds import KINDS
from parties.run.outcome import Outcome
from parties.run.preparation import PreparedTraining
from psi import Alignment
from vsplit import __version__
from vsplit.learn import runtime
from vsplit.learn.feature import FeatureState
from vsplit.learn.label import LabelState

NOT_A_MESSAGE = "nothing: bytes that were no message of the awaited kind ended the session"
# What a report with many rows of one record says as well, among what is not protected.
MANY_ROWS = (
    "Each feature party knows how many rows the label party has of each of the matched records. It is sent a gradient for "
    "each of these rows, in an order that says nothing; so it can read how many of a record's rows had which outcome."
)


def report_content(
    names: PartyNames,
    job: Job,
    party_data: PartyData,
    outcome: Outcome,
    *,
    ended: datetime,
    epoch_seconds: list[float],
    seed_warning: str,
) -> report.ReportContent:
    """All that the report of a finished run shows."""
    aligned, trained, ledger = outcome.aligned.aligned, outcome.trained, outcome.ledger
    keys, splits = party_data.keys.report, {} if outcome.evaluation is None else outcome.evaluation.splits
    return report.ReportContent(
        job=job.job,
        task=job.task,
        party=names.me,
        role=names.role,
        started=datetime.fromisoformat(outcome.aligned.started).isoformat(timespec="seconds"),
        ended=ended.isoformat(timespec="seconds"),
        parties=_parties(job, names.me, aligned),
        records=_records(party_data, aligned, trained),
        key_columns=keys.columns,
        merged_keys=keys.merged_keys,
        hints=outcome.aligned.hints,
        columns=_columns(party_data, trained),
        training=_training(job, trained, epoch_seconds),
        traffic=_crossings(outcome.traffic),
        ledger=None if ledger is None else report.LedgerEnd(lines=ledger.lines, head=ledger.head),
        versions={
            "vsplit": __version__,
            "torch": runtime.version(),
            "numpy": np.__version__,
            "Python": platform.python_version(),
        },
        test=splits.get("test"),
        validation=splits.get("validation"),
        caveats=[caveat for caveat in (seed_warning, MANY_ROWS if trained.shared.groups is not None else "") if caveat],
    )


def _parties(job: Job, me: str, aligned: Alignment) -> list[report.Party]:
    return [
        report.Party(
            name=name,
            role=member.role,
            list_size=aligned.own_records if name == me else aligned.peer_records.get(name),
            overlap=aligned.matched if len(job.parties) == 2 else aligned.overlaps.get(name),
        )
        for name, member in job.parties.items()
    ]


def _records(party_data: PartyData, aligned: Alignment, trained: PreparedTraining) -> report.Records:
    quality, split = party_data.keys.report, trained.split
    return report.Records(
        own=party_data.table.rows,
        without_key=quality.missing,
        malformed=quality.malformed,
        repeated=quality.left_out,
        without_label=party_data.without_label if party_data.labels is not None else None,
        listed=aligned.own_records,
        matched=aligned.matched,
        train=len(split.train),
        validation=len(split.validation),
        test=len(split.test),
        shared_rows=None if trained.shared.groups is None else trained.shared.groups.rows,
    )


def _columns(party_data: PartyData, trained: PreparedTraining) -> report.Columns:
    shape, table = trained.inputs.shape if trained.inputs else None, party_data.table
    return report.Columns(
        names=list(table.features.columns),
        numeric=shape.numeric if shape else 0,
        categorical=len(shape.vocabularies) if shape else 0,
        image=None if table.images is None else str(table.images.name),
        label=None if table.label is None else str(table.label.name),
        ignored=list(table.ignored),
    )


def _training(job: Job, trained: PreparedTraining, epoch_seconds: list[float]) -> report.Training:
    progress = trained.state.progress
    history = trained.state.history if isinstance(trained.state, LabelState) else []
    epochs = [
        report.Epoch(
            number=number + 1,
            seconds=seconds,
            train_loss=history[number].train_loss if history else None,
            validation_loss=history[number].validation_loss if history else None,
        )
        for number, seconds in enumerate(epoch_seconds)
    ]
    stopped = (
        f"the validation loss had not fallen for {trained.plan.patience} epochs"
        if progress.stopped
        else "all epochs of the job were done"
    )
    kept = len(epochs) if progress.kept_epoch is None else progress.kept_epoch + 1
    return report.Training(epochs=epochs, kept=kept, stopped=stopped, secure_sum=_secure_sum(job, trained))


def _secure_sum(job: Job, trained: PreparedTraining) -> report.SecureSum | None:
    settings, parties, state = job.model.secure_sum, job.feature_parties, trained.state
    if settings is None:
        return None
    if settings.key_bits is None:
        how, helpers = "under masks that cancel in the sum", "all other feature parties"
    else:
        how = f"encrypted, with a Paillier key of {settings.key_bits:,} bits"
        helpers = "the feature parties next to it in the job's order"
    given, clipped = (state.given, state.clipped) if isinstance(state, FeatureState) else (None, None)
    return report.SecureSum(
        how=how, parties=parties, with_help_of=helpers, range=settings.range, given=given, clipped=clipped
    )


def _crossings(traffic: Traffic) -> list[report.Crossing]:
    reveals = {kind.__name__: kind.reveals for kind in KINDS}
    return [
        report.Crossing(
            direction=direction,
            party=peer,
            kind=kind,
            messages=count.messages,
            size=count.bytes,
            reveals=reveals.get(kind, NOT_A_MESSAGE),
        )
        for (direction, peer, kind), count in traffic.counts.items()
    ]
