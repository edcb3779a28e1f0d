"""The ledger of one party during a run: the driver, the transport and the session call it, and it appends lines.

SPEC.md, section 8. `verify` reads it afterwards.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from parties.ledger.digests import OpenKey, PairKey
from parties.ledger.file import ChainFile
from parties.ledger.heads import HeadPair
from parties.ledger.ledger_state import LedgerState, Stream
from parties.ledger.messages import OPEN_KINDS, head_line
from parties.ledger.opening import About, Now, end_line, open_file, utc
from parties.ledger.record import FORMAT, Crossed, Direction, NewSession, Position, Resent
from parties.ledger.signing import SessionBinding, Signer, public_keys
from parties.network.driver import UNREADABLE
from parties.network.transport import Absence
from vsplit import __version__
from vsplit.protocol import Bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """A ledger that is closed: its file, the number of its lines, and the hash of the last one in 64 hex digits."""

    path: Path
    lines: int
    head: str


@dataclass(slots=True)
class _Pair:
    """The messages with one other party in this session."""

    sent: Stream = field(default_factory=Stream)
    received: Stream = field(default_factory=Stream)
    key: PairKey | None = None


class Ledger:
    """The ledger of a party in one file. `open` creates it, or continues the one of an interrupted run.

    Any thread may call it. Once it could not be written, every call raises ConfigError: nothing leaves unrecorded.
    """

    def __init__(self, file: ChainFile, sessions: set[str], about: About, now: Now) -> None:
        self._file = file
        self._sessions = sessions  # all that have begun, now or earlier
        self._about = about
        self._now = now
        self._lock = threading.Lock()
        self._signer: Signer | None = None
        self._session = ""
        self._pairs: dict[str, _Pair] = {}
        self._open_key: OpenKey | None = None

    @classmethod
    def open(cls, path: Path, about: About, now: Now = utc) -> Self:
        """Create the ledger at `path`, or continue the one that exists; a line without an end is cut off first.

        A session without an end was cut off, and is ended as such; the job may have changed since. Raises ConfigError
        where it cannot be opened or written, is open in another process, is broken, or is the ledger of another party.
        """

        def now_utc() -> datetime:
            return now().astimezone(UTC)

        return cls(*open_file(path, about, now_utc), about, now_utc)

    @property
    def path(self) -> Path:
        """Its file."""
        return self._file.path

    @property
    def signer(self) -> Signer:
        """What this party signs with in this session."""
        if self._signer is None:
            raise ValueError("no session has begun")
        return self._signer

    def has_session(self, session: bytes) -> bool:
        """Whether the ledger has a session of this name already."""
        return session.hex() in self._sessions

    def begin_session(self, session: bytes) -> None:
        """The parties are connected: a session named by these 16 bytes begins, and messages are counted from 1.

        No earlier session of this ledger may have this name (`has_session`).
        """
        lines = dict(self._about.identities)
        keys = public_keys(lines)
        with self._lock:
            self._file.append(
                NewSession(
                    **self._next(),
                    session=session.hex(),
                    job=self._about.job,
                    digest=self._about.digest.hex(),
                    identities=lines,
                    version=__version__,
                    format=FORMAT,
                )
            )
            self._sessions.add(session.hex())
            self._signer = Signer(
                self._about.party, SessionBinding(self._about.digest, session, keys), self._about.sign
            )
            self._session = session.hex()
            self._pairs = defaultdict(_Pair)
            self._open_key = OpenKey(session)

    def set_key(self, peer: str, key: bytes) -> None:
        """From here on messages with `peer` are digested under `key`, 32 bytes, in this session."""
        with self._lock:
            self._pairs[peer].key = PairKey(key)

    def sent(self, to: str, kind: str, parts: Sequence[memoryview]) -> None:
        """Record a message that is about to be sent."""
        with self._lock:
            self._message("sent", to, kind, parts)

    def received(self, sender: str, kind: str, data: Bytes) -> None:
        """Record a message that was received."""
        with self._lock:
            self._message("received", sender, kind, (data.data,))

    # As an observer of the links (`parties.network.transport.LinkObserver`): messages that are sent again are recorded.

    def lost(self, peer: str, why: str) -> None:
        """Not recorded: no message crosses."""

    def away(self, absences: Sequence[Absence]) -> None:
        """Not recorded."""

    def back(self, peer: str) -> None:
        """Not recorded."""

    def resent(self, peer: str, first: int, last: int, size: int) -> None:
        """Record that messages `first` to `last` of this session to `peer` are sent again, `size` bytes with their frames."""
        with self._lock:
            if self._signer is None:
                return  # the session has ended here, and its last messages are still being delivered
            self._file.append(
                Resent(**self._next(), peer=peer, session=self._session, first=first, last=last, bytes=size)
            )

    def state_with(self, peer: str) -> LedgerState:
        """The state of this ledger, with its streams of messages with `peer`."""
        with self._lock:
            sent, received = self._pairs[peer].sent, self._pairs[peer].received
            return LedgerState(
                self._file.lines,
                bytes.fromhex(self._file.last),
                sent.count,
                sent.value(),
                received.count,
                received.value(),
            )

    def append_heads(self, exchanged: Mapping[str, HeadPair]) -> None:
        """Append the heads that were exchanged with each of these parties, and force the file to the disk."""
        me = self._about.party
        with self._lock:
            for peer, heads in exchanged.items():
                for signer, receiver, head in ((me, peer, heads.own), (peer, me, heads.theirs)):
                    self._file.append(head_line(head, signer, receiver, self._session, self._next()))
            self._file.sync()

    def sync(self) -> None:
        """Force what was written to the disk."""
        with self._lock:
            self._file.sync()

    def end_session(self, word: str) -> None:
        """End the session with this reason code. The line is signed, since no head covers the lines after the last one.

        Without a session this does nothing.
        """
        with self._lock:
            if self._signer is None:
                return
            binding, self._signer, self._pairs = self._signer.binding, None, {}
            self._file.append(end_line(self._about, binding, word, self._next()))
            self._file.sync()

    def close(self) -> Closed | None:
        """Close the file; a second call changes nothing. A session that has not ended stays so, as if the party was killed.

        A ledger in which no session ever began has nothing to report, and is removed: then the result is None.
        """
        with self._lock:
            self._file.close()
            if self._sessions:
                return Closed(self.path, self._file.lines, self._file.last)
            self.path.unlink(missing_ok=True)
        return None

    def discard(self) -> None:
        """Close the file and remove it: its lines are in the run folder."""
        self.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- with the lock acquired -------------------------------------------------------------------------------------------

    def _next(self) -> Position:
        """The position of the next line."""
        return Position(line=self._file.lines + 1, time=self._now(), before=self._file.last)

    def _message(self, direction: Direction, peer: str, kind: str, parts: Sequence[memoryview]) -> None:
        pair = self._pairs[peer]
        key = self._open_key if kind in OPEN_KINDS else pair.key
        if kind == UNREADABLE and key is None:
            key = self._open_key  # bytes in place of one of the first messages, which end the session
        if key is None:
            raise ValueError(f"a message of kind {kind} crosses before there is a key for its digest")
        stream, sender = (pair.sent, self._about.party) if direction == "sent" else (pair.received, peer)
        number, size = stream.count + 1, sum(len(part) for part in parts)
        digest = key.digest(sender, number, parts)
        self._file.append(
            Crossed(
                **self._next(),
                direction=direction,
                peer=peer,
                kind=kind,
                session=self._session,
                number=number,
                size=size,
                digest=digest.hex(),
            )
        )
        stream.add(kind, size, digest)
