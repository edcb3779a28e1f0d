"""One file of a run that is not finished: a head with its origin, a body, and a checksum over all of it.

    "vsplit kept 1\\n" | u32 length of head | head, JSON | body | 32 bytes of BLAKE2b over all before

A file that was cut off or changed in a single bit is detected. The checksum protects against accidents only: a person who can
write the file can make another.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from parties.checkpoints.origin import Origin
from parties.local.atomic import write_whole
from parties.local.plain_file import read_plain

Kind = Literal["alignment", "step", "final"]

MAGIC = b"vsplit kept 1\n"
_LENGTH, _CHECKSUM = 4, 32


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file says about itself. `run` is the run's name, 32 hexadecimal digits; `record` is what its writer adds.

    `first`: no state of this training existed when this one was stored.
    """

    kind: Kind
    run: str
    step: int
    origin: Origin
    record: msgspec.Raw = msgspec.field(name="told", default=msgspec.Raw(b"null"))
    first: bool = False


@dataclass(frozen=True, slots=True)
class ChecksummedFile:
    """A file that was read and is complete."""

    head: Head
    body: memoryview


class DamagedError(ValueError):
    """The file is incomplete, or is not one of these files. `str()` says which, in a few words."""


class OtherVersionError(ValueError):
    """The file is complete, and of a version of vsplit whose head this one does not read."""

    def __init__(self, version: str) -> None:
        super().__init__(f"it is of vsplit {version}")
        self.version = version


class _Version(msgspec.Struct, frozen=True):
    version: str


class _AnyHead(msgspec.Struct, frozen=True):
    """The part of a head that every version has."""

    origin: _Version


def write_checksummed(path: Path, head: Head, body: bytes | memoryview) -> None:
    """Write the file completely or not at all. Raises OSError."""
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
        return DamagedError("its head is not valid")
