"""vsplit's own whole path, as the roles of `paillier_sum` walk it, less the messages between them and their seals."""

from __future__ import annotations

import os
import time

import numpy as np

from benchmarks.secure_sum_peers.embeddings import BITS, REACH, Measured, Values, worst_error
from parties.network.worker_pool import Pool
from vsplit.aggregation.noise_pool import pieces_of
from vsplit.paillier.cipher import add, check_ciphertexts, decrypt, encrypt
from vsplit.paillier.fixed_point import FixedPoint
from vsplit.paillier.keys import generate
from vsplit.paillier.noise import Noise, draw_secrets, noise_table, short_noise
from vsplit.paillier.packing import Packing
from vsplit.protocol import Bytes

FIXED = FixedPoint(REACH, BITS, parties=2)


class Key:
    """A fresh key of `bits` bits with the table of its noise, which a training makes once, before its first batch.

    `key_s` and `table_s` are the seconds that they took; where kernels are compiled, compiling is part of `table_s`.
    `steps` are the seconds of each step of the last path. Noise is made while values are packed, and starts with it.
    """

    def __init__(self, bits: int) -> None:
        self.packing = Packing(FIXED, bits)
        start = time.perf_counter()
        self.private = generate(bits, os.urandom)
        self.key_s = time.perf_counter() - start
        self._public = self.private.public_key
        start = time.perf_counter()
        self._table = noise_table(self._public)
        self.table_s = time.perf_counter() - start
        self.steps: dict[str, float] = {}

    def path(self, pool: Pool, left: Values, right: Values) -> Measured:
        """Both parties' values, float32 [count], quantised, packed, encrypted, added, decrypted and decoded."""
        count, key = len(left), self._public
        rows = self.packing.plaintexts(count)
        times = [time.perf_counter()]
        making = [pool.start(short_noise, [(self._table, piece) for piece in self._secrets(rows)]) for _ in range(2)]
        packed = [self.packing.pack(FIXED.encode(values).units) for values in (left, right)]
        times.append(time.perf_counter())
        first, last = (Noise(np.concatenate(pool.collect(ticket))) for ticket in making)
        times.append(time.perf_counter())
        hop = encrypt(key, packed[0], first.take())
        own = encrypt(key, packed[1], last.take())
        check_ciphertexts(key, hop, rows, "the first party")
        total = add(key, hop, own)  # under the last party's noise, so it is randomised anew
        times.append(time.perf_counter())
        check_ciphertexts(key, total, rows, "the last party")
        plaintexts = pool.run(decrypt, [(self.private, piece) for piece in pieces_of(total)])
        times.append(time.perf_counter())
        sums = self.packing.unpack(np.concatenate(plaintexts), count, "the last party")
        found = FIXED.decode(sums, (count,), "the last party")
        times.append(time.perf_counter())
        names = ("pack_s", "noise_s", "encrypt_and_add_s", "decrypt_s", "decode_s")
        self.steps = dict(zip(names, np.diff(times).tolist(), strict=True))
        return Measured(times[-1] - times[0], count, worst_error(found, left, right))

    def _secrets(self, rows: int) -> list[Bytes]:
        return pieces_of(draw_secrets(self._public, "short", rows, os.urandom))
