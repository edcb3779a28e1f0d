"""Standard output and error output that accept any text, and do not fail when the reader closes them.

A character that the output's encoding lacks is written as an escape, `Gr\\xf6\\xdfe`. A failed write raises no exception in the
code that prints, in whichever thread, since a run must not end for it; the exit code reports it, unless the command failed
otherwise.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
from typing import TextIO

from parties.local.text import without_surrogates

READER_GONE = 141
"""The exit code where the reader of the output closed it: that of a program ended by SIGPIPE in a shell."""
LOST = 1
"""The exit code where the output could not be written for another reason, such as a full disk."""


def _visible(error: UnicodeError) -> tuple[str, int]:
    """The replacement for characters that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = without_surrogates(error.object[error.start : error.end])
    try:
        text.encode(error.encoding)
    except UnicodeEncodeError:
        text = text.encode("ascii", "backslashreplace").decode()
    return text, error.end


codecs.register_error("visible", _visible)


class _Output(io.FileIO):
    """A file descriptor whose writes never fail. `lost` is the error of the first one that could not be written."""

    lost: OSError | None = None

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        if self.lost is None:
            try:
                while (written := super().write(view)) is None:  # it was made non-blocking, and it is full
                    select.select([], [self], [])
                return written
            except OSError as error:
                self.lost = error
        return view.nbytes


class Outputs:
    """Replaces `sys.stdout` and `sys.stderr` of this process by such outputs."""

    def __init__(self) -> None:
        _occupy_closed_outputs()
        self._out, sys.stdout = _opened(1, sys.stdout)
        self._err, sys.stderr = _opened(2, sys.stderr)
        # A log is written to the error output even while a screen replaces sys.stderr.
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]

    def code(self, code: int) -> int:
        """The exit code of a command that ends with `code`, once all is written."""
        sys.stdout.flush()
        lost = self._out.lost
        if isinstance(lost, BrokenPipeError):
            code = code or READER_GONE
        elif lost is not None:
            print(f"The output could not be written ({lost.strerror}); some of it is lost.", file=sys.stderr)
            code = code or LOST
        sys.stderr.flush()
        return code


def _occupy_closed_outputs() -> None:
    """Open the numbers of closed outputs, so that no file or socket gets one and receives what is printed."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _opened(descriptor: int, before: TextIO | None) -> tuple[_Output, io.TextIOWrapper[io.BufferedWriter]]:
    """A stream with the encoding and the buffering of the one before."""
    raw = _Output(descriptor, "w", closefd=False)
    encoding, prompt = "utf-8", True
    if isinstance(before, io.TextIOWrapper):
        before.flush()
        # An output without a buffer (PYTHONUNBUFFERED) shows each line at once.
        encoding, prompt = before.encoding, before.line_buffering or before.write_through
    return raw, io.TextIOWrapper(io.BufferedWriter(raw), encoding, "visible", line_buffering=prompt)
