"""`vsplit check`: whether a run could start, and what would leave this party; without connecting to another party."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from parties.command.bounds import print_bounds, print_quotas
from parties.command.check_connection import print_connection, print_identity, print_monitoring
from parties.command.cut_layer import print_cut_layer
from parties.command.key_quality import counts_in_words, print_key_quality, print_missing_words
from parties.command.screen import print_text
from parties.config.local_model import LocalModel
from parties.config.party import Party, load_party
from parties.config.quota_settings import QuotaSettings
from parties.config.seed_warning import seed_warning
from parties.local.command_line import quoted_command
from parties.run.common_order import order_secret
from parties.run.quotas import check_quotas
from parties.run.run_folder import RunFolder, check_output
from psi import UnusableKeysError
from vsplit.protocol import RefusedError

if TYPE_CHECKING:
    from parties.command.disclosure_document import Document
    from parties.data.party_data import PartyData


def print_check(file: Path, console: Console, disclose: Callable[[Document], None] | None = None) -> int:
    """Check a party file with its job, key, data and run folder; print a summary and the disclosure table.

    `disclose` receives the same for a data-protection officer, once all checks have passed. Raises VsplitError.
    """
    party = load_party(file)
    print_text(console, f"{party.name}, {party.role} party of the job {party.job.job} ({party.job.task}).")
    print_identity(party, console)
    print_connection(party, console)
    print_quotas(party, console)
    if sentence := seed_warning(party):
        print_text(console, f"Warning: {sentence}", style="yellow")
    check_output(party)
    if party.order is not None:
        order_secret(party.order, party.file)
        print_text(console, f"The common order of the records is that of an earlier run: {party.order}.")
    print_monitoring(party, console)
    party_data = _read_data(party, console)
    from parties.run.limits import limits_of
    from parties.run.preparation import check_model

    own = len(party_data.keys.keys)
    _print_records(party_data, console)
    print_bounds(party, own, console)
    limits_of(party.settings.accept, own).check_own(own)
    check_model(party_data, LocalModel.of(party), party.job.model)
    _print_unfinished(party_data, RunFolder(party.output), console)
    print_kernels(console)
    _print_leaving(party_data, console)
    check_quotas(QuotaSettings.of(party), datetime.now(UTC))
    if disclose is not None:
        from parties.command.disclosure_document import document_of_run

        disclose(document_of_run(party_data, datetime.now().astimezone()))
    print_text(console, "All checks passed: this party is ready for a run.")
    return 0


def _read_data(party: Party, console: Console) -> PartyData:
    # This import takes seconds; errors in the config are shown before it.
    from parties.data.party_data import read_party_data

    try:
        return read_party_data(party)
    except RefusedError:  # before anything was read: all bounds in force help to understand the refusal
        print_bounds(party, None, console)
        raise
    except UnusableKeysError as error:
        print_key_quality(party, error.report, console)
        raise


def _print_unfinished(party_data: PartyData, folder: RunFolder, console: Console) -> None:
    """Print which unfinished run `vsplit run` would resume, if any. Raises ConfigError where it could not."""
    from parties.checkpoints.fingerprint import origin_of
    from parties.checkpoints.folder import CheckpointFolder

    own, party = party_data.party, party_data.party.file
    origin = origin_of(own.name, own.job_file, LocalModel.of(own), party_data)
    checkpoints = CheckpointFolder(folder.path, origin, lambda sentence: print_text(console, sentence))
    if not checkpoints.folder.is_dir():
        return
    finished = folder.finished_run()
    state = checkpoints.read_state(finished)  # needs no lock: each file is complete or absent, also while a run writes
    if not state.run or state.run.hex() == finished:
        return
    if state.final:
        where = "this party has its outcome already"
    elif state.steps[-1]:
        where = f"after step {state.steps[-1]:,}, or the last earlier step that all parties have stored"
    else:
        where = "from the existing alignment, if all parties have stored it"
    print_text(
        console,
        f"There is an unfinished run in {checkpoints.folder}. {quoted_command('run', party)} resumes it: {where}. "
        f"{quoted_command('run', party, '--restart')}, with --restart at every party, starts from the beginning.",
    )


def print_kernels(console: Console) -> None:
    """Print which code does the curve arithmetic. Raises ConfigError where this machine cannot run the code asked for."""
    from vsplit.kernels import engine

    choice = engine.choice()
    names = {
        "ifma": "compiled kernels for AVX-512 IFMA",
        "fma": "compiled kernels for fused multiply-add",
        "portable": "portable code, without compiled kernels",
    }
    print_text(console, f"Curve arithmetic of the alignment: {names[choice.kind]} ({choice.kind}): {choice.why}.")


def _print_records(party_data: PartyData, console: Console) -> None:
    table, report = party_data.table, party_data.keys.report
    print_text(console, f"{table.rows:,} rows in {table.where}: {counts_in_words(report, party_data.without_label)}.")
    print_key_quality(party_data.party, report, console)
    print_missing_words(table.keys, console)
    if party_data.labels is not None and party_data.labels.classes:
        classes = party_data.labels.classes
        what = f"{classes[1]} counts as positive, {classes[0]} as negative"
        listed = what if party_data.party.job.task == "binary" else ", ".join(classes)
        print_text(console, f"Label {party_data.party.settings.data.label}: {listed}.")
    columns = list(map(str, table.features.columns))
    print_text(
        console,
        f"{len(columns)} feature column{'' if len(columns) == 1 else 's'}: {', '.join(columns) or 'none'}.",
    )


def _print_leaving(party_data: PartyData, console: Console) -> None:
    from parties.command.disclosure import OF_THE_CONNECTION, secure_sum_in_words, sent_by_overlap, what_leaves
    from parties.command.disclosure_table import disclosure_table

    party, job = party_data.party, party_data.party.job
    if job.model.secure_sum is not None:
        print_text(console, secure_sum_in_words(job, job.model.secure_sum))
    print_cut_layer(party_data, console)
    console.print(disclosure_table(what_leaves(party_data), f"What leaves {party.name} in a run of this job"))
    print_text(
        console,
        "The figures assume that the other parties' lists are as long as this one, that all records match and that every epoch "
        f"is trained. {OF_THE_CONNECTION}",
    )
    if job.align.repeated == "many_to_one" and party.role == "feature":
        print_text(
            console,
            f"{job.label_party} may have many rows for one of these records. Each of its rows needs an Embedding, so these "
            "figures grow with the rows.",
        )
    print_text(
        console,
        f"An overlap ({quoted_command('overlap', party.file)}) reads the key columns only and sends only these kinds: "
        f"{', '.join(sent_by_overlap(party_data))}.",
    )
