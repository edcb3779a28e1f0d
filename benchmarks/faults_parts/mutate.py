"""Turns good messages into bad ones: at the level of bytes, and at that of fields, so that some still decode."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from parties.network import codec
from vsplit.protocol import Bytes, Message, array_fields

_NUMBERS = (-(2**63), -1, 0, 1, 2**31, 2**32, 2**62, 2**63 - 1)
_FLOATS = (float("nan"), float("inf"), -float("inf"), 1e38, -1e38, 0.0, 5e-324)


def mutated(rng: random.Random, data: bytes, kind: type[Message]) -> bytes:
    """Another message than `data`, which is one of `kind`; in half of the cases it is one of that kind still."""
    for _ in range(20):
        changed = _changed_fields(rng, data, kind) if rng.random() < 0.5 else rng.choice(_OF_BYTES)(rng, data)
        if changed != data:
            return changed
    return data + b"\0"


def received(data: bytes) -> Bytes:
    """Bytes as a transport hands them out."""
    room = codec.buffer(len(data))
    room[:] = np.frombuffer(data, np.uint8)
    return room


def _flip(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        if out:
            out[rng.randrange(min(len(out), rng.choice((16, 256, len(out)))))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))] if data else data


def _longer(rng: random.Random, data: bytes) -> bytes:
    return data + rng.randbytes(rng.choice((1, 63, 64, 4096)))


def _inserted(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 4, 64))) + data[at:]


def _repeated(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    end = rng.randrange(start, len(data) + 1)
    return data[:end] + data[start:end] + data[end:]


def _zeroed(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice((1, 8, 64, 4096)))
    return data[:start] + rng.choice((b"\0", b"\xff")) * (end - start) + data[end:]


def _head_length(rng: random.Random, data: bytes) -> bytes:
    return struct.pack("<I", rng.choice((0, 1, len(data), 2**31, 2**32 - 1))) + data[4:]


def _garbage(rng: random.Random, data: bytes) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 4, 5, len(data))))


def _deep(rng: random.Random, _data: bytes) -> bytes:
    """A head that nests far deeper than any stack goes."""
    head = rng.choice((b"\x91", b"\x81\xa1a")) * rng.choice((200, 20_000)) + b"\xc0"
    return struct.pack("<I", len(head)) + head


_OF_BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip, _flip, _flip, _cut, _longer, _inserted, _repeated, _zeroed, _head_length, _garbage, _deep,
)  # fmt: skip


def _changed_fields(rng: random.Random, data: bytes, kind: type[Message]) -> bytes:
    """A message of the same kind with one field changed, dropped or added; it need not keep the kind's contract."""
    message = codec.decode(received(data), kind)
    fields: dict[str, Any] = {name: getattr(message, name) for name in message.__struct_fields__}
    if not fields:
        return data
    name = rng.choice(list(fields))
    chance = rng.random()
    if chance < 0.05:
        del fields[name]
    elif chance < 0.1:
        fields[rng.choice(("extra", name + "_", ""))] = fields[name]
    elif name in array_fields(kind):
        fields[name] = _changed_array(rng, fields[name])
    else:
        fields[name] = _changed_value(rng, fields[name])
    return forged(kind.__name__, fields)


def _changed_value(rng: random.Random, value: Any) -> Any:
    other: list[Any] = [
        None, True, "x" * rng.choice((0, 1, 300)), b"", [], {}, rng.choice(_FLOATS), rng.choice(_NUMBERS),
    ]  # fmt: skip
    near: list[Any] = []
    match value:
        case bool():
            near = [not value]
        case int():
            near = [value + 1, value - 1, 2 * value, rng.choice(_NUMBERS)]
        case str():
            near = [value[:-1], value + "é", "../" + value, value * 50, "\x1b[2J"]
        case bytes():
            near = [value[:-1], value + b"\0", _flip(rng, value)]
        case dict() if value:
            key = rng.choice(list(value))
            less = {one: held for one, held in value.items() if one != key}
            near = [{}, less, value | {key: b""}, value | {"x" * 300: value[key]}]
        case list() | tuple() if value:
            near = [[], list(value) * 2, list(value)[:-1], [*value, rng.choice(other)]]
    return rng.choice(near if near and rng.random() < 0.8 else other)


def _changed_array(rng: random.Random, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if not array.size:
        return np.zeros(1, array.dtype)
    rows = array if array.ndim else array.reshape(1)
    count = len(rows)
    match rng.randrange(10):
        case 0:
            changed = rows[: rng.randrange(count)]
        case 1:
            changed = np.concatenate([rows, rows[: 1 + rng.randrange(count)]])
        case 2:
            changed = rows.T.copy() if rows.ndim > 1 else rows.reshape(1, -1)
        case 3:
            # A number that the other kind does not have becomes another one, with a warning that means nothing here.
            with np.errstate(invalid="ignore"):
                changed = rows.astype(rng.choice(("uint8", "uint32", "int64", "float32", "float64")))
        case 4:
            changed = rows[np.random.default_rng(rng.randrange(2**32)).permutation(count)]
        case 5:
            changed = rows.copy()
            changed[rng.randrange(count)] = rows[rng.randrange(count)]
        case _:
            changed = _changed_element(rng, array)
    return changed


def _changed_element(rng: random.Random, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    flat = array.copy().reshape(-1)
    at = rng.randrange(len(flat))
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            flat[at] = np.float64(rng.choice(_FLOATS)).astype(array.dtype)
    else:
        info = np.iinfo(array.dtype)
        flat[at] = rng.choice((info.min, info.max, 0, 1, int(flat[at]) ^ 1))
    return flat.reshape(array.shape)


def forged(kind: str, fields: dict[str, Any]) -> bytes:
    """A message with any fields, encoded as `parties.network.codec` does it and without its checks."""
    arrays: list[np.ndarray[Any, Any]] = []

    def describe(value: object) -> object:
        if not isinstance(value, np.ndarray):
            raise TypeError(f"{type(value).__name__} cannot cross the wire")
        arrays.append(np.ascontiguousarray(value))
        return value.dtype.str, value.shape

    raw = msgspec.Raw(msgspec.msgpack.encode(fields, enc_hook=describe))
    head = msgspec.msgpack.encode([kind, raw])
    out = bytearray(struct.pack("<I", len(head)) + head)
    for array in arrays:
        out += bytes(-len(out) % codec.ALIGNMENT) + array.tobytes()
    return bytes(out)
