"""sf-heu (SecretFlow's HEU): one of its ciphers, value by value, with its own packing, and packed by hand.

Runs in an environment with sf-heu. Its arrays use all threads that YACL_NUM_THREADS grants.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from heu import numpy as hnp
from heu import phe

from benchmarks.secure_sum_peers import by_hand
from benchmarks.secure_sum_peers.embeddings import COUNT, Measured, Values, embeddings, worst_error

# Values of one path where each takes a ciphertext, or half of one: all would take minutes under ZPaillier.
_SAMPLE = {"ZPaillier": 512, "OU": 2048}
_SCALE = 1_000_000  # the library's default
_PADDING = 32  # bits between the two values of its own packing, by default


class Cipher:
    """A fresh key of `bits` bits of `scheme`, ZPaillier or OU, with whatever the library prepares for it."""

    def __init__(self, scheme: str, bits: int) -> None:
        self._schema = phe.parse_schema_type(scheme)
        self._sample = _SAMPLE[scheme]
        self._kit = hnp.setup(self._schema, bits)
        # OU's plaintexts are numbers below half of the prime p, of n = p^2 q; Paillier's below half of n.
        self._slots = ((bits // 3 if scheme == "OU" else bits) - 2) // by_hand.SLOT

    def measure(self, seed: int) -> dict[str, Measured]:
        """One path of each kind, on the embeddings of this seed."""
        values = embeddings(seed)
        single = phe.FloatEncoder(self._schema, _SCALE)
        batch = phe.BatchFloatEncoder(self._schema, _SCALE, _PADDING)
        return {
            "": self._timed(values, self._sample, lambda array: self._array(array, single), self._floats(single)),
            "own_packing": self._timed(
                values, self._sample, lambda array: self._array(array.reshape(-1, 2), batch), self._floats(batch)
            ),
            "by_hand": self._timed(values, COUNT, self._packed, self._unpacked),
        }

    def _timed(
        self,
        values: tuple[Values, Values],
        count: int,
        encode: Callable[[Values], hnp.PlaintextArray],
        decode: Callable[[hnp.PlaintextArray], npt.NDArray[np.float64]],
    ) -> Measured:
        left, right = (side[:count] for side in values)
        encryptor = self._kit.encryptor()
        start = time.perf_counter()
        total = self._kit.evaluator().add(encryptor.encrypt(encode(left)), encryptor.encrypt(encode(right)))
        found = decode(self._kit.decryptor().decrypt(total))
        return Measured(time.perf_counter() - start, count, worst_error(found[:count], left, right))

    @staticmethod
    def _array(values: Values, encoder: phe.FloatEncoder | phe.BatchFloatEncoder) -> hnp.PlaintextArray:
        return hnp.array(values.astype(np.float64), encoder)

    @staticmethod
    def _floats(
        encoder: phe.FloatEncoder | phe.BatchFloatEncoder,
    ) -> Callable[[hnp.PlaintextArray], npt.NDArray[np.float64]]:
        return lambda plaintexts: plaintexts.to_numpy(encoder).reshape(-1)

    def _packed(self, values: Values) -> hnp.PlaintextArray:
        numbers = np.array(by_hand.pack(values, self._slots), dtype=object)
        return hnp.array(numbers, phe.BigintEncoder(self._schema))

    def _unpacked(self, plaintexts: hnp.PlaintextArray) -> npt.NDArray[np.float64]:
        return by_hand.unpack(plaintexts.to_numpy().reshape(-1).tolist(), self._slots, COUNT)
