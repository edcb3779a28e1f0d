"""How HTML pages are rendered: with every name escaped, and no character that is invisible or turns the text around."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from parties.local.text import visible
from parties.report.words import bytes_text, capitalised, count_text, duration_text, score_text


def html_template(file: Path) -> Template:
    """The template in `file`, with the filters of all pages. A variable that is not given is an error."""
    environment = Environment(
        loader=FileSystemLoader(file.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters.update(
        count=count_text, bytes=bytes_text, duration=duration_text, score=score_text, sentence=capitalised
    )
    return environment.get_template(file.name)


def _visible(value: object) -> object:
    """A text from a config or from data with such characters escaped; what the page itself has made is markup already."""
    return visible(value, keep="\n") if isinstance(value, str) and not isinstance(value, Markup) else value
