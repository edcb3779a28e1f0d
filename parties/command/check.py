"""`vsplit check`: what would go wrong, and what would leave this party, without connecting to anybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from parties.command.bounds import bounds_in_force, needed_with_a_key
from parties.command.cut_layer import print_cut_layer
from parties.command.identity import check_identity
from parties.command.key_quality import counts_in_words, print_key_quality, print_no_values
from parties.command.screen import say
from parties.config.digests import Purpose
from parties.config.fields import AUTO
from parties.config.job import Job
from parties.config.local_model import LocalModel
from parties.config.log_target import LogTarget
from parties.config.party import Party, load_party
from parties.config.proxy import route_to
from parties.config.seed_warning import seed_warning
from parties.local.command_line import quoted_command
from parties.monitoring.logs import check_log
from parties.monitoring.metrics import check_metrics
from parties.network.identity import PrivateIdentity
from parties.network.tcp_listen import ANY4, ANY6, EVERYWHERE, ONLY_IPV4, has_ipv6
from parties.run.common_order import order_secret
from parties.run.quotas import DAYS, check_quotas, recent_runs
from parties.run.run_folder import RunFolder, check_output
from psi import UnusableKeysError
from vsplit.protocol import RefusedError

if TYPE_CHECKING:
    from parties.command.disclosure import Leaving
    from parties.command.disclosure_document import Document
    from parties.data.party_data import PartyData


def print_check(file: Path, console: Console, disclose: Callable[[Document], None] | None = None) -> int:
    """Check a party file with its job, key, data and run folder; print a summary and the disclosure table.

    `disclose` is handed the same for a data-protection officer, once nothing stands in the way. Raises VsplitError.
    """
    party = load_party(file)
    print_identity(party, f"job {party.job.job} ({party.job.task})", console)
    print_quotas(party, console)
    _print_seed(party, console)
    check_output(party)
    folder = RunFolder(party.output)
    _print_order(party, console)
    print_watching(party, console)
    # What follows takes seconds to import; what is wrong with the files above shows at once.
    from parties.data.party_data import read_party_data
    from parties.run.limits import limits_of
    from parties.run.preparation import check_model

    try:
        party_data = read_party_data(party)
    except RefusedError:  # before anything was read: the person who sees why should see all that is in force beside it
        print_bounds(party, None, console)
        raise
    except UnusableKeysError as error:
        print_key_quality(party, error.report, console)
        raise
    own = len(party_data.keys.keys)
    _print_records(party_data, console)
    print_bounds(party, own, console)
    limits_of(party.settings.accept, own).check_own(own)
    check_model(party_data, LocalModel.of(party), party.job.model)
    _print_unfinished(party_data, folder, console)
    print_kernels(console)
    _print_secure_sum(party.job, console)
    print_cut_layer(party_data, console)
    _print_leaving(party_data, console)
    check_quotas(party, datetime.now(UTC))
    if disclose is not None:
        from parties.command.disclosure_document import document_of_run

        disclose(document_of_run(party_data, datetime.now().astimezone()))
    say(console, "Nothing at home stands in the way of a run.")
    return 0


def _print_seed(party: Party, console: Console) -> None:
    if sentence := seed_warning(party):
        say(console, f"Look at this: {sentence}", style="yellow")


def _print_order(party: Party, console: Console) -> None:
    """Print where the common order comes from, if not from chance. Raises ConfigError."""
    if party.order is not None:
        order_secret(party.order, party.file)
        say(console, f"The common order of the records is that of an earlier run: {party.order}.")


def _print_unfinished(party_data: PartyData, folder: RunFolder, console: Console) -> None:
    """Print with which unfinished run `vsplit run` goes on, if with any. Raises ConfigError where it could not."""
    from parties.checkpoints.fingerprint import origin_of
    from parties.checkpoints.folder import CheckpointFolder

    own, party = party_data.party, party_data.party.file
    origin = origin_of(own.name, own.job_file, LocalModel.of(own), party_data)
    kept = CheckpointFolder(folder.path, origin, lambda sentence: say(console, sentence))
    if not kept.folder.is_dir():
        return
    finished = folder.finished_run()
    held = kept.read_state(finished)  # which needs no lock: each file is whole or absent, also while a run writes
    if not held.run or held.run.hex() == finished:
        return
    if held.final:
        where = "this party has its outcome already"
    elif held.steps[-1]:
        where = f"after step {held.steps[-1]:,}, or the last one before it that all parties have"
    else:
        where = "with the alignment that is there, if all parties have it"
    say(
        console,
        f"An unfinished run stands in {kept.folder}, and {quoted_command('run', party)} goes on with it: {where}. "
        f"{quoted_command('run', party, '--restart')}, with --restart at every party, begins afresh.",
    )


def print_identity(party: Party, job_in_words: str, console: Console) -> None:
    """Print who this party is in which job, that its key is the right one, and where it meets the others."""
    job = party.job
    say(console, f"{party.name}, {party.role} party of the {job_in_words}.")
    if job.parties[party.name].identity == AUTO:
        say(
            console,
            f"Identity: auto, made by {quoted_command('launch', party.file.parent)}; a run of this party alone needs a key.",
        )
    if party.identity is not None:
        check_identity(party, PrivateIdentity.load(party.identity))
        say(console, f"Key file: {party.identity}, closed to others.")
    if party.role == "label":
        host, port = party.bind
        say(console, f"It listens on port {port} of {_addresses(host)}; the others dial {job.address}.")
        if host == EVERYWHERE and not has_ipv6():
            say(console, ONLY_IPV4)
    else:
        route = route_to(*job.host_and_port, party.settings.proxy, str(party.file))
        way = f" through the proxy {route.proxy}" if route.proxy else ""
        say(console, f"It dials {job.label_party} at {job.address}{way} and opens no port.")
        if route.hint:
            say(console, route.hint)
    first, lost = party.settings.first_wait, party.settings.wait
    say(
        console,
        f"It waits {first:g} s for the others at the start (first_wait), and {lost:g} s for one whose link is lost (wait).",
    )


def _addresses(host: str) -> str:
    if host == EVERYWHERE:
        return "every address of this machine" + (", of IPv4 and of IPv6" if has_ipv6() else "")
    families = {ANY4: "every IPv4 address of this machine", ANY6: "every address of this machine, of IPv4 and of IPv6"}
    return families.get(host, host)


def print_watching(party: Party, console: Console) -> None:
    """Print where the log and the metrics will be, if anywhere. Raises ConfigError where one cannot be there."""
    log = party.settings.log
    if log is not None:
        check_log(LogTarget.of(party))
        where = party.log_file or "the error output"
        say(console, f"Log: {where}, from level {log.level} on, as {'JSON' if log.format == 'json' else 'text'}.")
    if party.metrics_address is not None:
        check_metrics(party.settings.metrics, party.file)
        say(
            console,
            f"Metrics: http://{party.settings.metrics}/metrics, to whoever reaches this address while {party.name} is at work.",
        )


def print_kernels(console: Console) -> None:
    """Print which code does the arithmetic. Raises ConfigError for a demand that this machine cannot meet."""
    from vsplit.kernels import engine

    choice = engine.choice()
    names = {
        "ifma": "compiled kernels for AVX-512 IFMA",
        "fma": "compiled kernels for fused multiply-add",
        "portable": "portable code, without compiled kernels",
    }
    say(console, f"Curve arithmetic of the alignment: {names[choice.kind]} ({choice.kind}): {choice.why}.")


def _print_secure_sum(job: Job, console: Console) -> None:
    from parties.command.disclosure import secure_sum_in_words

    if job.model.secure_sum is not None:
        say(console, secure_sum_in_words(job, job.model.secure_sum))


def print_quotas(party: Party, console: Console) -> None:
    """Print how often this party has met each other one of late."""
    most = party.settings.accept.max_runs
    for name, runs in recent_runs(party, datetime.now(UTC)).items():
        if runs is None:
            say(console, f"Runs with {name} are not counted: with `identity: auto` each launch makes keys of its own.")
        else:
            say(
                console,
                f"Runs and overlaps with {name} in the last {DAYS} days: {runs:,} of {most:,} (accept.max_runs).",
            )


def print_bounds(party: Party, own_records: int | None, console: Console, purpose: Purpose = "run") -> None:
    """Print every bound in force, and whether it stands in the party file; for an overlap without those on learning."""
    say(console, f"Bounds in force on what others may ask of {party.name} (accept):")
    for bound in bounds_in_force(party, own_records, purpose=purpose):
        say(console, f"  {bound.key}: {bound.value} ({'party file' if bound.written else 'default'}): {bound.meaning}.")
    if purpose == "run" and (needed := needed_with_a_key(party)):
        say(console, f"Look at this: {needed}", style="yellow")


def _print_records(party_data: PartyData, console: Console) -> None:
    without_label = party_data.without_label if party_data.party.role == "label" else None
    table, report = party_data.table, party_data.keys.report
    say(console, f"{table.rows:,} rows in {table.where}: {counts_in_words(report, without_label)}.")
    print_key_quality(party_data.party, party_data.keys.report, console)
    print_no_values(party_data.table.keys, console)
    if party_data.labels is not None and party_data.labels.classes:
        classes = party_data.labels.classes
        what = f"{classes[1]} counts as positive, {classes[0]} as negative"
        listed = what if party_data.party.job.task == "binary" else ", ".join(classes)
        say(console, f"Label {party_data.party.settings.data.label}: {listed}.")
    columns, number = ", ".join(map(str, table.features.columns)) or "none", table.features.shape[1]
    say(console, f"{number} feature column{'' if number == 1 else 's'}: {columns}.")


def _print_leaving(party_data: PartyData, console: Console) -> None:
    from parties.command.disclosure import OF_THE_CONNECTION, sent_by_overlap, what_leaves

    party = party_data.party
    console.print(table_of_leaving(what_leaves(party_data), f"What this job lets leave {party.name}"))
    say(
        console,
        "The figures hold if the other side's list is as long as this one, all records match and every epoch is trained. "
        f"{OF_THE_CONNECTION}",
    )
    if party.job.align.repeated == "many_to_one" and party.role == "feature":
        say(
            console,
            f"{party.job.label_party} may have many rows for one of these records: each of its rows takes an Embedding, and "
            "the figures for these grow with them.",
        )
    say(
        console,
        f"An overlap ({quoted_command('overlap', party.file)}) reads the key columns alone and sends only these of them: "
        f"{', '.join(sent_by_overlap(party_data))}.",
    )


def table_of_leaving(leaving: Sequence[Leaving], title: str) -> Table:
    """A table of what leaves, with what it reveals."""
    from parties.report.words import bytes_text

    table = Table(title=title, title_justify="left", show_lines=True)
    table.add_column("message", no_wrap=True)
    table.add_column("to")
    table.add_column("times", justify="right", no_wrap=True)
    table.add_column("about", justify="right", no_wrap=True)
    table.add_column("what it reveals there")
    for row in leaving:
        times = f"{row.messages:,}" + (f" if {row.only_if}" if row.only_if else "")
        table.add_row(row.kind, row.to, times, bytes_text(row.bytes), row.reveals)
    return table
