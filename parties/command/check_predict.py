"""`vsplit check --predict`: whether a prediction could start, and what it would let leave this party."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from parties.command.bounds import print_bounds, print_quotas, print_records_scored
from parties.command.check import print_kernels
from parties.command.check_connection import print_connection, print_identity, print_monitoring
from parties.command.key_quality import counts_in_words
from parties.command.screen import print_text
from parties.config.bounds import check_predict
from parties.config.party import load_party
from parties.config.quota_settings import QuotaSettings
from parties.config.scoring_settings import ScoringOptions, ScoringSettings
from parties.run.quotas import check_quotas, check_records
from parties.run.run_folder import check_output

if TYPE_CHECKING:
    from parties.scoring.finished_model import FinishedModel
    from parties.scoring.records import Records


def print_predict_check(file: Path, console: Console) -> int:
    """Check a party file with its job, key, the model of its finished run and its data; print what would leave.

    Raises VsplitError.
    """
    party = load_party(file, "predict")
    print_text(console, f"{party.name}, {party.role} party of the job {party.job.job} ({party.job.task}).")
    print_identity(party, console)
    print_connection(party, console)
    print_quotas(party, console)
    print_records_scored(party, console)
    print_monitoring(party, console)
    check_output(party)
    check_predict(party)
    settings = ScoringSettings.of(party, ScoringOptions())
    # This import takes seconds; errors in the config are shown before it.
    from parties.run.limits import limits_of
    from parties.scoring.prediction import load_both

    model, records = load_both(settings)
    own = len(records.keys.keys)
    _print_loaded(model, records, console)
    print_bounds(party, own, console, "predict")
    limits_of(settings.accept, own).check_own(own)
    print_kernels(console)
    _print_leaving(settings, own, model, console)
    check_quotas(QuotaSettings.of(party), datetime.now(UTC))
    if party.role == "feature":
        check_records(QuotaSettings.of(party), settings.accept.predict.at_least if settings.accept.predict else 0)
    print_text(console, "All checks passed: this party is ready for a prediction.")
    return 0


def _print_loaded(model: FinishedModel, records: Records, console: Console) -> None:
    print_text(console, f"The model is that of the run {model.run.hex()} in {model.folder}.")
    print_text(
        console, f"{records.table.rows:,} rows in {records.table.where}: {counts_in_words(records.keys.report)}."
    )


def _print_leaving(settings: ScoringSettings, own: int, model: FinishedModel, console: Console) -> None:
    from parties.command.disclosure import OF_THE_CONNECTION, leaves_in_prediction
    from parties.command.disclosure_table import disclosure_table

    me = settings.names.me
    leaving = leaves_in_prediction(settings.job, me, own, model.plan)
    console.print(disclosure_table(leaving, f"What leaves {me} in a prediction by the model of this run"))
    print_text(
        console,
        "The figures assume that the other parties' lists are as long as this one and that all records match. "
        f"{OF_THE_CONNECTION}",
    )
