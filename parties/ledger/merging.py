"""Sessions that belong to a run which has finished already: its ledger in the run folder is told of them as well.

Where a party comes again to end a run that others have finished, these meet it with a ledger that has just begun. What
crosses then belongs to the finished run, as it does in that party's own ledger; or else the ledgers of the two would not tell
the same story of it. The same holds for a session that failed before any run began.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from parties.ledger.examination import Examined, SessionRecord
from parties.ledger.exchange_rules import START_KINDS
from parties.ledger.file import ChainFile
from parties.ledger.kinds import current_name
from parties.ledger.ledger import Ledger
from parties.ledger.opening import About, end_line, next_position, open_file, utc
from parties.ledger.record import CUT, Begin, Crossed, End, NewSession, Resent, decode
from parties.ledger.verify import survey
from parties.local.atomic import pieces, rename, sync_folder, write_whole
from parties.local.plain_file import open_plain
from parties.network.identity import PublicIdentity
from vsplit.protocol import StorageError

_Movable = NewSession | Crossed | Resent | End


class RunLedger(Ledger):
    """The ledger of a run, begun before it is known which run that will be."""

    @property
    def has_sessions(self) -> bool:
        """Whether any session stands in it."""
        return bool(self._sessions)

    def has_sessions_besides(self, session: str) -> bool:
        """Whether the ledger has another session than the one of this name."""
        return bool(self._sessions - {session})

    def continue_from(self, finished: Path) -> bool:
        """Let what is on record here follow on all that `finished` tells; whether it does so now.

        This is for a run that this party has finished, and that goes on with the others all the same. `finished` is closed,
        and stays as it is. No head has been signed in the session that goes on; otherwise the ledger stays by itself.
        Raises ConfigError, and then it is as it was.
        """
        try:
            return self._continue_from(finished)
        except OSError as error:
            raise StorageError(
                f"The ledger {self.path} cannot be written ({error.strerror}): free some space, then give the same command "
                "again."
            ) from None

    def _continue_from(self, finished: Path) -> bool:
        with self._lock:
            there = survey(finished).sessions
            if there.keys() <= self._sessions:
                return True
            path = self.path
            moving = _moving(path, there, self._about, goes_on=True)
            if moving is None:
                return False
            file, sessions = _followed(finished, _half(path), moving, self._about)
            try:
                file.path = path
                _half(path).replace(path)
            except BaseException:
                file.close()
                raise
            self._file.close()
            self._file = file
            self._sessions |= sessions | moving.found.sessions.keys()
            sync_folder(path.parent)
        return True


def merge_ledgers(finished: Path, later: Path, about: About) -> bool:
    """See that all sessions in the ledger `later` stand in the one in `finished`; whether they do.

    Both are closed, and this party's. A ledger in which a head was signed stays by itself, unless it has all lines of
    `finished` before its own, since the signature covers its lines as they are. So does one that is not whole, and one with a
    session that ended well or in a word under a key which is not the party's any more. Raises ConfigError or OSError where
    `finished` cannot be written. It is replaced in one, so whatever ends this, it is as it was, or has all of them.
    """
    lock = ChainFile(finished)
    try:
        if continues(finished, later):
            if survey(later).faults:
                return False
            write_whole(finished, pieces(later))
            return True
        moving = _moving(later, survey(finished).sessions, about)
        if moving is None:
            return False
        if moving.lines:
            _followed(finished, _half(finished), moving, about)[0].close()
            rename(_half(finished), finished.name)
    finally:
        lock.close()
    return True


def continues(finished: Path, later: Path) -> bool:
    """Whether the ledger `later` has all that `finished` has, byte for byte, before its own. Raises OSError."""
    if later.stat().st_size < finished.stat().st_size:
        return False
    with open_plain(later) as other:
        return all(other.read(len(piece)) == piece for piece in pieces(finished))


def has_no_run(ledger: Path) -> bool:
    """Whether all sessions in this ledger ended before anything else crossed than what parties say when they meet."""
    kinds: set[str] = set()
    survey(ledger, each=lambda _told, line: kinds.add(current_name(line.kind)) if isinstance(line, Crossed) else None)
    return kinds <= START_KINDS


@dataclass(frozen=True, slots=True)
class _Moving:
    """Lines that are to follow on those of another ledger, and what was found where they stand."""

    lines: list[_Movable]
    found: Examined


def _moving(later: Path, there: Mapping[str, SessionRecord], about: About, *, goes_on: bool = False) -> _Moving | None:
    """The lines of all sessions in `later` that do not stand there; None where one of them cannot be moved."""
    found = survey(later, unfinished=goes_on)
    if found.faults or found.torn:
        return None
    known = found.sessions.keys() & there.keys()
    if not all(_is_same(found.sessions[name], there[name]) for name in known):
        return None
    if not all(_can_be_signed(told, about) for name, told in found.sessions.items() if name not in known):
        return None
    lines: list[_Movable] = []
    with open_plain(later) as file:
        for line in map(decode, file):
            if isinstance(line, Begin):
                continue
            if not isinstance(line, _Movable):
                return None
            if line.session not in known:
                lines.append(line)
    return _Moving(lines, found)


def _is_same(one: SessionRecord, other: SessionRecord) -> bool:
    return one.end == other.end and dict(one.counts) == dict(other.counts)


def _can_be_signed(told: SessionRecord, about: About) -> bool:
    """An end is signed anew where it is moved, and only a session that was cut off is ended under another key than its own."""
    own = PublicIdentity.parse(about.identities[about.party]).key
    return told.end in (None, CUT) or told.binding.identities.get(about.party) == own


def _followed(finished: Path, half: Path, moving: _Moving, about: About) -> tuple[ChainFile, set[str]]:
    """A copy of `finished` in `half`, on which these lines follow, on the disk; and the sessions that `finished` has."""
    try:
        write_whole(half, pieces(finished))
        file, sessions = open_file(half, about, utc)
        try:
            for line in moving.lines:
                file.append(_moved(line, file, moving.found, about))
            file.sync()
        except BaseException:
            file.close()
            raise
    except BaseException:
        with contextlib.suppress(OSError):  # what went wrong first is what counts
            half.unlink(missing_ok=True)
        raise
    return file, sessions


def _moved(line: _Movable, file: ChainFile, found: Examined, about: About) -> _Movable:
    """The line as the next one of `file`. The signature of an end covers its place, so it is made anew."""
    if isinstance(line, End):
        return end_line(about, found.sessions[line.session].binding, line.word, next_position(file, lambda: line.time))
    return msgspec.structs.replace(line, line=file.lines + 1, before=file.last)


def _half(path: Path) -> Path:
    return path.with_name(f".{path.name}.joined")
