"""The console that all commands print to."""

from __future__ import annotations

from collections.abc import Iterable

from rich import console as rich_console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from parties.local.text import visible


class Console(rich_console.Console):
    """Rich's console, which escapes control characters in names and sentences.

    The control sequences of the console itself, for colours and positions, are separate from the text and unchanged.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As in the parent, with the text of each segment escaped."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text, keep="\n"), segment.style)
