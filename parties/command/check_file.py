"""`vsplit check`: chooses what is checked, and where the content of the page for the data-protection officer goes."""

from __future__ import annotations

from pathlib import Path

from parties.command.console import Console
from parties.command.disclosure_document import Document
from parties.command.disclosure_page import check_page, disclose
from parties.command.party_argument import check_party_argument
from vsplit.protocol import ConfigError


def check_file(party: Path, console: Console, *, overlap: bool, predict: bool, html: Path | None, as_json: bool) -> int:
    """Check a party file for a run, an overlap or a prediction; returns the exit code. Raises VsplitError."""
    check_party_argument(party)
    if predict and (overlap or html or as_json):
        raise ConfigError("--predict prints a table alone; omit --overlap, --html and --json.")
    page = None if html is None else check_page(html)

    def show(document: Document) -> None:
        disclose(document, page, console, print_json=as_json)

    if predict:
        from parties.command.check_predict import print_predict_check

        return print_predict_check(party, console)
    if overlap:
        from parties.command.check_overlap import print_overlap_check

        return print_overlap_check(party, console, show)
    from parties.command.check import print_check

    return print_check(party, console, show)
