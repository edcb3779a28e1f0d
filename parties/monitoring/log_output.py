"""Where log records go, and what they look like: the error output or a file, as text or JSON.

`parties.monitoring.logs` makes the records. What it adds to one is in the attributes `vsplit_party`, `vsplit_event` and
`vsplit_fields`.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import IO, Any

from parties.local.plain_file import open_to_append
from parties.local.text import json_text, visible


class ErrorOutput(logging.StreamHandler[IO[str]]):
    """The error output as it is at each record: a screen that draws in place replaces that of a terminal.

    Where the error output goes to a file and only the screen to a terminal, records go to that file.
    """

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        real = sys.__stderr__
        self.stream = sys.stderr if real is None or real.isatty() else real
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is that of `logging`
        """Ignore the error: there is no other output."""


class PrivateFile(WatchedFileHandler):
    """A file that this user alone can read, opened again where a rotation moved it away.

    Where it can no longer be written, that is reported once, the log ends, and the run continues.
    """

    def __init__(self, file: Path) -> None:
        self._ended = False
        super().__init__(file, encoding="utf-8")

    def _open(self) -> Any:
        return open(self.baseFilename, "a", encoding="utf-8", opener=open_to_append)

    def emit(self, record: logging.LogRecord) -> None:
        if self._ended:
            return
        try:
            super().emit(record)
        except OSError:  # on opening a new file in the place of one that was moved away
            self.handleError(record)

    def close(self) -> None:
        # An error on closing was reported before, or cannot be reported any more.
        with contextlib.suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is that of `logging`
        self._ended = True
        error = sys.exception()
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        print(
            f"The log {self.baseFilename} cannot be written ({why}): it ends here, and the run continues.",
            file=sys.stderr,
        )


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, party, event, message, and the fields of the event.

    Control characters and the like are in JSON's own spelling."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "party": getattr(record, "vsplit_party", ""),
            "event": getattr(record, "vsplit_event", ""),
            "message": record.getMessage(),
        }
        return json_text(line | dict(getattr(record, "vsplit_fields", {})))


class TextLines(logging.Formatter):
    """Time, level, logger, party and sentence. Control characters are spelt out, so that no record looks like two."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        sentence = visible(record.getMessage())
        party = getattr(record, "vsplit_party", "-")
        return f"{_time(record)} {record.levelname:<7} {record.name} {party}: {sentence}"


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
