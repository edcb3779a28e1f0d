"""What leaves a party while it aligns, computed in advance from the sizes of the lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from psi.curve import POINT
from psi.messages import (
    BITS,
    Agreement,
    ListSize,
    ListSizes,
    MaskedByAll,
    MaskedKeys,
    MatchBits,
    MatchCount,
    MatchPositions,
    Outflow,
    OwnPositions,
    chunks,
    cut_width,
)
from psi.ring import Ring
from vsplit.protocol import Message
from vsplit.sealing import KEY, SIGNATURE, TAG, FreshKeys, KeyProofs, Sealed

_POSITION = 4


def expected_traffic(
    me: str, label_party: str, feature_parties: Sequence[str], sizes: Sequence[int], matched: int | None = None
) -> list[Outflow]:
    """What the party `me` sends while it aligns, the agreement on sealing keys included, in about the order of sending.

    `sizes` are the sizes of the lists, the label party's first. `matched` None: the match, which is not known in advance, is
    assumed to be as large as it can be. What the label party relays counts as sent by it too.
    """
    ring = Ring(label_party, tuple(feature_parties))
    if len(sizes) != ring.size + 1:
        raise ValueError("there is one size for each party")
    flows = _Flows(ring, sizes, min(sizes) if matched is None else matched)
    return flows.of_label() if me == label_party else flows.of_feature(ring.feature_parties.index(me) + 1)


class _Flows:
    def __init__(self, ring: Ring, sizes: Sequence[int], matched: int) -> None:
        self.ring = ring
        self.sizes = sizes
        self.matched = matched
        self.found: dict[tuple[type[Message], str], list[int]] = defaultdict(lambda: [0, 0])

    def of_label(self) -> list[Outflow]:
        ring, first, last = self.ring, self.ring.name(1), self.ring.name(self.ring.size)
        self._handshake(ring.feature_parties)
        for party in ring.feature_parties:
            self._add(ListSizes, party, 1, 8 * len(self.sizes))
        self._list(MaskedKeys, first, self.sizes[0], POINT)
        for number in ring.numbers:
            for owner, width, to in self._sealed_from(number):
                self._sealed(ring.name(to), owner, width)
        for party in ring.feature_parties:
            self._add(MatchCount, party, 1, 8)
            self._add(Agreement, party, 1, 1)
        width = chunks(self.sizes[0], 8)
        self._add(MatchBits, last, chunks(width, BITS), width)
        for party in ring.feature_parties:
            self._list(MatchPositions, party, self.matched, _POSITION)
        return self._rows()

    def of_feature(self, me: int) -> list[Outflow]:
        ring, to = self.ring, self.ring.label_party
        self._handshake([to])
        self._add(ListSize, to, 1, 8)
        for owner, width, _ in self._sealed_from(me):
            self._sealed(to, owner, width)
        self._list(MaskedKeys, to, self.sizes[ring.sent(me, ring.size)], POINT)
        if me == ring.size:
            self._list(MaskedByAll, to, self.sizes[0], cut_width(self.sizes))
        self._add(Agreement, to, 1, 1)
        if me == 1:
            self._list(OwnPositions, to, self.matched, _POSITION)
        return self._rows()

    def _sealed_from(self, me: int) -> list[tuple[int, int, int]]:
        """(list or -1 for positions, bytes a record, receiver's number) of each sealed list of feature party `me`."""
        ring = self.ring
        steps = range(1, ring.size)
        hops = [(ring.sent(me, step), POINT, ring.after(me)) for step in steps]
        hops += [(0, POINT, me + 1)] if me < ring.size else []
        hops += [(-1, _POSITION, me - 1)] if me > 1 else []
        hops += [(-1, _POSITION, ring.before(me)) for _ in steps]
        return hops

    def _sealed(self, to: str, owner: int, width: int) -> None:
        records = self.matched if owner < 0 else self.sizes[owner]
        count = chunks(records)
        self._add(Sealed, to, count, records * width + count * TAG)

    def _handshake(self, receivers: Sequence[str]) -> None:
        others = self.ring.size - 1
        for to in receivers if others else ():
            self._add(FreshKeys, to, 1, KEY * others)
            self._add(KeyProofs, to, 1, SIGNATURE * others)

    def _list(self, kind: type[Message], to: str, records: int, width: int) -> None:
        self._add(kind, to, chunks(records), records * width)

    def _add(self, kind: type[Message], to: str, messages: int, size: int) -> None:
        if messages:
            count = self.found[kind, to]
            count[0] += messages
            count[1] += size

    def _rows(self) -> list[Outflow]:
        return [
            Outflow(kind.__name__, to, messages, size, kind.reveals)
            for (kind, to), (messages, size) in self.found.items()
        ]
