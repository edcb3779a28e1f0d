"""The pages that are generated, and how they are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs.generator.api import api_page
from docs.generator.commands import commands_page
from docs.generator.config import configuration_page
from docs.generator.messages import messages_page
from docs.generator.monitoring import monitoring_page

REFERENCE = Path(__file__).parents[1] / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration_page,
    "commands.md": commands_page,
    "python.md": api_page,
    "messages.md": messages_page,
    "monitoring.md": monitoring_page,
}
NOTICE = "<!-- Written by `python -m docs.generator` from the code; do not change it by hand. -->\n\n"


def page(name: str) -> str:
    """The text of a generated page."""
    return NOTICE + PAGES[name]()


def write_pages() -> None:
    """Write all generated pages."""
    REFERENCE.mkdir(exist_ok=True)
    for name in PAGES:
        (REFERENCE / name).write_text(page(name), encoding="utf-8")
