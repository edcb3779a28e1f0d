"""Standard output and error output that can take any text, and that no reader can break by going away.

A character that the output's encoding does not have is written as its code, `Gr\\xf6\\xdfe`: it is seen, and stands for no
other one. A write that fails is not told to whoever prints, in whichever thread, since a run must not end for that; the
exit code says it, unless there is something worse to say.
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
"""The exit code where whoever read the output has closed it: what a shell says of a program that SIGPIPE has ended."""
LOST = 1
"""The exit code where the output could not be written for another reason, such as a full disk."""


def _visible(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an encoding lacks."""
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
    """A file descriptor that takes all that is written to it. `lost` is why something could not be written."""

    lost: OSError | None = None

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        if self.lost is None:
            try:
                while (written := super().write(view)) is None:  # somebody made it non-blocking, and it is full
                    select.select([], [self], [])
                return written
            except OSError as error:
                self.lost = error
        return view.nbytes


class Outputs:
    """Standard output and error output of this process, which `sys.stdout` and `sys.stderr` are from now on."""

    def __init__(self) -> None:
        _open_what_is_closed()
        self._out, sys.stdout = _opened(1, sys.stdout)
        self._err, sys.stderr = _opened(2, sys.stderr)
        # A log goes to the error output as it was before a screen took it over.
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]

    def code(self, code: int) -> int:
        """The exit code of a command that ends with `code`, once all is written."""
        sys.stdout.flush()
        lost = self._out.lost
        if isinstance(lost, BrokenPipeError):
            code = code or READER_GONE
        elif lost is not None:
            print(f"The output could not be written ({lost.strerror}), and some of it is lost.", file=sys.stderr)
            code = code or LOST
        sys.stderr.flush()
        return code


def _open_what_is_closed() -> None:
    """Let no file or socket be opened under the number of an output that is closed: what is printed would go there."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _opened(descriptor: int, before: TextIO | None) -> tuple[_Output, io.TextIOWrapper[io.BufferedWriter]]:
    """A stream in the encoding of the one that was there, and as promptly written."""
    raw = _Output(descriptor, "w", closefd=False)
    encoding, prompt = "utf-8", True
    if isinstance(before, io.TextIOWrapper):
        before.flush()
        # An output without a buffer (PYTHONUNBUFFERED) shows each line at once.
        encoding, prompt = before.encoding, before.line_buffering or before.write_through
    return raw, io.TextIOWrapper(io.BufferedWriter(raw), encoding, "visible", line_buffering=prompt)
