"""Noise for ciphertexts, generated while a party waits; each piece of it can be taken once."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from vsplit.aggregation.attempt import RandomBytes
from vsplit.kernels.montgomery import FixedBase
from vsplit.paillier.keys import PublicKey, key_bytes
from vsplit.paillier.noise import BadModulusError, Kind, Noise, draw_secrets, full_noise, noise_table, short_noise
from vsplit.protocol import Bytes, Collect, ProtocolError, Role, Work

PIECE = 8
"""Ciphertexts in a piece of work: whole blocks of the kernels, and few enough that all cores end at about the same time."""


def pieces_of(rows: Bytes) -> list[Bytes]:
    """`rows`, uint8 [count, bytes], in pieces for the pool."""
    return [rows[first : first + PIECE] for first in range(0, len(rows), PIECE)]


class NoisePool:
    """Noise under one public key of `owner`; `ahead` is how much of it, in ciphertexts, is generated in advance.

    It exists in memory only, for one attempt at a training, and what was taken is removed. It is neither copied nor pickled.
    Every step raises ProtocolError, which names the owner, where the key turns out to be invalid.
    """

    def __init__(self, key: PublicKey, owner: str, kind: Kind, ahead: int, random_bytes: RandomBytes) -> None:
        self._key = key
        self._owner = owner
        self._kind = kind
        self._ahead = ahead
        self._random_bytes = random_bytes
        self._rows: Bytes = np.empty((0, 2 * key_bytes(key)), np.uint8)
        self._ticket: object | None = None
        self._table: FixedBase | None = None

    def prepare(self) -> Role[None]:
        """Let the worker pool generate what is missing, without waiting for it."""
        missing = self._ahead - len(self._rows)
        if self._ticket is None and missing > 0:
            self._ticket = yield self._work(missing)

    def take(self, count: int) -> Role[Noise]:
        """Take noise for `count` ciphertexts; waits for what is being generated, and generates what is missing."""
        if self._ticket is not None and len(self._rows) < count:
            ticket, self._ticket = self._ticket, None
            yield from self._store(ticket)
        if len(self._rows) < count:
            yield from self._store((yield self._work(count - len(self._rows))))
        # Copies, so that neither part keeps the other in memory.
        noise, self._rows = Noise(self._rows[:count].copy()), self._rows[count:].copy()
        return noise

    def _work(self, count: int) -> Work:
        secrets = pieces_of(draw_secrets(self._key, self._kind, count, self._random_bytes))
        if self._kind == "full":
            return Work(full_noise, [(self._key, piece) for piece in secrets], later=True)
        if self._table is None:
            try:
                self._table = noise_table(self._key)
            except BadModulusError:
                raise self._bad_key() from None
        return Work(short_noise, [(self._table, piece) for piece in secrets], later=True)

    def _store(self, ticket: object) -> Role[None]:
        try:
            made = yield Collect(ticket)
        except BadModulusError:
            raise self._bad_key() from None
        self._rows = np.concatenate([self._rows, *made])

    def _bad_key(self) -> ProtocolError:
        return ProtocolError(
            self._owner,
            f"The Paillier key of {self._owner} is not the product of two large primes; its program is another version, or it "
            "does not follow the protocol, so ask there.",
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("noise is neither copied nor pickled: it must not be used twice")

    def __repr__(self) -> str:
        return f"<NoisePool of {len(self._rows)} ciphertexts>"
