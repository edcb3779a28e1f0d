"""What crosses between parties while they align, and what leaves a party in all.

A list travels as its size first, then in chunks of `CHUNK` records, the last chunk with what is left. So the kinds,
the sizes and the sequence of messages follow from the sizes of the lists and of the match, and from nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from psi.curve import POINT
from vsplit.protocol import Array, Bytes, Message

Positions = npt.NDArray[np.uint32]

CHUNK = 65_536
"""Most records in one message."""

MOST_RECORDS = 2**32 - 1
"""Most records in one list, since positions are told in 32 bits."""

HEAD = 1024
"""Bytes that a message may take on the wire beside its array."""

_SHORTEST_CUT = 5  # 40 bits, for two lists of one record


class ListSize(Message, frozen=True, kw_only=True, eq=False):
    """The size of the sender's list, told before the list."""

    reveals: ClassVar[str] = "how many records with a usable key the sender holds"

    records: int

    def check(self) -> None:
        """Raise ValueError unless the list has a size that a list can have."""
        if not 1 <= self.records <= MOST_RECORDS:
            raise ValueError("a list size is between 1 and 2^32 - 1")


class MaskedKeys(Message, frozen=True, kw_only=True, eq=False):
    """A chunk of the sender's list: each key hashed to the curve and multiplied by the sender's secret, shuffled."""

    reveals: ClassVar[str] = (
        "nothing about any key: each is hashed and masked with a secret that the sender draws for this run and this "
        "receiver alone, and the order is random"
    )

    points: Annotated[Bytes, Array("uint8", (None, POINT))]

    def check(self) -> None:
        """Raise ValueError unless the chunk has a size that a chunk can have."""
        _check_chunk(len(self.points))


class TwiceMasked(Message, frozen=True, kw_only=True, eq=False):
    """A chunk of the label party's list, masked by the feature party too, in the order in which it came, cut short."""

    reveals: ClassVar[str] = (
        "which records of the label party the sender holds as well; of the others only that it does not hold them"
    )

    cuts: Annotated[Bytes, Array("uint8", (None, None))]

    def check(self) -> None:
        """Raise ValueError unless the chunk and its records have sizes that they can have."""
        _check_chunk(len(self.cuts))
        if not _SHORTEST_CUT <= self.cuts.shape[1] <= POINT:
            raise ValueError("a masked key is cut to 5 to 32 bytes")


class MatchCount(Message, frozen=True, kw_only=True, eq=False):
    """How many records all parties of the job hold."""

    reveals: ClassVar[str] = "how many records all parties of the job hold in common"

    records: int

    def check(self) -> None:
        """Raise ValueError unless the match has a size that a match can have."""
        if not 0 <= self.records <= MOST_RECORDS:
            raise ValueError("a match size is between 0 and 2^32 - 1")


class MatchPositions(Message, frozen=True, kw_only=True, eq=False):
    """A chunk of the match: positions in the list that the receiver sent, in the common order."""

    reveals: ClassVar[str] = (
        "which of the receiver's own records all parties of the job hold, the label party with a known outcome, in an order "
        "drawn from a secret of the sender"
    )

    positions: Annotated[Positions, Array("uint32", (None,))]

    def check(self) -> None:
        """Raise ValueError unless the chunk has a size that a chunk can have."""
        _check_chunk(len(self.positions))


@dataclass(frozen=True, slots=True)
class Outflow:
    """What a party sends of one kind of message, to each of its peers, while it aligns.

    `kind` is the message's name, `to` its receiver in words, `messages` and `size` (bytes of content, without some
    hundred bytes a message for its head) are for one receiver, `reveals` is for the data-protection officer.
    """

    kind: str
    to: str
    messages: int
    size: int
    reveals: str


def expected_traffic(role: Literal["label", "feature"], own_records: int, peer_records: int) -> list[Outflow]:
    """What a party in `role` sends to one peer, with lists of these sizes, in the order in which it is sent.

    How many records match is not known before; the match is counted as large as it can be. A label party sends all this
    to each feature party of the job.
    """
    to = "each feature party" if role == "label" else "the label party"
    rows = [_row(ListSize, to, 1, 8), _row(MaskedKeys, to, own_records, POINT)]
    if role == "feature":
        return [*rows, _row(TwiceMasked, to, peer_records, cut_width(own_records, peer_records))]
    match = min(own_records, peer_records)
    return [*rows, _row(MatchCount, to, 1, 8), _row(MatchPositions, to, match, 4)]


def cut_width(records: int, other_records: int) -> int:
    """ceil((40 + log2(records * other_records)) / 8): bytes to which a twice masked key is cut.

    So that any of the pairs of different keys matches by chance with a probability of at most about 2^-40.
    """
    return -(-(40 + (records * other_records - 1).bit_length()) // 8)


def _row(kind: type[Message], to: str, records: int, width: int) -> Outflow:
    return Outflow(kind.__name__, to, -(-records // CHUNK), records * width, kind.reveals)


def _check_chunk(records: int) -> None:
    if not 1 <= records <= CHUNK:
        raise ValueError(f"a chunk has 1 to {CHUNK:,} records")
