"""The page and the JSON of `vsplit check --html` and `--json`, and where they go."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from parties.command.disclosure_document import Document, as_json
from parties.command.screen import say
from parties.local.atomic import write_whole
from parties.local.text import json_line
from vsplit.protocol import ConfigError, StorageError

SUFFIXES = (".html", ".htm")


def render_disclosure(document: Document) -> str:
    """The page as HTML text: the same text for the same document. Every name in it is escaped, and it loads nothing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from parties.command.disclosure import OF_THE_CONNECTION
    from parties.report.words import bytes_text, capitalised, count_text, time_text

    page = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_plain,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters.update(count=count_text, bytes=bytes_text, sentence=capitalised)
    return page.get_template("disclosure.html.j2").render(
        document=document, made=time_text(document.made), of_the_connection=OF_THE_CONNECTION
    )


def _plain(value: object) -> object:
    """A text from a partner's job may hold signs that turn the direction of what follows, or are not seen: they are named."""
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(one if one.isprintable() or one == "\n" else f"<U+{ord(one):04X}>" for one in value)


def check_page(file: Path) -> Path:
    """The absolute path of a page that can be written. Raises ConfigError where it names something else."""
    file = file.absolute()
    if file.is_dir():
        raise ConfigError(f"--html names {file}, which is a folder; name a file in it, such as {file / 'check.html'}.")
    if file.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"--html names {file}, which does not end in {' or '.join(SUFFIXES)}; so that no other file is overwritten, a page "
            "must."
        )
    if not file.parent.is_dir():
        raise ConfigError(f"--html names {file}, but the folder {file.parent} does not exist; make it first.")
    return file


def disclose(document: Document, page: Path | None, console: Console, *, print_json: bool) -> None:
    """Write the page where it is wanted and say where it is; print one line of JSON where that is wanted.

    Raises StorageError where the page cannot be written.
    """
    if page is not None:
        try:
            write_whole(page, [render_disclosure(document).encode("utf-8")])
        except OSError as error:
            raise StorageError(
                f"The page {page} cannot be written ({error.strerror}): free some space, or name another file by --html."
            ) from None
        say(console, f"Page for the data-protection officer: {page}")
    if print_json:
        typer.echo(json_line(as_json(document)))
