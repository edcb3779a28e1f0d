"""What a run leaves in its folder: metrics, predictions, the model part, the ledger, the report and run.json."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import msgspec

from parties.config.job import Job
from parties.config.party_file import Bottom
from parties.config.party_names import PartyNames
from parties.data.party_data import PartyData
from parties.ledger.exchange import IN_RUN_FOLDER
from parties.monitoring.events import Finished
from parties.report.content import ReportContent
from parties.report.page import render_report
from parties.run.context import RunContext
from parties.run.model_store import save_part
from parties.run.outcome import Outcome
from parties.run.predictions import meanings_of, parquet_file, predictions_table
from parties.run.report_content import report_content
from parties.run.run_folder import FINISHED, RunFolder


def write_results(
    names: PartyNames,
    job: Job,
    bottom: Bottom,
    party_data: PartyData,
    outcome: Outcome,
    folder: RunFolder,
    context: RunContext,
    *,
    seed_warning: str,
) -> Finished:
    """Write the run folder, and return what the operator is shown. Raises ConfigError where it cannot be written."""
    trained, evaluation, meanings = outcome.trained, outcome.evaluation, None
    with folder.filling():
        alone = None if evaluation is None else evaluation.alone
        save_part(folder, names, job.job, bottom, party_data.labels, trained, alone)
        if evaluation is not None:
            folder.write_json("metrics.json", {name: split.comparison for name, split in evaluation.splits.items()})
            predictions = predictions_table(
                names.me, job.job, party_data, trained, alone.predictions if alone else None
            )
            folder.write("predictions.parquet", parquet_file(predictions))
            meanings = meanings_of(predictions)
        ended = datetime.now(UTC)
        if outcome.ledger is not None:
            folder.link(outcome.ledger.path, IN_RUN_FOLDER)
        content = report_content(
            names,
            job,
            party_data,
            outcome,
            ended=ended,
            epoch_seconds=context.timeline.epoch_seconds,
            seed_warning=seed_warning,
        )
        page = folder.write("report.html", render_report(content))
        # The last file of all: a folder with it is complete.
        folder.write_json(FINISHED, _run_json(content, context, meanings, seed_warning))
    return Finished(_lines(names, outcome, folder, context), str(page))


def _lines(names: PartyNames, outcome: Outcome, folder: RunFolder, context: RunContext) -> list[str]:
    """What the operator is shown at the end."""
    groups = outcome.trained.shared.groups
    rows = "" if groups is None else f", with {groups.rows:,} rows at {names.label_party}"
    lines = [f"{outcome.aligned.aligned.matched:,} records in common{rows}."]
    lines += [*outcome.aligned.hints, *context.sentences]
    lines += [] if outcome.evaluation is None else outcome.evaluation.lines
    if folder.moved is not None:
        lines.append(f"The earlier run was moved to {folder.moved}.")
    return lines + [f"While closing the session: {error}" for error in context.closing_errors]


def _run_json(
    content: ReportContent, context: RunContext, meanings: dict[str, str] | None, seed_warning: str
) -> dict[str, Any]:
    return {
        "job": content.job,
        "party": content.party,
        "role": content.role,
        "run": context.run.hex(),
        "session": context.session,
        "resumed": [msgspec.to_builtins(resumed) for resumed in context.timeline.resumed],
        "started": content.started,
        "ended": content.ended,
        "versions": content.versions,
        "records": asdict(content.records),
        "key_columns": [asdict(column) for column in content.key_columns],
        "merged_keys": content.merged_keys,
        "training": asdict(content.training),
        "traffic": [asdict(crossing) for crossing in content.traffic],
        "ledger": asdict(content.ledger) if content.ledger else None,
        "predictions": meanings,
        "seed": seed_warning or None,
    }
