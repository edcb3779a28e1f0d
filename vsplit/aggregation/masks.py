"""Pairwise masks: numbers that hide each summand and cancel in the sum of all.

SPEC.md, section "Masked sums", has the construction and its argument. Every two feature parties have a secret in common
(`vsplit.sealing`). For each batch both expand it to the same numbers; one adds them to its own, the other subtracts them,
modulo 2^32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from vsplit.protocol import LocalError
from vsplit.sealing import KEY, Seal

Numbers = npt.NDArray[np.uint32]
Place = tuple[int, int, int]

_PAIR = b"vsplit-mask-v2 pair"
_BATCH = b"vsplit-mask-v2 to the label party"
# A ChaCha20 key serves one batch of one pair, so its nonce and counter can be the same for all.
_NONCE = bytes(16)


class MaskReusedError(LocalError):
    """A mask was requested a second time: two values under one mask would reveal their difference."""


class Masks:
    """One feature party's masks in one attempt at a training.

    `parties` are all feature parties in the job's order, `me` among them; `seals` are those to the other ones. `attempt`, bytes
    that never repeat and to which this party has contributed, ensures that a resumed training does not use the masks of the one
    before.
    """

    __slots__ = ("_last", "_pairs")

    def __init__(self, me: str, parties: Sequence[str], seals: Mapping[str, Seal], attempt: bytes) -> None:
        place = parties.index(me)
        self._pairs = [
            (place < other, seals[name].export(_PAIR + attempt)) for other, name in enumerate(parties) if name != me
        ]
        self._last: Place | None = None

    def take(self, place: Place, count: int, context: bytes) -> Numbers:
        """This party's mask for the batch at `place`, uint32 [count]: the sum over all parties is zero modulo 2^32.

        All of them must give the same `context`, 32 bytes. Places are compared as tuples and must increase; raises
        MaskReusedError for one that is not after the last.
        """
        if self._last is not None and place <= self._last:
            raise MaskReusedError(
                f"A mask for the batch {place} was requested after that of {self._last}: no mask may be used twice, so this "
                "is a fault of the program; please report it."
            )
        self._last = place
        info = _BATCH + context + b"".join(number.to_bytes(8, "big") for number in place)
        total = np.zeros(count, np.uint32)
        for adds, secret in self._pairs:
            stream = _expanded(HKDFExpand(algorithm=SHA256(), length=KEY, info=info).derive(secret), count)
            (np.add if adds else np.subtract)(total, stream, out=total)
        return total

    def __reduce__(self) -> NoReturn:
        raise TypeError("masks are neither copied nor pickled: none may be used twice")

    def __repr__(self) -> str:
        return f"<Masks with {len(self._pairs)} parties>"


def _expanded(key: bytes, count: int) -> Numbers:
    encryptor = Cipher(algorithms.ChaCha20(key, _NONCE), mode=None).encryptor()
    return np.frombuffer(encryptor.update(bytes(4 * count)), dtype="<u4").astype(np.uint32, copy=False)
