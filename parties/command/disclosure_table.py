"""The table of the messages that will leave this party, for `vsplit check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from parties.report.words import bytes_text

if TYPE_CHECKING:
    from parties.command.disclosure import OutgoingMessages


def disclosure_table(leaving: Sequence[OutgoingMessages], title: str) -> Table:
    """A table of what leaves, with what it reveals."""
    table = Table(title=title, title_justify="left", show_lines=True)
    table.add_column("message", no_wrap=True)
    table.add_column("to")
    table.add_column("times", justify="right", no_wrap=True)
    table.add_column("about", justify="right", no_wrap=True)
    table.add_column("what it reveals there", overflow="fold")  # also a path that is longer than the column
    for row in leaving:
        times = f"{row.messages:,}" + (f" if {row.only_if}" if row.only_if else "")
        table.add_row(row.kind, row.to, times, bytes_text(row.bytes), row.reveals)
    return table
