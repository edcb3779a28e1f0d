"""The lines of a ledger, and the chain of their hashes. SPEC.md, section 8."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, TypedDict

import msgspec

FORMAT: Final = 2
"""The format that this version writes. In format 1 a head did not repeat the last line that its receiver had reported."""
NO_HASH = "0" * 64
"""What the first line has for the hash of the line before it."""
FINISHED = "finished"
"""The reason code of a session that ended without an error."""
CUT = "cut"
"""The reason code of a session without an end, which the party's next start ends: it was killed, or its machine stopped."""
MOST_LINE = 1 << 16
"""No line is longer, in bytes."""

Direction = Literal["sent", "received"]
Hash = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Session = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Signature = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{128}\Z")]
# All of these are shown on a screen, so they hold only harmless characters.
Name = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z][A-Za-z0-9_-]{0,31}\Z")]
JobName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
Kind = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z][A-Za-z0-9_]{0,63}\Z")]
Word = Annotated[str, msgspec.Meta(pattern=r"\A[a-z]{1,32}\Z")]
Version = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z.+!_-]{1,40}\Z")]
Identity = Annotated[str, msgspec.Meta(pattern=r"\Avsplit1[a-z2-7]{58}\Z")]
MOST = (1 << 53) - 1
"""No number in a ledger is larger, so that every program that reads JSON reads it as it is."""
Number = Annotated[int, msgspec.Meta(ge=1, le=MOST)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Position(TypedDict):
    """Where a line is: its number from 1, when it was written, and the hash of the line before."""

    line: int
    time: datetime
    before: str


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="what"):
    """What all lines have; see `Position`."""

    line: Number
    time: Time
    before: Hash


class Begin(Line, frozen=True, kw_only=True, tag="begin"):
    """The first line: whose ledger this is, of which job."""

    format: Literal[1, 2] = FORMAT
    party: Name
    role: Literal["label", "feature"]
    job: JobName
    digest: Hash
    identities: dict[Name, Identity]
    version: Version


class NewSession(Line, frozen=True, kw_only=True, omit_defaults=True, tag="session"):
    """The parties are connected; the next lines belong to this session. The job may be another one than in the first line.

    `format` is that of the heads of this session: a ledger that an older version began may continue in a later format.
    """

    session: Session
    job: JobName
    digest: Hash
    identities: dict[Name, Identity]
    version: Version
    format: Literal[1, 2] = 1


class Crossed(Line, frozen=True, kw_only=True, tag="message"):
    """One message that was sent or received; `number` counts this session, direction and peer from 1."""

    direction: Direction
    peer: Name
    kind: Kind
    session: Session
    number: Number
    size: Count
    digest: Digest


class Resent(Line, frozen=True, kw_only=True, tag="resent"):
    """A link was restored: the messages to `peer` numbered from `first` to `last` were sent again, `bytes` with frames."""

    peer: Name
    session: Session
    first: Number
    last: Number
    bytes: Count


class Head(Line, frozen=True, kw_only=True, omit_defaults=True, tag="head"):
    """What `signer` had recorded, signed for `receiver`: its whole file, and both streams of the pair as it counts them.

    `peer_lines` and `peer_head` repeat number and hash of the last line that `receiver` had reported, so that the file of
    `receiver` is covered up to that line by a signature of another party. `final`: the training has ended. A head of format
    1 has none of the three.
    """

    signer: Name
    receiver: Name
    session: Session
    lines: Number
    head: Hash
    sent: Count
    sent_stream: Hash
    received: Count
    received_stream: Hash
    signature: Signature
    peer_lines: Number | None = None
    peer_head: Hash | None = None
    final: bool = False


class Torn(Line, frozen=True, kw_only=True, tag="torn"):
    """A crash had left `bytes` bytes of a line without an end; they were cut off when the run resumed."""

    bytes: Number


class End(Line, frozen=True, kw_only=True, omit_defaults=True, tag="end"):
    """The session has ended: `finished`, the reason code that was sent to the other parties, or `cut`. Signed by this party.

    `identity` is given where the party ends a session that was cut off under another key, as each launch with
    `identity: auto` makes one: then it has signed with that key.
    """

    session: Session
    word: Word
    signature: Signature
    identity: Identity | None = None


AnyLine = Begin | NewSession | Crossed | Resent | Head | Torn | End
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyLine] = msgspec.json.Decoder(AnyLine)


def position_of(line: Line) -> Position:
    """The position of this line."""
    return Position(line=line.line, time=line.time, before=line.before)


def encode(line: AnyLine) -> bytes:
    """The line as it is in the file, without its line feed."""
    return _encoder.encode(line)


def decode(raw: bytes) -> AnyLine:
    """The line in `raw`; raises ValueError where there is none. Its time has the offset with which it is written."""
    if len(raw) > MOST_LINE:
        raise ValueError("a line that is too long")
    try:
        line = _decoder.decode(raw)
        if line.time.utcoffset():
            line.time.astimezone(UTC)  # so that it can be shown, too
    except (msgspec.DecodeError, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from None
    return line


def chained(raw: bytes) -> str:
    """The hash of a line, which the next line has."""
    return hashlib.sha256(raw).hexdigest()
