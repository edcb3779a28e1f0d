"""Frames: what goes over one link, without the link.

Every frame has the same 48-byte head, little endian:

    u16 magic | u8 type | u8 zero | u32 length | 16 bytes session | u64 sequence | u64 acknowledged | u64 total

A message travels as one or more DATA frames of at most 257 KiB, one behind the other; `total` is the length of the
whole message, `sequence` its number on this link, counted from 1. `acknowledged` is the last message that the sender
of the frame has received whole. JOIN is the first frame of a process that has just started, with 16 random bytes of that
process in place of the session, and WELCOME the answer, which names the session; RESUME is the first frame on a
connection that takes the place of a lost one, and also the answer. BEAT says that one is alive, STOP ends the session
with one word that says why, and is the first frame, or the answer to it, where a party will not join. DONE says that no
message will follow; it has a number of its own, so that it is acknowledged and sent again like a message.

`FrameReader` is a machine without I/O: it says where the next bytes belong (`room`) and is told how many came
(`filled`), so that a message is received straight into the memory in which its arrays will be used.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from parties.network import codec
from vsplit.protocol import Bytes

HEAD = struct.Struct("<HBxI16sQQQ")
MAGIC = 0x5653
CHUNK = 257 * 1024  # arrays often have 256 KiB, and would need a second frame for the rest of their message
MOST_CONTROL = 64
NO_SESSION = bytes(16)
_TOGETHER = 64 * 1024  # a frame of up to so many bytes is one piece

Frame = tuple[bytes | memoryview, ...]
"""The pieces of one frame, in their order; nobody changes what they hold."""


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
# The first frames of a connection, which never come later.
_OPENING = (Type.WELCOME, Type.JOIN, Type.RESUME)
_SCRATCH = 64 * 1024
_AT_FIRST = 1 << 20  # bytes of memory for a message whose head has come; it grows with what follows


class FrameError(ValueError):
    """Bytes that are no frame of this session. The sentence goes on from "<party> sent"."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The first frame on a connection, one way or the other: it has a head and, where it is a STOP, a word.

    The `session` of a JOIN, and of the STOP of a feature party, is 16 random bytes of the process that sent it: by them it is
    known when it comes again.
    """

    type: Type
    session: bytes
    acknowledged: int
    word: bytes = b""


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

    `most` bounds the length of a message. The memory of a message grows with what has come, never with what a head
    claims alone: beyond 1 MiB the buffer doubles as it fills. A message that came before, on a connection that was
    lost, is read and dropped.
    """

    def __init__(self, session: bytes, most: int) -> None:
        self.acknowledged = 0  # the highest that any frame has said
        self.received = 0  # the last number that has come whole
        self.dropped = 0  # bytes of messages that had come before
        self.heard = False  # a frame of this session has come
        self._session = session
        self._most = most
        self._head = bytearray(HEAD.size)
        self._view = memoryview(self._head)
        self._scratch = memoryview(b"")
        self._spare: Bytes | None = None  # memory for the message that is awaited
        self.restart()

    def restart(self) -> None:
        """The connection is lost: what came in part is forgotten, and a frame begins where a new one begins."""
        self._have = 0  # bytes of the head
        self._type: Type | None = None
        self._small = bytearray()
        self._left = 0  # bytes of the frame that are still to come
        self._sequence = 0
        self._total = 0  # length of the message that is on its way; 0: none is
        self._got = 0  # bytes of it that have come
        self._message: Bytes | None = None  # None while a message is dropped

    @property
    def total(self) -> int:
        """Length of the message that is on its way, in bytes; 0 when none is, or one that is dropped."""
        return self._total if self._message is not None else 0

    @property
    def pending(self) -> int:
        """Bytes of the message on its way that have come."""
        return self._got if self._message is not None else 0

    def expect(self, limit: int) -> None:
        """A message of at most `limit` bytes is awaited: its memory, 1 MiB at most, is got while there is time for it."""
        if self._spare is None and not self._total:
            self._spare = codec.buffer(min(limit, _AT_FIRST))

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
        self.heard = True
        # A message that is sent again bears the number that was the last when it was first sent.
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
            raise FrameError("its last word inside a message")
        if not 0 < sequence <= self.received + 1:
            raise FrameError("its last word out of order")

    def _first_room(self, size: int) -> Bytes:
        spare, self._spare = self._spare, None
        # Arrays are views of this memory, so it may not be much more than they need.
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


class FrameWriter:
    """Turns messages and control frames into the bytes of one link."""

    def __init__(self, session: bytes = NO_SESSION) -> None:
        self.session = session
        self.sequence = 0

    def message(self, parts: Sequence[memoryview], acknowledged: int) -> Iterator[Frame]:
        """The frames of one message.

        The head of a long frame is a piece of its own: so it travels, and is read, while the rest is being encrypted.
        """
        self.sequence += 1
        total = left = sum(len(part) for part in parts)
        rest = deque(part for part in parts if len(part))
        while left:
            length = min(left, CHUNK)
            head, slices = self._head(Type.DATA, length, acknowledged, total), _take(rest, length)
            left -= length
            if length <= _TOGETHER:
                yield (b"".join([head, *slices]),)
            elif len(slices) == 1 and isinstance(slices[0].obj, bytes):
                yield head, slices[0]
            else:
                yield head, b"".join(slices)  # a copy, since a frame may have to go again when its arrays have changed

    def control(self, kind: Type, acknowledged: int, payload: bytes = b"") -> bytes:
        """One control frame, without a number of its own; DONE has one."""
        if kind is Type.DONE:
            self.sequence += 1
        return self._head(kind, len(payload), acknowledged, 0) + payload

    def _head(self, kind: Type, length: int, acknowledged: int, total: int) -> bytes:
        return HEAD.pack(MAGIC, kind, length, self.session, self.sequence, acknowledged, total)


def _take(parts: deque[memoryview], length: int) -> list[memoryview]:
    """Takes the first `length` bytes out of the parts."""
    taken: list[memoryview] = []
    while length:
        part = parts.popleft()
        taken.append(part[:length])
        if len(part) > length:
            parts.appendleft(part[length:])
        length -= len(taken[-1])
    return taken
