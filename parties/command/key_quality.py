"""The quality of this party's keys, for `vsplit check`: a table of the key columns, and warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from parties.command.screen import print_text
from parties.config.party import Party
from psi import KeyReport, many_malformed

if TYPE_CHECKING:
    import pandas as pd

_MISSING_WORDS = (
    "N/A", "n/a", "NA", "#N/A", "NaN", "nan", "NULL", "null", "None", "none", "-", "--", "?", "unknown", "unbekannt",
)  # fmt: skip


def print_key_quality(party: Party, report: KeyReport, console: Console) -> None:
    """Print how often keys repeat, the quality of each key column, and a sentence for each with many malformed values."""
    if report.repeated_keys:
        print_text(
            console,
            f"Keys on several rows: {report.repeated_keys:,}, on {report.repeated_rows:,} rows in all; the job says "
            f"align.repeated: {party.job.align.repeated}{_in_role(party)}.",
        )
    console.print(_columns(party, report))
    for sentence in many_malformed(report.columns, report.rows):
        print_text(console, f"Warning: {sentence}", style="yellow")


def print_missing_words(keys: pd.DataFrame, console: Console) -> None:
    """Print how many values of each key column look like a word for a missing value; they are keys like any other."""
    for name, column in keys.items():
        found = int(column.isin(_MISSING_WORDS).sum())
        if found:
            print_text(
                console,
                f"Warning: {name}: {found:,} of {len(column):,} values look like a word for a missing value (such as N/A, null "
                "or -), but count as keys; leave them empty in the data.",
                style="yellow",
            )


def counts_in_words(report: KeyReport, without_label: int = 0) -> str:
    """The numbers of rows by their keys and labels, without those that are zero."""
    counts = {
        "without a key": report.missing,
        "with a malformed key": report.malformed,
        "left out because their key is repeated": report.left_out,
        "without a label": without_label,
    }
    rest = [f"{count:,} {what}" for what, count in counts.items() if count]
    return ", ".join([f"{report.usable:,} with a usable key", *rest])


def _in_role(party: Party) -> str:
    here = party.job.align.repeated_at(party.role)
    return "" if here == party.job.align.repeated else f", which at a feature party is {here}"


def _columns(party: Party, report: KeyReport) -> Table:
    table = Table(title=f"The key columns of {party.name}, in values", title_justify="left")
    table.add_column("column")
    for count in ("missing", "malformed"):
        table.add_column(count, justify="right", no_wrap=True)
    table.add_column("changed by each normaliser")
    for column in report.columns:
        steps = [
            f"{one.step}: {one.changed:,}" + (f" ({one.malformed:,} malformed)" if one.malformed else "")
            for one in column.steps
        ]
        cells = (column.name, f"{column.missing:,}", f"{column.malformed:,}", ", ".join(steps))
        table.add_row(*(Text(cell) for cell in cells))
    if report.merged_keys:
        table.caption = (
            f"Keys on several rows that became one key only through these normalisers: {report.merged_keys:,}."
        )
        table.caption_justify = "left"
    return table
