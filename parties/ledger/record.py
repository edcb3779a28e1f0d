"""What a ledger consists of: its lines, the chain of their hashes, the digests of messages, and running streams of them.

SPEC.md, section 8. Nothing here reads or writes a file, or knows a key that signs.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

FORMAT: Final = 2
"""The format that this version writes. In format 1 a head did not repeat the last line that its receiver had told."""
NO_HASH = "0" * 64
"""What the first line has for the hash of the line before it."""
FINISHED = "finished"
"""The word in which a session ends that went well."""
CUT = "cut"
"""The word in which a session is ended that had no end, when the party comes again: it was killed, or its machine stopped."""
MOST_LINE = 1 << 16
"""No line is longer, in bytes."""
DIGEST = 16
"""Bytes of a message's digest."""
_NONCE = 12

Direction = Literal["sent", "received"]
Hash = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Session = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Signature = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{128}\Z")]
# All of these reach a person's screen, so nothing but plain words gets there.
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


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="what"):
    """What all lines have: their number from 1, when they were written, and the hash of the line before."""

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
    """The parties have met; what comes after belongs to this session. The job may be another one than in the first line.

    `format` says how the heads of this session are made: a ledger that an older version began may go on in a later format.
    """

    session: Session
    job: JobName
    digest: Hash
    identities: dict[Name, Identity]
    version: Version
    format: Literal[1, 2] = 1


class Crossed(Line, frozen=True, kw_only=True, tag="message"):
    """One message that left or came; `number` counts this session, direction and peer from 1."""

    direction: Direction
    peer: Name
    kind: Kind
    session: Session
    number: Number
    size: Count
    digest: Digest


class Resent(Line, frozen=True, kw_only=True, tag="resent"):
    """A link was made again: the messages to `peer` numbered from `first` to `last` left once more, `bytes` with frames."""

    peer: Name
    session: Session
    first: Number
    last: Number
    bytes: Count


class Head(Line, frozen=True, kw_only=True, omit_defaults=True, tag="head"):
    """What `signer` had on record, signed for `receiver`: its whole file, and both streams of the pair as it sees them.

    `peer_lines` and `peer_head` repeat number and hash of the last line that `receiver` had told, so that the file of
    `receiver` is held up to that line by a signature that is not its own. `final`: the training has ended. A head of format
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
    """A crash had left `bytes` bytes of a line without an end; they were cut off when the run went on."""

    bytes: Number


class End(Line, frozen=True, kw_only=True, omit_defaults=True, tag="end"):
    """The session is over: `finished`, the word by which its end was told to the others, or `cut`. Signed by this party.

    `identity` is there where a party that comes again to a session that was cut has another key by now, as in each launch
    with `identity: auto`: then it has signed with that one.
    """

    session: Session
    word: Word
    signature: Signature
    identity: Identity | None = None


AnyLine = Begin | NewSession | Crossed | Resent | Head | Torn | End
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyLine] = msgspec.json.Decoder(AnyLine)


def encode(line: AnyLine) -> bytes:
    """The line as it stands in the file, without its line feed."""
    return _encoder.encode(line)


def decode(raw: bytes) -> AnyLine:
    """The line in `raw`; raises ValueError where there is none. Its time keeps the offset in which it is written."""
    if len(raw) > MOST_LINE:
        raise ValueError("a line that is too long")
    try:
        line = _decoder.decode(raw)
        if line.time.utcoffset():
            line.time.astimezone(UTC)  # so that whoever shows it can do so, too
    except (msgspec.DecodeError, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from None
    return line


def chained(raw: bytes) -> str:
    """The hash of a line, which the next line holds."""
    return hashlib.sha256(raw).hexdigest()


# --- digests ----------------------------------------------------------------------------------------------------------


class OpenKey:
    """What digests are made with as long as two parties have no key: the session's name, which all parties know.

    A hash, since a tag by a key that others know would tell them about the random numbers of the message.
    """

    __slots__ = ("_session",)

    def __init__(self, session: bytes) -> None:
        self._session = session

    def digest(self, sender: str, number: int, parts: Sequence[memoryview | bytes]) -> bytes:
        """DIGEST bytes for the message with this number of `sender` whose wire bytes are `parts`, one behind the other."""
        name = sender.encode()
        code = hmac.new(self._session, struct.pack(">QB", number, len(name)) + name, "sha256")
        for part in parts:
            code.update(part)
        return code.digest()[:DIGEST]


class PairKey:
    """The key under which two parties digest the messages between them; `repr` does not show it."""

    __slots__ = ("_ciphers", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._ciphers: dict[str, tuple[bytes, AESGCM]] = {}  # by the sender, since both sides count from 1

    def digest(self, sender: str, number: int, parts: Sequence[memoryview | bytes]) -> bytes:
        """DIGEST bytes for the message with this number of `sender` whose wire bytes are `parts`, one behind the other.

        No two messages may have the same number and sender.
        """
        if sender not in self._ciphers:
            key = hmac.digest(self._key, sender.encode(), "sha256")
            self._ciphers[sender] = key, AESGCM(key)
        (key, cipher), nonce = self._ciphers[sender], number.to_bytes(_NONCE, "big")
        # The tag of a message of which nothing is encrypted and everything authenticated: GMAC.
        if len(parts) == 1:
            return cipher.encrypt(nonce, b"", parts[0])
        encryptor = Cipher(AES(key), GCM(nonce)).encryptor()
        for part in parts:
            encryptor.authenticate_additional_data(part)
        encryptor.finalize()
        return encryptor.tag


class Stream:
    """Messages of one session, pair and direction, as one running hash; the `recent` values of it can be asked for."""

    __slots__ = ("_hash", "_recent", "count")

    def __init__(self, recent: int = 1) -> None:
        self._hash = hashlib.sha256()
        self.count = 0
        self._recent = deque([(0, self._hash.copy())], maxlen=recent)

    def add(self, kind: str, size: int, digest: bytes) -> None:
        """One more message."""
        name = kind.encode()
        self._hash.update(struct.pack(">QI", size, len(name)) + name + digest)
        self.count += 1
        if self._recent.maxlen != 1:
            self._recent.append((self.count, self._hash.copy()))

    def value(self) -> bytes:
        """32 bytes that stand for all messages so far."""
        return self._hash.copy().digest()

    def value_at(self, count: int) -> bytes | None:
        """What `value` was when there were `count` messages; None: that is too long ago, or has not been."""
        if count == self.count:
            return self.value()
        return next((code.copy().digest() for number, code in reversed(self._recent) if number == count), None)


@dataclass(frozen=True, slots=True)
class Pin:
    """What a head says of its receiver's file: number and hash of the last line that it told; `final` as in `Head`."""

    lines: int
    head: bytes
    final: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a ledger is: its lines, the hash of the last one, and both streams with one other party.

    `sent` and `received` are numbers of messages in this session, from the view of the ledger's own party.
    """

    lines: int
    head: bytes
    sent: int
    sent_stream: bytes
    received: int
    received_stream: bytes

    def agrees_with(self, other: Standing) -> bool:
        """Whether `other`, of the party at the other end, tells the same of the messages between the two."""
        return (self.sent, self.sent_stream, self.received, self.received_stream) == (
            other.received,
            other.received_stream,
            other.sent,
            other.sent_stream,
        )
