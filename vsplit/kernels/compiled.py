"""The compiled kernels of Curve25519, called with numpy arrays: the operations of `curve25519` for given kernels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vsplit.kernels.curve_code import SCRATCH_VECTORS
from vsplit.kernels.engine import Kernels
from vsplit.kernels.portable import POINT
from vsplit.kernels.sha512_code import BLOCK_WORDS, DIGEST_WORDS, initial_state
from vsplit.protocol import Bytes

_CALL = 1024  # points of one call, far below 100 ms on any machine: between calls this thread can handle Ctrl-C
_BLOCK = 8 * BLOCK_WORDS
_LENGTH = 48  # bytes to expand to
_PADDING = 17  # a one bit, then zeros, and the length in 16 bytes (FIPS 180-4, section 5.1.2)

Words = npt.NDArray[np.uint64]


def multiply(kernels: Kernels, scalar: bytes, points: Bytes) -> Bytes:
    """X25519 of `scalar`, 32 bytes, with each of `points`, uint8 [n, 32] in and out; zero for a point of low order."""
    clamped = bytearray(scalar)
    if len(clamped) != POINT:
        raise ValueError(f"a scalar has {POINT} bytes, not {len(clamped)}")
    clamped[0] &= 248
    clamped[31] = clamped[31] & 127 | 64
    blocks = -(-len(points) // kernels.width)
    padded = np.zeros((blocks * kernels.width, POINT), dtype=np.uint8)
    padded[: len(points)] = points
    products = np.empty_like(padded)
    secret = np.frombuffer(clamped, dtype=np.uint64)
    scratch = _scratch(kernels, _CALL // kernels.width)
    for first in range(0, len(padded), _CALL):
        part = padded[first : first + _CALL]
        kernels.multiply(secret, part, products[first : first + _CALL], scratch, len(part) // kernels.width)
    return products[: len(points)]


def encode_to_curve(kernels: Kernels, data: Bytes, ends: npt.NDArray[np.int64], dst: bytes) -> Bytes:
    """encode_to_curve of RFC 9380 of message i = data[ends[i] : ends[i + 1]]: u-coordinates, uint8 [n, 32]."""
    if not 0 < len(dst) <= 255:
        raise ValueError("a domain separation tag has 1 to 255 bytes")
    tag = np.frombuffer(dst + bytes([len(dst)]), dtype=np.uint8)
    count = len(ends) - 1
    blocks = -(-count // kernels.width)
    if not blocks:
        return np.empty((0, POINT), dtype=np.uint8)
    uniform = np.zeros((blocks * kernels.width, DIGEST_WORDS), dtype=np.uint64)
    uniform[:count] = _expanded(kernels, data, ends, tag)
    points = np.empty((len(uniform), POINT), dtype=np.uint8)
    kernels.map(uniform, points, _scratch(kernels, blocks), blocks)
    return points[:count]


def _expanded(kernels: Kernels, data: Bytes, ends: npt.NDArray[np.int64], tag: Bytes) -> Words:
    """expand_message_xmd (RFC 9380, section 5.3.1) to 48 bytes: the digests b_1, whose first 48 bytes they are.

    b_0 begins with a block of zeros, so it is hashed from the state after that block.
    """
    start = np.array(initial_state(), dtype=np.uint64)
    after_zeros = _digests(kernels, start, np.zeros((1, _BLOCK), dtype=np.uint8))[0]
    suffix = np.concatenate([np.array([0, _LENGTH, 0], dtype=np.uint8), tag])
    first = np.empty((len(ends) - 1, DIGEST_WORDS), dtype=np.uint64)
    lengths = np.diff(ends)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        messages = data[ends[rows][:, None] + np.arange(length)]
        first[rows] = _digests(kernels, after_zeros, _padded(messages, suffix, _BLOCK))
    suffix = np.concatenate([np.array([1], dtype=np.uint8), tag])
    return _digests(kernels, start, _padded(first.astype(">u8").view(np.uint8), suffix, 0))


def _padded(messages: Bytes, suffix: Bytes, before: int) -> Bytes:
    """Each message with `suffix`, padded to whole blocks; `before` bytes were hashed already."""
    used = messages.shape[1] + len(suffix)
    out = np.zeros((len(messages), -(-(used + _PADDING) // _BLOCK) * _BLOCK), dtype=np.uint8)
    out[:, : messages.shape[1]] = messages
    out[:, messages.shape[1] : used] = suffix
    out[:, used] = 0x80
    out[:, -16:] = np.frombuffer((8 * (before + used)).to_bytes(16, "big"), dtype=np.uint8)
    return out


def _digests(kernels: Kernels, start: Words, messages: Bytes) -> Words:
    """SHA-512's state after `messages`, uint8 [n, 128 k], from `start`: uint64 [n, 8]."""
    blocks = -(-len(messages) // kernels.width)
    if len(messages) == blocks * kernels.width:
        padded = np.ascontiguousarray(messages)
    else:
        padded = np.zeros((blocks * kernels.width, messages.shape[1]), dtype=np.uint8)
        padded[: len(messages)] = messages
    digests = np.empty((len(padded), DIGEST_WORDS), dtype=np.uint64)
    kernels.digest(start, padded, digests, messages.shape[1] // _BLOCK, blocks)
    return digests[: len(messages)]


def _scratch(kernels: Kernels, blocks: int) -> Words:
    return np.empty(blocks * SCRATCH_VECTORS * kernels.width, dtype=np.uint64)
