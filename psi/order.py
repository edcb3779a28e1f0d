"""Orders: secret shuffles, keys in a given order, and the order that is common to all parties."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from psi.keys import KeyList

RandomBytes = Callable[[int], bytes]
Order = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.int64]

ORDER_SECRET = 32
"""Bytes of the secret from which the common order is drawn."""

_ORDER_TAG = b"vsplit psi order"  # what BLAKE2b calls a personalisation: at most 16 bytes
_RANK = 16  # bytes of a key's rank: no two of 2^32 keys get the same one
_KEY, _NONCE = 32, 16


def shuffled(records: int, random_bytes: RandomBytes) -> Order:
    """A random order of `records` records, uint32 [records]: place i of the shuffled list holds record order[i].

    The records are sorted by 64-bit random numbers, a ChaCha20 key stream under 32 fresh bytes. Where two numbers are
    equal, all are drawn again; so every order is equally likely.
    """
    while True:
        ranks = _stream(random_bytes(_KEY), 8 * records)
        order = np.argsort(ranks)
        ranks = ranks[order]
        if not (ranks[1:] == ranks[:-1]).any():
            return order.astype(np.uint32)


def taken(keys: KeyList, order: Order) -> KeyList:
    """The keys at the positions `order`, in that order, in a buffer of their own."""
    starts = keys.ends[order]
    lengths = keys.ends[order.astype(np.int64) + 1] - starts
    ends = np.zeros(len(order) + 1, dtype=np.int64)
    np.cumsum(lengths, out=ends[1:])
    places = np.arange(ends[-1])
    places += np.repeat(starts - ends[:-1], lengths)
    return KeyList(keys.data[places], ends)


def rank_keys(order_secret: bytes, keys: KeyList) -> npt.NDArray[np.uint64]:
    """BLAKE2b of each key under `order_secret`, 16 bytes as two words: uint64 [n, 2] (RFC 7693, keyed).

    A pseudorandom function, like an HMAC, at a tenth of its time; half of the records may have to be ranked.
    """
    data = keys.data[keys.ends[0] : keys.ends[-1]].tobytes()
    ends = (keys.ends - keys.ends[0]).tolist()
    keyed = hashlib.blake2b(key=order_secret, person=_ORDER_TAG, digest_size=_RANK)
    ranks = []
    for start, end in pairwise(ends):
        rank = keyed.copy()
        rank.update(data[start:end])
        ranks.append(rank.digest())
    return np.frombuffer(b"".join(ranks), dtype=">u8").reshape(-1, 2).astype(np.uint64)


def by_rank(ranks: npt.NDArray[np.uint64]) -> Rows:
    """The order of these ranks, uint64 [n, 2], read as numbers of 128 bits: int64 [n]."""
    order = np.argsort(ranks[:, 0])
    first = ranks[order, 0]
    if (first[1:] == first[:-1]).any():
        order = np.lexsort((ranks[:, 1], ranks[:, 0]))
    return order.astype(np.int64, copy=False)


def _stream(key: bytes, size: int) -> npt.NDArray[np.uint64]:
    # The key is used for this one stream, so the nonce may be zero.
    encryptor = Cipher(algorithms.ChaCha20(key, bytes(_NONCE)), mode=None).encryptor()
    room = np.zeros(size, dtype=np.uint8)
    encryptor.update_into(room.data, room.data)
    return room.view("<u8")
