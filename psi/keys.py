"""A party's keys in memory: one buffer and its offsets, so that ten million need little more than their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import overload

import numpy as np
import numpy.typing as npt

from vsplit.protocol import Bytes

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class KeyList(Sequence[bytes]):
    """Keys one after another in `data`, uint8: key i is data[ends[i] : ends[i + 1]]; `ends` is int64 [len + 1].

    A slice shares the buffer of the whole. `repr` shows no key.
    """

    data: Bytes = field(repr=False)
    ends: Offsets = field(repr=False)

    @classmethod
    def of(cls, keys: Iterable[bytes]) -> KeyList:
        """The list of `keys`, in their order."""
        held = keys if isinstance(keys, list) else list(keys)
        ends = np.fromiter(accumulate(map(len, held), initial=0), dtype=np.int64, count=len(held) + 1)
        return cls(np.frombuffer(b"".join(held), dtype=np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> KeyList: ...
    def __getitem__(self, at: int | slice) -> bytes | KeyList:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            if step != 1:
                raise ValueError("a list of keys is cut in steps of one")
            return KeyList(self.data, self.ends[start : max(start, stop) + 1])
        place = range(len(self))[at]
        return self.data[self.ends[place] : self.ends[place + 1]].tobytes()

    def packed(self) -> KeyList:
        """The same keys in a buffer that holds nothing else, to be handed to another process."""
        return KeyList(self.data[self.ends[0] : self.ends[-1]].copy(), self.ends - self.ends[0])
