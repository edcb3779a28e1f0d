"""The encoding of messages as bytes, and their decoding.

    u32 length of the head | head | padding | array 0 | padding | array 1 | ...

The head is MessagePack: the kind of the message and its fields, each array as (dtype, shape). The arrays follow in the
order of the fields, little endian, C order, each on a 64-byte boundary. `encode` copies no large array; `decode` copies
none at all: its arrays are writable views of the buffer into which the transport received. No pickle and no code crosses.
"""

from __future__ import annotations

import math
import struct
from functools import cache
from typing import Any, TypeVar

import msgspec
import numpy as np

from vsplit.protocol import Bytes, Message

M = TypeVar("M", bound=Message)

ALIGNMENT = 64
_LENGTH = struct.Struct("<I")
_MOST_HEAD = 1 << 20
_ZEROS = bytes(ALIGNMENT)
# Bytes up to which a message is copied into one piece, so that neither its digest nor a long frame needs another copy.
_JOINED = 1 << 20
_FOREIGN = {
    "unknown field": "an unknown field",
    "Invalid enum value": "an unknown value",
}


class WireError(ValueError):
    """Bytes that are not a message of the kind that is due. The text follows "<party> sent"."""


class _Head(msgspec.Struct, array_like=True, frozen=True):
    kind: str
    fields: msgspec.Raw


def buffer(size: int) -> Bytes:
    """`size` writable bytes that start on a 64-byte boundary, as a uint8 array [size]."""
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size]


def encode(message: Message) -> list[memoryview]:
    """The parts of one message in the order in which they are sent.

    A message of up to 1 MiB is one part, which is a copy; the arrays of a longer one are parts themselves.
    """
    arrays: list[np.ndarray[Any, Any]] = []

    def describe(value: object) -> object:
        if not isinstance(value, np.ndarray):
            raise TypeError(f"{type(value).__name__} cannot be part of a message")
        arrays.append(np.ascontiguousarray(value))
        return value.dtype.str, value.shape

    kind = type(message).__name__
    fields = msgspec.Raw(msgspec.msgpack.encode(message, enc_hook=describe))
    head = msgspec.msgpack.encode(_Head(kind, fields))
    parts = [memoryview(_LENGTH.pack(len(head)) + head)]
    size = len(parts[0])
    for array in arrays:
        parts.append(memoryview(_ZEROS)[: -size % ALIGNMENT])
        parts.append(array.reshape(-1).view(np.uint8).data)
        size += len(parts[-2]) + array.nbytes
    return parts if size > _JOINED else [memoryview(b"".join(parts))]


def decode(data: Bytes, kind: type[M]) -> M:
    """The message of type `kind` in `data`, a uint8 array [n] from `buffer`; raises WireError."""
    head, fields = _read_head(data)
    if head.kind != kind.__name__:
        raise WireError(f"a message of kind {_shown(head.kind)} where {kind.__name__} was due")
    offset = fields

    def place(_type: object, described: object) -> np.ndarray[Any, Any]:
        nonlocal offset
        dtype, shape = _description(described)
        count = math.prod(shape)
        start = offset + (-offset % ALIGNMENT)
        end = start + count * dtype.itemsize
        if end > len(data):
            raise ValueError("an array is longer than the message")
        offset = end
        return data[start:end].view(dtype).reshape(shape)

    try:
        message = msgspec.msgpack.decode(head.fields, type=kind, dec_hook=place)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        # Text of a peer must not appear on this screen: msgspec repeats the name of an unknown field, and an enum's value.
        why = next((text for sign, text in _FOREIGN.items() if sign in str(error)), str(error))
        raise WireError(f"an invalid {kind.__name__} ({why})") from None
    if offset != len(data):
        raise WireError(f"a {kind.__name__} with {len(data) - offset} bytes too many")
    return message


def size_of(parts: list[memoryview]) -> int:
    """Bytes of all `parts` together."""
    return sum(len(part) for part in parts)


def _read_head(data: Bytes) -> tuple[_Head, int]:
    if len(data) < _LENGTH.size:
        raise WireError("less than one message")
    (length,) = _LENGTH.unpack_from(data.data)
    end = _LENGTH.size + length
    if length > _MOST_HEAD or end > len(data):
        raise WireError("a message whose head is longer than the message")
    try:
        return msgspec.msgpack.decode(data.data[_LENGTH.size : end], type=_Head), end
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WireError("a message whose head cannot be read") from None


def _description(described: object) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The dtype and shape that a peer claims, bounded before anything is computed with them."""
    if not (isinstance(described, list) and len(described) == 2 and isinstance(described[1], list)):
        raise ValueError("an array without dtype and shape")
    name, shape = described
    if not isinstance(name, str) or name not in _dtypes():
        raise ValueError("an array of a dtype that is not allowed")
    if len(shape) > 4 or not all(type(side) is int and 0 <= side < 1 << 40 for side in shape):
        raise ValueError("an array of an impossible shape")
    return np.dtype(name), tuple(shape)


@cache
def _dtypes() -> frozenset[str]:
    return frozenset(
        np.dtype(name).str for name in ("uint8", "uint32", "int32", "uint64", "int64", "float32", "float64")
    )


def _shown(kind: str) -> str:
    return kind if kind.isascii() and kind.isidentifier() and len(kind) <= 40 else "(unreadable)"
