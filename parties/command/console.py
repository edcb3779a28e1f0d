"""The console that all commands print to."""

from __future__ import annotations

from collections.abc import Iterable

from rich import console as rich_console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from parties.local.text import visible


class Console(rich_console.Console):
    """Rich's console, through which no control character in a name or a sentence reaches the terminal.

    What the console itself draws with, colours and the places of lines, is apart from the text and stays.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As in the parent, with the text of each segment made visible."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text, keep="\n"), segment.style)
