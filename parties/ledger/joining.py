"""Sessions that belong to a run which has finished already: its ledger in the run folder is told of them as well.

Where a party comes again to end a run that others have finished, these meet it with a ledger that has just begun. What
crosses then belongs to the finished run, as it does in that party's own ledger; or else the ledgers of the two would not tell
the same story of it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from parties.ledger.examined import Examined
from parties.ledger.file import ChainFile
from parties.ledger.opening import About, end_line, open_file, utc
from parties.ledger.record import AnyLine, Begin, Crossed, End, NewSession, Resent, decode
from parties.ledger.verify import survey

_MOVABLE = (NewSession, Crossed, Resent, End)


def join_ledgers(finished: Path, later: Path, about: About) -> bool:
    """Add all sessions in the ledger `later` to the one in `finished`; whether that was done.

    Both are closed, and this party's. A ledger in which a head was signed stays by itself, since the signature covers its
    lines as they are; so does one that is not whole. Raises ConfigError where `finished` cannot be written, which then is as
    it was, and OSError.
    """
    found = survey(later)
    if found.faults:
        return False
    lines = [decode(raw) for raw in later.read_bytes().splitlines()]
    if not isinstance(lines[0], Begin) or not all(isinstance(line, _MOVABLE) for line in lines[1:]):
        return False
    file, sessions = open_file(finished, about, utc)
    size = finished.stat().st_size
    try:
        if sessions & set(found.sessions):
            return False
        for line in lines[1:]:
            file.append(_moved(line, file, found, about))
        file.sync()
    except BaseException:
        with contextlib.suppress(OSError):
            os.truncate(finished, size)
        raise
    finally:
        file.close()
    return True


def _moved(line: AnyLine, file: ChainFile, found: Examined, about: About) -> AnyLine:
    """The line as the next one of `file`. The signature of an end covers its place, so it is made anew."""
    if isinstance(line, End):
        return end_line(about, found.sessions[line.session].bond, line.word, file.lines + 1, line.time, file.last)
    return msgspec.structs.replace(line, line=file.lines + 1, before=file.last)
