"""Renders and writes the page of `vsplit check --html`, and prints the JSON of `--json`."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from parties.command.disclosure_document import Document, as_json
from parties.command.screen import print_text
from parties.local.atomic import write_whole
from parties.local.text import json_line
from vsplit.protocol import ConfigError, StorageError

SUFFIXES = (".html", ".htm")


def render_disclosure(document: Document) -> str:
    """The page as HTML text: the same text for the same document. Every name is escaped, and the page loads nothing."""
    from parties.command.disclosure import OF_THE_CONNECTION
    from parties.report.html import html_template
    from parties.report.words import time_text

    return html_template(Path(__file__).with_name("disclosure.html.j2")).render(
        document=document, made=time_text(document.made), of_the_connection=OF_THE_CONNECTION
    )


def check_page(file: Path) -> Path:
    """The absolute path of a page that can be written. Raises ConfigError where it is anything else."""
    file = file.absolute()
    if file.is_dir():
        raise ConfigError(f"--html names {file}, which is a folder; name a file in it, such as {file / 'check.html'}.")
    if file.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"--html names {file}, which does not end in {' or '.join(SUFFIXES)}; a page must, so that no other file is "
            "overwritten."
        )
    if not file.parent.is_dir():
        raise ConfigError(f"--html names {file}, but the folder {file.parent} does not exist; create it first.")
    return file


def disclose(document: Document, page: Path | None, console: Console, *, print_json: bool) -> None:
    """Write the page if one is wanted, and print its path; print one line of JSON if that is wanted.

    Raises StorageError where the page cannot be written.
    """
    if page is not None:
        try:
            write_whole(page, [render_disclosure(document).encode("utf-8")])
        except OSError as error:
            raise StorageError(
                f"The page {page} cannot be written ({error.strerror}): free some space, or name another file with --html."
            ) from None
        print_text(console, f"Page for the data-protection officer: {page}")
    if print_json:
        typer.echo(json_line(as_json(document)))
