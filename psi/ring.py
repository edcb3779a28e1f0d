"""Which party sends which list to which party at each step: the feature parties form a ring, in the job's order.

Lists and parties have numbers: 0 is the label party, 1 to f are the feature parties. List i (i > 0) is masked by its owner i,
then by i + 1, ... around the ring to i - 1, then by the label party. List 0 is masked by 0, 1, ... f and comes back. At every
step each feature party has one list of the ring, and sends it to the next party.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psi.messages import MOST_PARTIES
from vsplit.sealing import Place, Seal


@dataclass(frozen=True, slots=True)
class Ring:
    """The parties of an alignment. Raises ValueError unless there are 2 to 64, each with a name of its own."""

    label_party: str
    feature_parties: tuple[str, ...]

    def __post_init__(self) -> None:
        names = [self.label_party, *self.feature_parties]
        if not 2 <= len(names) <= MOST_PARTIES or len(set(names)) != len(names):
            raise ValueError(f"an alignment has 2 to {MOST_PARTIES} parties, each named once")

    @property
    def size(self) -> int:
        """How many feature parties there are: f."""
        return len(self.feature_parties)

    @property
    def numbers(self) -> range:
        """The numbers of the feature parties: 1 to f."""
        return range(1, self.size + 1)

    def name(self, number: int) -> str:
        """The name of party `number`."""
        return self.label_party if number == 0 else self.feature_parties[number - 1]

    def after(self, party: int) -> int:
        """The feature party that follows feature party `party` in the ring."""
        return party % self.size + 1

    def before(self, party: int) -> int:
        """The feature party that comes before feature party `party` in the ring."""
        return (party - 2) % self.size + 1

    def sent(self, party: int, step: int) -> int:
        """The list of the ring that feature party `party` sends at `step`, 1 to f: at step 1 its own."""
        return (party - step) % self.size + 1

    def undone(self, party: int, step: int) -> int:
        """The list whose shuffle feature party `party` undoes at `step` of the way back, 1 to f: at step f its own."""
        return (party + step - 1) % self.size + 1


@dataclass(frozen=True, slots=True)
class Seat:
    """Feature party `number` of `ring`, with its seals to the other feature parties by name.

    Raises ValueError where the seal to a party that it speaks to is missing.
    """

    ring: Ring
    number: int
    seals: Mapping[str, Seal]

    def __post_init__(self) -> None:
        neighbours = {self.ring.name(self.ring.after(self.number)), self.ring.name(self.ring.before(self.number))}
        if self.ring.size > 1 and not neighbours <= set(self.seals):
            raise ValueError("with three or more parties each feature party needs a seal to each other one")

    @property
    def label_party(self) -> str:
        """The label party's name."""
        return self.ring.label_party

    def seal(self, number: int) -> Seal:
        """The seal to feature party `number`."""
        return self.seals[self.ring.name(number)]


def seat(me: str, label_party: str, feature_parties: Sequence[str], seals: Mapping[str, Seal]) -> Seat:
    """The seat of the feature party `me`; raises ValueError where it is none of `feature_parties`."""
    ring = Ring(label_party, tuple(feature_parties))
    return Seat(ring, ring.feature_parties.index(me) + 1, seals)


def masking(owner: int, chunk: int) -> Place:
    """The place of a sealed chunk of the list of `owner` during phase 1."""
    return Place(f"psi masked list {owner}", batch=chunk)


def undoing(owner: int, chunk: int) -> Place:
    """The place of a sealed chunk of positions in the list of `owner` during phase 2."""
    return Place(f"psi positions in list {owner}", batch=chunk)
