"""Frames: what goes over one link, without the link.

Every frame has the same 48-byte head, little endian:

    u16 magic | u8 type | u8 zero | u32 length | 16 bytes session | u64 sequence | u64 acknowledged | u64 total

A message travels as one or more DATA frames of at most 256 KiB, one behind the other; `total` is the length of the
whole message, `sequence` its number on this link, counted from 1. `acknowledged` is the last message that the sender
of the frame has received. WELCOME opens a session, BEAT says that one is alive, STOP ends the session with one word
that says why, DONE says that no message will follow.

`FrameReader` is a machine without I/O: it says where the next bytes belong (`room`) and is told how many came
(`filled`), so that a message is received straight into the memory in which its arrays will be used.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from parties.network import wire
from vsplit.protocol import Bytes

HEAD = struct.Struct("<HBxI16sQQQ")
MAGIC = 0x5653
CHUNK = 256 * 1024
MOST_CONTROL = 64
NO_SESSION = bytes(16)


class Type(IntEnum):
    """The types of frame."""

    DATA = 1
    WELCOME = 2
    BEAT = 3
    STOP = 4
    DONE = 5


_TYPES = {int(kind): kind for kind in Type}
_BEFORE_WELCOME = (Type.WELCOME, Type.STOP)


class FrameError(ValueError):
    """Bytes that are no frame of this session. The sentence goes on from "<party> sent"."""


@dataclass(frozen=True, slots=True)
class Control:
    """A frame other than DATA, with its short payload."""

    type: Type
    session: bytes
    payload: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    """One whole message: its number on the link and its bytes, a uint8 array."""

    sequence: int
    data: Bytes


class FrameReader:
    """Turns the bytes of one link into control frames and whole messages.

    `most` bounds the length of a message. The memory of a message grows with what has come, never with what a head
    claims alone: beyond 1 MiB the buffer doubles as it fills.
    """

    def __init__(self, most: int) -> None:
        self.session = NO_SESSION
        self.acknowledged = 0
        self._most = most
        self._head = bytearray(HEAD.size)
        self._view = memoryview(self._head)
        self._have = 0
        self._type: Type | None = None
        self._small = bytearray()
        self._left = 0  # bytes of the frame that are still to come
        self._sequence = 0
        self._total = 0
        self._message: Bytes | None = None
        self._got = 0  # bytes of the message that have come

    @property
    def total(self) -> int:
        """Length of the message that is on its way, in bytes; 0 when none is."""
        return self._total if self._message is not None else 0

    @property
    def pending(self) -> int:
        """Bytes of the message on its way that have come."""
        return self._got if self._message is not None else 0

    def room(self) -> memoryview:
        """Where the next bytes of the link belong."""
        if self._type is None:
            return self._view[self._have :]
        if self._type is Type.DATA:
            return self._message_room()
        return memoryview(self._small)[len(self._small) - self._left :]

    def filled(self, count: int) -> Iterator[Control | Arrived]:
        """`count` bytes were written into `room()`: the frames and messages that are complete by now."""
        if self._type is None:
            self._have += count
            if self._have < HEAD.size:
                return
            self._have = 0
            self._begin_frame()
        else:
            self._left -= count
            if self._type is Type.DATA:
                self._got += count
        if self._left == 0:
            yield from self._end_frame()

    def _begin_frame(self) -> None:
        magic, kind, length, session, sequence, self.acknowledged, total = HEAD.unpack(self._head)
        frame = _TYPES.get(kind)
        if magic != MAGIC or frame is None:
            raise FrameError("bytes that are no vsplit frame")
        if self.session not in (session, NO_SESSION):
            raise FrameError("a frame of another session")
        if self.session == NO_SESSION and frame not in _BEFORE_WELCOME:
            raise FrameError("a frame before its welcome")
        if frame is not Type.DATA:
            if length > MOST_CONTROL:
                raise FrameError("a control frame that is too long")
            self._small = bytearray(length)
        elif self._message is None:
            self._begin_message(sequence, total)
        elif (sequence, total) != (self._sequence, self._total):
            raise FrameError("a message inside another message")
        if frame is Type.DATA and not 0 < length <= min(CHUNK, self._total - self._got):
            raise FrameError("a frame longer than its message")
        self._type, self._left, self._frame_session = frame, length, session

    def _begin_message(self, sequence: int, total: int) -> None:
        if sequence != self._sequence + 1:
            raise FrameError("a message out of order")
        if not 0 < total <= self._most:
            raise FrameError(f"a message of {total:,} bytes where at most {self._most:,} are allowed")
        self._sequence, self._total, self._got = sequence, total, 0
        self._message = wire.buffer(min(total, 1 << 20))

    def _message_room(self) -> memoryview:
        assert self._message is not None  # noqa: S101 - set by _begin_message before the type is DATA
        if self._got == len(self._message):
            larger = wire.buffer(min(self._total, 2 * len(self._message)))
            larger[: self._got] = self._message
            self._message = larger
        return self._message.data[self._got : self._got + self._left]

    def _end_frame(self) -> Iterator[Control | Arrived]:
        frame, self._type = self._type, None
        if frame is Type.DATA:
            if self._got == self._total and self._message is not None:
                message, self._message = self._message, None
                yield Arrived(self._sequence, message)
        elif frame is not None:
            yield Control(frame, self._frame_session, bytes(self._small))


class FrameWriter:
    """Turns messages and control frames into the bytes of one link."""

    def __init__(self, session: bytes = NO_SESSION) -> None:
        self.session = session
        self.sequence = 0

    def message(self, parts: Sequence[memoryview], acknowledged: int) -> Iterator[bytes]:
        """The frames of one message, each one piece of bytes."""
        self.sequence += 1
        total = left = sum(len(part) for part in parts)
        rest = deque(part for part in parts if len(part))
        while left:
            length = min(left, CHUNK)
            frame: list[bytes | memoryview] = [self._head(Type.DATA, length, acknowledged, total)]
            room = length
            while room:
                part = rest.popleft()
                frame.append(part[:room])
                if len(part) > room:
                    rest.appendleft(part[room:])
                room -= len(frame[-1])
            left -= length
            yield b"".join(frame)

    def control(self, kind: Type, acknowledged: int, payload: bytes = b"") -> bytes:
        """One control frame."""
        return self._head(kind, len(payload), acknowledged, 0) + payload

    def _head(self, kind: Type, length: int, acknowledged: int, total: int) -> bytes:
        return HEAD.pack(MAGIC, kind, length, self.session, self.sequence, acknowledged, total)
