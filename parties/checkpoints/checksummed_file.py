"""One file of a run that is not finished: a head that says whose it is, a body, and a checksum over all of it.

    "vsplit kept 1\\n" | u32 length of head | head, JSON | body | 32 bytes of BLAKE2b over all before

A file that was cut off or changed in a single bit is found. The checksum is against accidents: who can write the file can
make another.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from parties.local.atomic import write_whole
from parties.local.plain_file import read_plain

Kind = Literal["alignment", "step", "final"]

MAGIC = b"vsplit kept 1\n"
_LENGTH, _CHECKSUM = 4, 32


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a file comes from, and so what may go on with it.

    `job`: digests of the job, key by key. `home`: digests of this party's own data and of what its file says of them.
    `environment`: on what the results may hang in their last bits.
    """

    version: str
    party: str
    job: dict[str, str]
    home: dict[str, str]
    environment: dict[str, str]


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file says of itself. `run` is the run's name, 32 hexadecimal digits; `told` is for whoever wrote it.

    `first`: no state of this training was there when this one was kept.
    """

    kind: Kind
    run: str
    step: int
    origin: Origin
    told: msgspec.Raw = msgspec.Raw(b"null")
    first: bool = False


@dataclass(frozen=True, slots=True)
class ChecksummedFile:
    """A file that was read and is whole."""

    head: Head
    body: memoryview


class DamagedError(ValueError):
    """The file is not whole, or is none of these files. `str()` says which of them, in a few words."""


class OtherVersionError(ValueError):
    """The file is whole, and of a version of vsplit whose head this one does not read."""

    def __init__(self, version: str) -> None:
        super().__init__(f"it is of vsplit {version}")
        self.version = version


class _Version(msgspec.Struct, frozen=True):
    version: str


class _AnyHead(msgspec.Struct, frozen=True):
    """The part of a head that every version has."""

    origin: _Version


def write_checksummed(path: Path, head: Head, body: bytes | memoryview) -> None:
    """Write the file, whole or not at all. Raises OSError."""
    encoded = msgspec.json.encode(head)
    parts = [MAGIC, len(encoded).to_bytes(_LENGTH, "little"), encoded, body]
    checksum = hashlib.blake2b(digest_size=_CHECKSUM)
    for part in parts:
        checksum.update(part)
    write_whole(path, [*parts, checksum.digest()])


def read_checksummed(path: Path) -> ChecksummedFile:
    """Read the file. Raises DamagedError, OtherVersionError or OSError."""
    whole = memoryview(read_plain(path))
    begin = len(MAGIC) + _LENGTH
    if len(whole) < begin + _CHECKSUM or whole[: len(MAGIC)] != MAGIC:
        raise DamagedError("it is cut off, or no such file")
    content, checksum = whole[:-_CHECKSUM], whole[-_CHECKSUM:]
    if not hmac.compare_digest(hashlib.blake2b(content, digest_size=_CHECKSUM).digest(), checksum):
        raise DamagedError("its checksum is wrong")
    end = begin + int.from_bytes(whole[len(MAGIC) : begin], "little")
    try:
        head = msgspec.json.decode(content[begin:end], type=Head)
    except msgspec.MsgspecError:
        raise _unreadable(content[begin:end]) from None
    return ChecksummedFile(head, content[end:])


def _unreadable(head: memoryview) -> ValueError:
    try:
        return OtherVersionError(msgspec.json.decode(head, type=_AnyHead).origin.version)
    except msgspec.MsgspecError:
        return DamagedError("its head is none")
