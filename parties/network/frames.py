"""The frames that travel over one link: their format, and a reader of them without I/O.

Every frame has the same 48-byte head, little endian:

    u16 magic | u8 type | u8 zero | u32 length | 16 bytes session | u64 sequence | u64 acknowledged | u64 total

A message travels as one or more DATA frames of at most 257 KiB, one after another. `total` is the length of the whole
message, `sequence` its number on this link, counted from 1, and `acknowledged` the last message that the sender of the frame
has received whole. JOIN is the first frame of a process that has just started, with 16 random bytes of that process in place
of the session; WELCOME is the answer and names the session. RESUME is the first frame on a connection that replaces a lost
one, and also the answer. BEAT is the heartbeat. STOP ends the session with a reason code; it is also the first frame, or
the answer to one, where a party does not join. DONE announces that no message follows; it has a number of its own, so that
it is acknowledged and sent again like a message.

`FrameReader` does no I/O: `room` returns the memory for the next bytes, and `filled` takes how many were written there. So a
message is received directly into the memory in which its arrays are used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from parties.network import codec
from vsplit.protocol import Bytes

HEAD = struct.Struct("<HBxI16sQQQ")
MAGIC = 0x5653
CHUNK = 257 * 1024  # arrays often have 256 KiB, and would need a second frame for the rest of their message
MOST_CONTROL = 64
NO_SESSION = bytes(16)


class Type(IntEnum):
    """The types of frame."""

    DATA = 1
    WELCOME = 2
    BEAT = 3
    STOP = 4
    DONE = 5
    JOIN = 6
    RESUME = 7


_TYPES = {int(kind): kind for kind in Type}
# The first frames of a connection; they are never allowed later.
_OPENING = (Type.WELCOME, Type.JOIN, Type.RESUME)
_SCRATCH = 64 * 1024
_AT_FIRST = 1 << 20  # bytes allocated for a message whose head has come; more with what follows


class FrameError(ValueError):
    """Bytes that are no frame of this session. The text follows "<party> sent"."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The first frame on a connection, in either direction: a head and, in a STOP, a reason.

    The `session` of a JOIN, and of the STOP of a feature party, is 16 random bytes of the process that sent it, by which the
    process is recognised when it connects again.
    """

    type: Type
    session: bytes
    acknowledged: int
    reason: bytes = b""


@dataclass(frozen=True, slots=True)
class Control:
    """A frame other than DATA, with its short payload."""

    type: Type
    payload: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    """One whole message: its number on the link and its bytes, a uint8 array."""

    sequence: int
    data: Bytes


def read_opening(head: bytes) -> tuple[Opening, int]:
    """The first frame of a connection from its 48-byte head, and how many bytes of payload follow; raises FrameError."""
    magic, kind, length, session, _, acknowledged, _ = HEAD.unpack(head)
    if magic != MAGIC or (kind not in _OPENING and kind != Type.STOP):
        raise FrameError("bytes that open no vsplit link")
    if length > (MOST_CONTROL if kind == Type.STOP else 0):
        raise FrameError("a control frame that is too long")
    return Opening(Type(kind), session, acknowledged), length


class FrameReader:
    """Turns the bytes of one link into control frames and whole messages.

    `most` bounds the length of a message. The memory of a message grows with the bytes that have come, never with the length
    that a head claims alone: beyond 1 MiB the buffer doubles as it fills. A message that had come before, on a connection
    that was lost, is read and dropped.
    """

    def __init__(self, session: bytes, most: int) -> None:
        self.acknowledged = 0  # the highest in any frame
        self.received = 0  # number of the last message that has come whole
        self.dropped = 0  # bytes of messages that had come before
        self.in_session = False  # a frame of this session has come
        self._session = session
        self._most = most
        self._head = bytearray(HEAD.size)
        self._view = memoryview(self._head)
        self._scratch = memoryview(b"")
        self._spare: Bytes | None = None  # memory for the next message
        self.restart()

    def restart(self) -> None:
        """The connection is lost: discard what came in part, and expect the head of a frame next."""
        self._have = 0  # bytes of the head
        self._type: Type | None = None
        self._small = bytearray()
        self._left = 0  # bytes of the frame that are still to come
        self._sequence = 0
        self._total = 0  # length of the message that is arriving; 0: none is
        self._got = 0  # bytes of it that have come
        self._message: Bytes | None = None  # None while a message is dropped

    @property
    def total(self) -> int:
        """Length of the message that is arriving, in bytes; 0 where none is, or one that is dropped."""
        return self._total if self._message is not None else 0

    @property
    def pending(self) -> int:
        """Bytes that have come of the message that is arriving."""
        return self._got if self._message is not None else 0

    def expect(self, limit: int) -> None:
        """A role waits for a message of at most `limit` bytes: allocate its memory, 1 MiB at most, while there is time."""
        if self._spare is None and not self._total:
            self._spare = codec.buffer(min(limit, _AT_FIRST))

    def room(self) -> memoryview:
        """The memory for the next bytes of the link."""
        if self._type is None:
            return self._view[self._have :]
        if self._type is Type.DATA:
            return self._message_room()
        return memoryview(self._small)[len(self._small) - self._left :]

    def filled(self, count: int) -> Iterator[Control | Arrived]:
        """`count` bytes were written into `room()`: yield the control frame or message that is complete by now, if one is."""
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
                if self._message is None:
                    self.dropped += count
        if self._left == 0:
            yield from self._end_frame()

    def _begin_frame(self) -> None:
        magic, kind, length, session, sequence, acknowledged, total = HEAD.unpack(self._head)
        frame = _TYPES.get(kind)
        if magic != MAGIC or frame is None:
            raise FrameError("bytes that are no vsplit frame")
        if session != self._session:
            raise FrameError("a frame of another session")
        if frame in _OPENING:
            raise FrameError("the opening of a link in the middle of it")
        self.in_session = True
        # A message that is sent again carries the acknowledgement of its first sending.
        self.acknowledged = max(self.acknowledged, acknowledged)
        if frame is Type.DATA:
            self._begin_data(sequence, length, total)
        else:
            if length > MOST_CONTROL:
                raise FrameError("a control frame that is too long")
            self._small = bytearray(length)
        if frame is Type.DONE:
            self._check_done(sequence)
        self._type, self._left, self._frame_sequence = frame, length, sequence

    def _begin_data(self, sequence: int, length: int, total: int) -> None:
        if not self._total:
            if not 0 < sequence <= self.received + 1:
                raise FrameError("a message out of order")
            if not 0 < total <= self._most:
                raise FrameError(f"a message of {total:,} bytes where at most {self._most:,} are allowed")
            self._sequence, self._total, self._got = sequence, total, 0
            self._message = self._first_room(min(total, _AT_FIRST)) if sequence > self.received else None
        elif (sequence, total) != (self._sequence, self._total):
            raise FrameError("a message inside another message")
        if not 0 < length <= min(CHUNK, self._total - self._got):
            raise FrameError("a frame longer than its message")

    def _check_done(self, sequence: int) -> None:
        if self._total:
            raise FrameError("its DONE inside a message")
        if not 0 < sequence <= self.received + 1:
            raise FrameError("its DONE out of order")

    def _first_room(self, size: int) -> Bytes:
        spare, self._spare = self._spare, None
        # Arrays are views of this memory, so it must not be much larger than they need.
        return spare[:size] if spare is not None and size <= len(spare) <= 2 * size else codec.buffer(size)

    def _message_room(self) -> memoryview:
        if self._message is None:
            if not self._scratch:
                self._scratch = memoryview(bytearray(_SCRATCH))
            return self._scratch[: self._left]
        if self._got == len(self._message):
            larger = codec.buffer(min(self._total, 2 * len(self._message)))
            larger[: self._got] = self._message
            self._message = larger
        return self._message.data[self._got : self._got + self._left]

    def _end_frame(self) -> Iterator[Control | Arrived]:
        frame, self._type = self._type, None
        if frame is Type.DATA:
            if self._got == self._total:
                message, self._message, self._total = self._message, None, 0
                if message is not None:
                    self.received = self._sequence
                    yield Arrived(self._sequence, message)
        elif frame is Type.DONE:
            if self._frame_sequence > self.received:
                self.received = self._frame_sequence
                yield Control(frame, b"")
        elif frame is not None:
            yield Control(frame, bytes(self._small))
