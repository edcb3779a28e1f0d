"""Turns messages and control frames into the bytes of one link; `frames` has the format."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from parties.network import frames
from parties.network.frames import HEAD, MAGIC, NO_SESSION, Type

_ONE_PIECE = 64 * 1024  # a frame of up to so many bytes is one piece

Frame = tuple[bytes | memoryview, ...]
"""The pieces of one frame, in their order; what they hold must not change."""


class FrameWriter:
    """Numbers the messages of one link and cuts them into frames."""

    def __init__(self, session: bytes = NO_SESSION) -> None:
        self.session = session
        self.sequence = 0

    def message(self, parts: Sequence[memoryview], acknowledged: int) -> Iterator[Frame]:
        """The frames of one message.

        The head of a long frame is a piece of its own, so that it travels, and is read, while the rest is being encrypted.
        """
        self.sequence += 1
        total = left = sum(len(part) for part in parts)
        rest = deque(part for part in parts if len(part))
        while left:
            length = min(left, frames.CHUNK)
            head, slices = self._head(Type.DATA, length, acknowledged, total), _take(rest, length)
            left -= length
            if length <= _ONE_PIECE:
                yield (b"".join([head, *slices]),)
            elif len(slices) == 1 and isinstance(slices[0].obj, bytes):
                yield head, slices[0]
            else:
                yield head, b"".join(slices)  # a copy, since a frame may be sent again after its arrays have changed

    def control(self, kind: Type, acknowledged: int, payload: bytes = b"") -> bytes:
        """One control frame. Only DONE has a number of its own."""
        if kind is Type.DONE:
            self.sequence += 1
        return self._head(kind, len(payload), acknowledged, 0) + payload

    def _head(self, kind: Type, length: int, acknowledged: int, total: int) -> bytes:
        return HEAD.pack(MAGIC, kind, length, self.session, self.sequence, acknowledged, total)


def _take(parts: deque[memoryview], length: int) -> list[memoryview]:
    """Remove the first `length` bytes from the parts and return them."""
    taken: list[memoryview] = []
    while length:
        part = parts.popleft()
        taken.append(part[:length])
        if len(part) > length:
            parts.appendleft(part[length:])
        length -= len(taken[-1])
    return taken
