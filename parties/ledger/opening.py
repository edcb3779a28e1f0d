"""Opens a ledger: a new one, or the one of an interrupted run. SPEC.md, section 8."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from parties.ledger.examination import Examined
from parties.ledger.file import ChainFile
from parties.ledger.record import CUT, Begin, End, Position, Torn
from parties.ledger.signing import SessionBinding, Sign
from parties.ledger.verify import survey
from parties.network.identity import PublicIdentity
from vsplit import __version__
from vsplit.protocol import ConfigError

Now = Callable[[], datetime]
"""The time, with its zone."""


@dataclass(frozen=True, slots=True)
class About:
    """What the first line of a ledger says, and what its party signs with.

    `digest` is that of the job, 32 bytes (`exchange.job_digest`); `identities` has the identity line of every party.
    """

    party: str
    role: Literal["label", "feature"]
    job: str
    digest: bytes
    identities: Mapping[str, str]
    sign: Sign = field(repr=False)


def utc() -> datetime:
    """The time now."""
    return datetime.now(UTC)


def open_file(path: Path, about: About, now: Now) -> tuple[ChainFile, set[str]]:
    """The file at `path`, ready for the next line, and the names of all its sessions.

    Raises what `Ledger.open` says.
    """
    file = ChainFile(path)
    try:
        found = survey(path, unfinished=True)
        _check(path, about, found)
        file.resume_at(found.lines, found.last, found.whole)
        if found.begin is None:
            _begin(file, about, now)
        if found.torn:
            file.append(Torn(**next_position(file, now), bytes=found.torn))
        if found.open_session is not None:
            file.append(end_line(about, found.open_session.binding, CUT, next_position(file, now)))
        file.sync()
    except BaseException:
        file.close()
        raise
    return file, set(found.sessions)


def next_position(file: ChainFile, now: Now) -> Position:
    """The position of the next line of `file`."""
    return Position(line=file.lines + 1, time=now(), before=file.last)


def end_line(about: About, binding: SessionBinding, word: str, position: Position) -> End:
    """The line that ends the session of this binding, signed with the key that the party has now."""
    signature = about.sign(binding.end_statement(about.party, word, position))
    own = PublicIdentity.parse(about.identities[about.party])
    return End(
        **position,
        session=binding.session.hex(),
        word=word,
        signature=signature.hex(),
        identity=None if binding.identities.get(about.party) == own.key else own.line,
    )


def _check(path: Path, about: About, found: Examined) -> None:
    if found.faults:
        raise ConfigError(
            f"This party's own ledger {path} is broken, and nothing leaves that cannot be put on record. "
            f"{found.faults[0].sentence} Find out who changed the file, or which disk damaged it; then move it away, retain it "
            "if you have to account for what it records, and give the same command again, which begins another ledger."
        )
    if found.begin is not None and found.begin.party != about.party:
        raise ConfigError(
            f"The ledger {path} is that of {found.begin.party}, and this party is {about.party}: give each party a folder "
            "of its own in the key output of its party file."
        )


def _begin(file: ChainFile, about: About, now: Now) -> None:
    file.append(
        Begin(
            **next_position(file, now),
            party=about.party,
            role=about.role,
            job=about.job,
            digest=about.digest.hex(),
            identities=dict(about.identities),
            version=__version__,
        )
    )
