"""Adds sessions to the ledger of a finished run in its run folder.

Where a party starts again to finish a run that the other parties have finished, these connect with a new ledger. The messages
of that session belong to the finished run, as in the ledger of that party; otherwise the two ledgers would have different
records of the run. The same applies to a session that failed before any run began.
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
    """The ledger of a run, opened before it is known which run that will be."""

    @property
    def has_sessions(self) -> bool:
        """Whether it has any session."""
        return bool(self._sessions)

    def has_sessions_besides(self, session: str) -> bool:
        """Whether the ledger has another session than the one of this name."""
        return bool(self._sessions - {session})

    def continue_from(self, finished: Path) -> bool:
        """Put all lines of the ledger `finished` before those of this one; returns whether it has them now.

        This is for a run that this party has finished, and that resumes for the other parties. `finished` is closed, and is
        not changed. If a head has been signed in the current session, nothing is done. Raises ConfigError; then this ledger
        is unchanged.
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
            present = survey(finished).sessions
            if present.keys() <= self._sessions:
                return True
            path = self.path
            moving = _lines_to_move(path, present, self._about, unfinished=True)
            if moving is None:
                return False
            file, sessions = _copy_with(finished, _copy_of(path), moving, self._about)
            try:
                file.path = path
                _copy_of(path).replace(path)
            except BaseException:
                file.close()
                raise
            self._file.close()
            self._file = file
            self._sessions |= sessions | moving.found.sessions.keys()
            sync_folder(path.parent)
        return True


def merge_ledgers(finished: Path, later: Path, about: About) -> bool:
    """Add all sessions of the ledger `later` to the ledger `finished`; returns whether it has them.

    Both are closed, and this party's. A ledger in which a head was signed is not merged, unless it has all lines of
    `finished` before its own, since the signature covers its lines as they are. Neither is one that is incomplete, nor one
    with a session that was not cut off, and was signed with a key that is not the party's any more. Raises ConfigError or
    OSError where `finished` cannot be written. It is replaced atomically: it is unchanged, or has all sessions.
    """
    lock = ChainFile(finished)
    try:
        if continues(finished, later):
            if survey(later).faults:
                return False
            write_whole(finished, pieces(later))
            return True
        moving = _lines_to_move(later, survey(finished).sessions, about)
        if moving is None:
            return False
        if moving.lines:
            _copy_with(finished, _copy_of(finished), moving, about)[0].close()
            rename(_copy_of(finished), finished.name)
    finally:
        lock.close()
    return True


def continues(finished: Path, later: Path) -> bool:
    """Whether the ledger `later` begins with all of `finished`, byte for byte. Raises OSError."""
    if later.stat().st_size < finished.stat().st_size:
        return False
    with open_plain(later) as other:
        return all(other.read(len(piece)) == piece for piece in pieces(finished))


def has_no_run(ledger: Path) -> bool:
    """Whether all sessions in this ledger ended before the parties had agreed on a start."""
    kinds: set[str] = set()
    survey(
        ledger, each=lambda _session, line: kinds.add(current_name(line.kind)) if isinstance(line, Crossed) else None
    )
    return kinds <= START_KINDS


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines that are to be appended to another ledger, and the examination of their own."""

    lines: list[_Movable]
    found: Examined


def _lines_to_move(
    later: Path, present: Mapping[str, SessionRecord], about: About, *, unfinished: bool = False
) -> _Lines | None:
    """The lines of all sessions in `later` that are not in `present`; None where one of them cannot be moved."""
    found = survey(later, unfinished=unfinished)
    if found.faults or found.torn:
        return None
    known = found.sessions.keys() & present.keys()
    if not all(_is_same(found.sessions[name], present[name]) for name in known):
        return None
    if not all(_can_be_signed(session, about) for name, session in found.sessions.items() if name not in known):
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
    return _Lines(lines, found)


def _is_same(one: SessionRecord, other: SessionRecord) -> bool:
    return one.end == other.end and dict(one.counts) == dict(other.counts)


def _can_be_signed(session: SessionRecord, about: About) -> bool:
    """The end of a session is signed again where it is moved, and only a session that was cut off may end under another key."""
    own = PublicIdentity.parse(about.identities[about.party]).key
    return session.end in (None, CUT) or session.binding.identities.get(about.party) == own


def _copy_with(finished: Path, copy: Path, moving: _Lines, about: About) -> tuple[ChainFile, set[str]]:
    """Write `finished` with these lines after it to `copy`; returns that file, and the sessions that `finished` has."""
    try:
        write_whole(copy, pieces(finished))
        file, sessions = open_file(copy, about, utc)
        try:
            for line in moving.lines:
                file.append(_moved(line, file, moving.found, about))
            file.sync()
        except BaseException:
            file.close()
            raise
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to report
            copy.unlink(missing_ok=True)
        raise
    return file, sessions


def _moved(line: _Movable, file: ChainFile, found: Examined, about: About) -> _Movable:
    """The line as the next one of `file`. The signature of an end covers its position, so it is made again."""
    if isinstance(line, End):
        return end_line(about, found.sessions[line.session].binding, line.word, next_position(file, lambda: line.time))
    return msgspec.structs.replace(line, line=file.lines + 1, before=file.last)


def _copy_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.joined")
