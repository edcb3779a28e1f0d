"""phe 1.5.0, which computes with gmpy2: value by value, and packed by hand; in one process, and in two.

phe uses one core by itself. The two processes are what a user would add to it; they are started before the clock.
A path takes a sample of the values, since all of them would take minutes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from phe.paillier import PaillierPrivateKey

from benchmarks.secure_sum_peers import by_hand
from benchmarks.secure_sum_peers.embeddings import Measured, Values, worst_error
from parties.network.worker_pool import Pool

SAMPLE = 32
"""Ciphertexts of one path, of each party."""

_PIECE = 2  # so that there are enough pieces for the pool to start processes

Number = float | int


def sums(key: PaillierPrivateKey, left: Sequence[Number], right: Sequence[Number]) -> list[Number]:
    """Both sides encrypted, added and decrypted, number by number. A piece of work for a process."""
    public = key.public_key
    encrypted = [public.encrypt(one) + public.encrypt(other) for one, other in zip(left, right, strict=True)]
    return [key.decrypt(one) for one in encrypted]


def value_by_value(key: PaillierPrivateKey, pool: Pool, left: Values, right: Values) -> Measured:
    """SAMPLE values, each in a ciphertext of its own, as phe writes floats. The pool has one worker or two."""
    left, right = left[:SAMPLE], right[:SAMPLE]
    start = time.perf_counter()
    found = np.array(_run(key, pool, left.tolist(), right.tolist()))
    return Measured(time.perf_counter() - start, len(found), worst_error(found, left, right))


def packed_by_hand(key: PaillierPrivateKey, pool: Pool, slots: int, left: Values, right: Values) -> Measured:
    """SAMPLE ciphertexts of `slots` values each."""
    count = min(SAMPLE * slots, len(left))
    left, right = left[:count], right[:count]
    start = time.perf_counter()
    totals = _run(key, pool, by_hand.pack(left, slots), by_hand.pack(right, slots))
    found = by_hand.unpack([int(total) for total in totals], slots, count)
    return Measured(time.perf_counter() - start, count, worst_error(found, left, right))


def _run(key: PaillierPrivateKey, pool: Pool, left: Sequence[Number], right: Sequence[Number]) -> list[Number]:
    firsts = range(0, len(left), _PIECE)
    pieces = [(key, left[first : first + _PIECE], right[first : first + _PIECE]) for first in firsts]
    return [number for piece in pool.run(sums, pieces) for number in piece]
