"""Reads a ledger and checks that it is unbroken; each fault is reported with its line, in a sentence.

SPEC.md, section 8. It needs nothing but the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from parties.ledger.examination import Examined, Hashes, SessionRecord
from parties.ledger.line_checks import Each, LineChecker
from parties.ledger.record import MOST_LINE, Crossed, Head, Resent
from parties.local.plain_file import open_plain
from vsplit.protocol import ConfigError

# A head follows the line that its signer had last, by as many lines as the signer exchanges with all others meanwhile.
_RECENT_LINES = 1 << 12
_TOO_LONG = b" " * (MOST_LINE + 1)


def examine(path: Path, *, unfinished: bool = False) -> Examined:
    """Read the ledger at `path` and check it. Raises ConfigError where there is none, or it cannot be read.

    `unfinished`: the run may resume, so that the last session need not have ended, and a torn last line is no fault. The
    result takes about 100 bytes of memory for each message.
    """
    return _read(path, unfinished, Hashes(), _store)


def survey(path: Path, *, unfinished: bool = False, each: Each | None = None) -> Examined:
    """As `examine`, with the same checks, in bounded memory: neither messages nor older hashes are retained.

    `each` is called with each line about messages, and with the session to which it belongs.
    """
    return _read(path, unfinished, Hashes(_RECENT_LINES), each or (lambda _session, _line: None))


def _store(session: SessionRecord, line: Crossed | Resent | Head) -> None:
    if isinstance(line, Crossed):
        session.streams[line.direction, line.peer].add(line)
    elif isinstance(line, Resent):
        session.resent.append(line)
    else:
        session.heads.append((line.line, line))


def _read(path: Path, unfinished: bool, hashes: Hashes, each: Each) -> Examined:
    checker = LineChecker(Examined(path, hashes=hashes), each)
    try:
        for raw, whole in _lines(path):
            if whole:
                checker.next_line(raw)
            else:
                checker.found.torn = len(raw)
        if checker.late:
            for number, (raw, _) in enumerate(_lines(path), 1):
                checker.recheck(number, raw)
    except OSError as error:
        raise ConfigError(f"The ledger {path} cannot be read: {error.strerror}.") from None
    checker.finish(unfinished)
    return checker.found


def _lines(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Each line without its line feed, and whether it has one; of one that is longer than vsplit writes, some other bytes."""
    with open_plain(path) as file:
        while raw := file.readline(MOST_LINE + 1):
            if raw.endswith(b"\n"):
                yield raw[:-1], True
            elif len(raw) <= MOST_LINE:
                yield raw, False
            else:
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(MOST_LINE)
                yield _TOO_LONG, True
