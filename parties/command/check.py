"""`vsplit check`: what would go wrong, and what would leave this party, without connecting to anybody."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from parties.command.identity import check_identity
from parties.command.screen import say
from parties.config.fields import AUTO
from parties.config.party import Party, load_party
from parties.folder import RunFolder, check_output
from parties.identity import PrivateIdentity
from parties.partners import DAYS, recent_meetings

if TYPE_CHECKING:
    from parties.home import Home


def print_check(file: Path, console: Console) -> int:
    """Check a party file with its job, key, data and run folder; print a summary and the disclosure table.

    Raises VsplitError.
    """
    party = load_party(file)
    _print_identity(party, console)
    _print_meetings(party, console)
    check_output(party)
    RunFolder(party.output)
    # What follows takes seconds to import; what is wrong with the files above shows at once.
    from parties.aligning import limits_of
    from parties.home import read_home
    from parties.learning import check_model

    home = read_home(party)
    limits_of(party, len(home.keys.keys)).check_own(len(home.keys.keys))
    check_model(home)
    _print_records(home, console)
    _print_kernels(console)
    _print_leaving(home, console)
    say(console, "Nothing at home stands in the way of a run.")
    return 0


def _print_identity(party: Party, console: Console) -> None:
    job = party.job
    say(console, f"{party.name}, {party.role} party of the job {job.job} ({job.task}).")
    if job.parties[party.name].identity == AUTO:
        say(console, "Identity: auto, made by `vsplit launch`; `vsplit run` needs a key.")
    if party.identity is not None:
        check_identity(party, PrivateIdentity.load(party.identity))
        say(console, f"Key file: {party.identity}, closed to others.")
    if party.role == "label":
        host, port = party.bind
        say(console, f"It listens on port {port} of {host}; the others dial {job.address}.")
    else:
        say(console, f"It dials {job.label_party} at {job.address} and opens no port.")


def _print_kernels(console: Console) -> None:
    from vsplit.kernels import engine

    choice = engine.choice()
    names = {
        "ifma": "compiled kernels for AVX-512 IFMA",
        "fma": "compiled kernels for fused multiply-add",
        "portable": "portable code, without compiled kernels",
    }
    say(console, f"Curve arithmetic of the alignment: {names[choice.kind]} ({choice.kind}): {choice.why}.")


def _print_meetings(party: Party, console: Console) -> None:
    most = party.settings.accept.max_runs
    for name, meetings in recent_meetings(party, datetime.now(UTC)).items():
        if meetings is None:
            say(console, f"Runs with {name} are not counted: with `identity: auto` each launch makes keys of its own.")
        else:
            say(
                console,
                f"Runs and overlaps with {name} in the last {DAYS} days: {meetings:,} of {most:,} (accept.max_runs).",
            )


def _print_records(home: Home, console: Console) -> None:
    quality = home.keys.report
    counts = {
        "with a usable key": quality.usable,
        "without a key": quality.missing,
        "with a malformed key": quality.malformed,
        "left out since their key is repeated": quality.left_out,
    }
    if home.party.role == "label":
        counts["without a label"] = home.without_label
    listed = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    say(console, f"{home.table.rows:,} rows in {home.table.where}: {listed}.")
    if quality.repeated_keys:
        policy = home.party.job.align.repeated_at(home.party.role)
        say(
            console,
            f"Keys on several rows: {quality.repeated_keys:,}, on {quality.repeated_rows:,} rows in all; the job says "
            f"align.repeated: {policy}.",
        )
    console.print(_key_quality(home))
    if home.labels is not None and home.labels.classes:
        classes = home.labels.classes
        what = f"{classes[1]} counts as positive, {classes[0]} as negative"
        listed = what if home.party.job.task == "binary" else ", ".join(classes)
        say(console, f"Label {home.party.settings.data.label}: {listed}.")
    columns = ", ".join(map(str, home.table.features.columns)) or "none"
    say(console, f"{home.table.features.shape[1]} feature columns: {columns}.")


def _key_quality(home: Home) -> Table:
    table = Table(title=f"The key columns of {home.party.name}, in values", title_justify="left")
    table.add_column("column")
    for count in ("missing", "malformed"):
        table.add_column(count, justify="right", no_wrap=True)
    table.add_column("changed by each normaliser")
    for column in home.keys.report.columns:
        steps = [
            f"{one.step} {one.changed:,}" + (f" ({one.malformed:,} malformed)" if one.malformed else "")
            for one in column.steps
        ]
        cells = (column.name, f"{column.missing:,}", f"{column.malformed:,}", ", ".join(steps))
        table.add_row(*(Text(cell) for cell in cells))
    merged = home.keys.report.merged_keys
    if merged:
        table.caption = f"Keys on several rows that are one key only through these normalisers: {merged:,}."
        table.caption_justify = "left"
    return table


def _print_leaving(home: Home, console: Console) -> None:
    from parties.command.disclosure import sent_by_overlap

    party = home.party
    console.print(_disclosure(home))
    say(
        console,
        "The figures hold if the other side's list is as long as this one, all records match and every epoch is trained. "
        "Nothing else leaves, besides the keys and signs of life of the connection.",
    )
    if party.job.align.repeated == "many_to_one" and party.role == "feature":
        say(
            console,
            f"{party.job.label_party} may have many rows for one of these records: each of its rows takes an Embedding, and "
            "the figures for these grow with them.",
        )
    say(
        console,
        f"An overlap (vsplit overlap {party.file.name}) reads the key columns alone and sends only these of them: "
        f"{', '.join(sent_by_overlap(home))}.",
    )


def _disclosure(home: Home) -> Table:
    from parties.command.disclosure import what_leaves
    from parties.report.words import bytes_text

    table = Table(title=f"What this job lets leave {home.party.name}", title_justify="left", show_lines=True)
    table.add_column("message", no_wrap=True)
    table.add_column("to")
    table.add_column("times", justify="right", no_wrap=True)
    table.add_column("about", justify="right", no_wrap=True)
    table.add_column("what it reveals there")
    for row in what_leaves(home):
        times = f"{row.messages:,}" + (f" if {row.only_if}" if row.only_if else "")
        table.add_row(row.kind, row.to, times, bytes_text(row.bytes), row.reveals)
    return table
