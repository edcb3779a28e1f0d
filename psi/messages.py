"""The messages of an alignment, with what each of them reveals.

A list travels in chunks of `CHUNK` records, the last chunk with the rest. So the kinds, the sizes and the sequence of
messages follow from the sizes of the lists and of the match, and from nothing else. Between two feature parties the same
contents are sealed (`vsplit.sealing`), since the label party relays them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt

from psi.curve import POINT
from vsplit.protocol import Array, Bytes, Message

Positions = npt.NDArray[np.uint32]
Sizes = npt.NDArray[np.int64]

CHUNK = 65_536
"""Most records in one message."""

BITS = 1 << 20
"""Most bytes of a bitmap in one message: eight records a byte."""

MOST_RECORDS = 2**32 - 1
"""Most records in one list, since positions are sent in 32 bits."""

MOST_PARTIES = 64
"""Most parties of one alignment, the label party included."""

SHORTEST_CUT, LONGEST_CUT = 5, 16
"""Bytes of a cut value: for two lists of one record, and for 64 lists of 2^32."""


class ListSize(Message, frozen=True, kw_only=True, eq=False):
    """The size of the sender's list, sent before any list."""

    reveals: ClassVar[str] = "how many records with a usable key the sender holds; all parties receive this number"

    records: int

    def check(self) -> None:
        """Raise ValueError unless the list has a size that a list can have."""
        if not 1 <= self.records <= MOST_RECORDS:
            raise ValueError("a list size is between 1 and 2^32 - 1")


class ListSizes(Message, frozen=True, kw_only=True, eq=False):
    """The sizes of all lists: the label party's, then those of the feature parties in the job's order."""

    reveals: ClassVar[str] = "how many records with a usable key each party of the job holds"

    records: Annotated[Sizes, Array("int64", (None,))]

    def check(self) -> None:
        """Raise ValueError unless there are as many lists, and of such sizes, as there can be."""
        if not 2 <= len(self.records) <= MOST_PARTIES:
            raise ValueError("an alignment has 2 to 64 lists")
        if self.records.min() < 1 or self.records.max() > MOST_RECORDS:
            raise ValueError("a list size is between 1 and 2^32 - 1")


class MaskedKeys(Message, frozen=True, kw_only=True, eq=False):
    """A chunk of a list: each key hashed to the curve and multiplied by secrets, the sender's among them, shuffled."""

    reveals: ClassVar[str] = (
        "nothing about any key: each is hashed and masked with a secret that the sender draws for this run alone, and "
        "the order is random"
    )

    points: Annotated[Bytes, Array("uint8", (None, POINT))]

    def check(self) -> None:
        """Raise ValueError unless the chunk has a size that a chunk can have."""
        _check_chunk(len(self.points), CHUNK)


class MaskedByAll(Message, frozen=True, kw_only=True, eq=False):
    """A chunk of the label party's list when every party has masked it and every feature party shuffled it, cut short."""

    reveals: ClassVar[str] = (
        "how many records any of the parties have in common; not which, since every feature party has shuffled the list"
    )

    cuts: Annotated[Bytes, Array("uint8", (None, None))]

    def check(self) -> None:
        """Raise ValueError unless the chunk and its records have sizes that they can have."""
        _check_chunk(len(self.cuts), CHUNK)
        if not SHORTEST_CUT <= self.cuts.shape[1] <= LONGEST_CUT:
            raise ValueError(f"a masked key is cut to {SHORTEST_CUT} to {LONGEST_CUT} bytes")


class MatchCount(Message, frozen=True, kw_only=True, eq=False):
    """How many records all parties of the job hold."""

    reveals: ClassVar[str] = "how many records all parties of the job hold in common"

    records: int

    def check(self) -> None:
        """Raise ValueError unless the match has a size that a match can have."""
        if not 0 <= self.records <= MOST_RECORDS:
            raise ValueError("a match size is between 0 and 2^32 - 1")


class Agreement(Message, frozen=True, kw_only=True, eq=False):
    """Whether the match is large enough: for the sender or, from the label party, for all parties."""

    reveals: ClassVar[str] = "whether the records in common are as many as the sender asks for"

    agreed: bool


class MatchBits(Message, frozen=True, kw_only=True, eq=False):
    """A chunk of a bitmap over the label party's list as the last feature party shuffled it: which entries all hold.

    The first record is the lowest bit of the first byte.
    """

    reveals: ClassVar[str] = (
        "which entries of a masked and shuffled list all parties hold, which alone says nothing about any record"
    )

    bits: Annotated[Bytes, Array("uint8", (None,))]

    def check(self) -> None:
        """Raise ValueError unless the chunk has a size that a chunk can have."""
        _check_chunk(len(self.bits), BITS)


class OwnPositions(Message, frozen=True, kw_only=True, eq=False):
    """A chunk of the match: positions in the list that the label party sent, in the order of the bitmap."""

    reveals: ClassVar[str] = "which of the label party's own records all parties of the job hold"

    positions: Annotated[Positions, Array("uint32", (None,))]

    def check(self) -> None:
        """Raise ValueError unless the chunk has a size that a chunk can have."""
        _check_chunk(len(self.positions), CHUNK)


class MatchPositions(Message, frozen=True, kw_only=True, eq=False):
    """A chunk of the match: positions in the list that the receiver sent last, in the common order."""

    reveals: ClassVar[str] = (
        "which of the receiver's own records all parties of the job hold (the label party's with a known outcome), in an "
        "order that the sender draws from a secret of its own. With three or more parties a feature party receives positions "
        "in another party's list: it undoes its own shuffle of that list, which reveals nothing about a record, and sends "
        "them on, sealed, until they reach the party whose records they are"
    )

    positions: Annotated[Positions, Array("uint32", (None,))]

    def check(self) -> None:
        """Raise ValueError unless the chunk has a size that a chunk can have."""
        _check_chunk(len(self.positions), CHUNK)


@dataclass(frozen=True, slots=True)
class Outflow:
    """What a party sends of one kind of message while it aligns.

    `kind` is the message's name, `to` its receiver, `messages` how many, `size` their bytes of content in all (without
    some hundred bytes a message for its head), and `reveals` is for the data-protection officer.
    """

    kind: str
    to: str
    messages: int
    size: int
    reveals: str


def cut_width(sizes: Sequence[int]) -> int:
    """ceil((40 + log2(pairs)) / 8): bytes to which values that all parties have masked are cut.

    `pairs` counts the pairs of one record of one list and one of another, so that any two different keys agree by chance
    with a probability of at most about 2^-40.
    """
    total = sum(sizes)
    pairs = (total * total - sum(size * size for size in sizes)) // 2
    return -(-(40 + (pairs - 1).bit_length()) // 8)


def chunks(records: int, most: int | None = None) -> int:
    """How many messages a list of `records` takes, with at most `most` (CHUNK) of them in each."""
    return -(-records // (CHUNK if most is None else most))


def _check_chunk(records: int, most: int) -> None:
    if not 1 <= records <= most:
        raise ValueError(f"a chunk has 1 to {most:,} records")
