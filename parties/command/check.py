"""`vsplit check`: what would go wrong, and what would leave this party, without connecting to anybody."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from parties.command.disclosure import what_leaves
from parties.config.party import Party, load_party
from parties.home import Home, read_home
from parties.identity import PrivateIdentity
from parties.learning import check_inputs
from parties.life import check_identity
from parties.report.words import bytes_text


def print_check(file: Path, console: Console) -> int:
    """Check a party file with its job, key and data; print a summary and the disclosure table. Raises VsplitError."""
    party = load_party(file)
    _print_identity(party, console)
    home = read_home(party)
    check_inputs(home)
    _print_records(home, console)
    console.print(_disclosure(home))
    console.print(
        "The figures hold if the other side's list is as long as this one, all records match and every epoch is trained. "
        "Nothing else leaves, besides the keys and signs of life of the connection.",
        highlight=False,
    )
    return 0


def _print_identity(party: Party, console: Console) -> None:
    job = party.job
    console.print(f"{party.name}, {party.role} party of the job {job.job} ({job.task}).", highlight=False)
    if job.parties[party.name].identity == "auto":
        console.print("Identity: auto, made by `vsplit launch`; `vsplit run` needs a key.", highlight=False)
    elif party.identity is not None:
        identity = PrivateIdentity.load(party.identity)
        if not job.needs_launch:
            check_identity(party, identity)
        console.print("Identity: the key file fits the job.", highlight=False)
    if party.role == "label":
        host, port = party.bind
        console.print(f"It listens on port {port} of {host}; the others dial {job.address}.", highlight=False)
    else:
        console.print(f"It dials {job.label_party} at {job.address} and opens no port.", highlight=False)


def _print_records(home: Home, console: Console) -> None:
    quality = home.keys.report
    console.print(
        f"{home.table.rows:,} rows in {home.table.where}: {quality.usable:,} with a usable key, {quality.missing:,} without "
        f"a key, {quality.malformed:,} with a malformed key, {quality.repeated_rows:,} with a repeated key"
        + (f", {home.without_label:,} without a label" if home.party.role == "label" else "")
        + ".",
        highlight=False,
        soft_wrap=True,
    )
    if home.labels is not None and home.labels.classes:
        counts = ", ".join(f"{name}" for name in home.labels.classes)
        console.print(f"Label {home.party.settings.data.label}: {counts}.", highlight=False)
    columns = ", ".join(home.table.features.columns)
    console.print(f"{home.table.features.shape[1]} feature columns: {columns}.", highlight=False, soft_wrap=True)


def _disclosure(home: Home) -> Table:
    table = Table(title=f"What this job lets leave {home.party.name}", title_justify="left", show_lines=True)
    table.add_column("message")
    table.add_column("to")
    table.add_column("times", justify="right")
    table.add_column("about", justify="right", no_wrap=True)
    table.add_column("what it reveals there")
    for row in what_leaves(home):
        table.add_row(row.kind, row.to, f"{row.messages:,}", bytes_text(row.bytes), row.reveals)
    return table
