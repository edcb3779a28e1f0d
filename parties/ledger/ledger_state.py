"""The state of a ledger as a head signs it: its lines, and running hashes of the messages with one other party.

SPEC.md, section 8.
"""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from dataclasses import dataclass


class Stream:
    """The messages of one session, pair and direction as one running hash; its `recent` last values are retained."""

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
        """32 bytes: the hash over all messages so far."""
        return self._hash.copy().digest()

    def value_at(self, count: int) -> bytes | None:
        """What `value` was when there were `count` messages; None: no longer retained, or not reached yet."""
        if count == self.count:
            return self.value()
        return next((code.copy().digest() for number, code in reversed(self._recent) if number == count), None)


@dataclass(frozen=True, slots=True)
class SignedLine:
    """What a head says of its receiver's file: number and hash of the last line that it reported; `final` as in `Head`."""

    lines: int
    head: bytes
    final: bool


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The state of a ledger: its lines, the hash of the last one, and both streams with one other party.

    `sent` and `received` are numbers of messages in this session, as the ledger's own party counts them.
    """

    lines: int
    head: bytes
    sent: int
    sent_stream: bytes
    received: int
    received_stream: bytes

    def agrees_with(self, other: LedgerState) -> bool:
        """Whether `other`, of the party at the other end, has the same record of the messages between the two."""
        return (self.sent, self.sent_stream, self.received, self.received_stream) == (
            other.received,
            other.received_stream,
            other.sent,
            other.sent_stream,
        )
