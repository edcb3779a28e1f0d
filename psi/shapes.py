"""The shapes of keys: coarse statistics that two parties exchange when few of their records match.

After an alignment or an overlap with few matches, and if the job says `align.hints: true`, the label party and each feature
party exchange for each key column how many keys, in coarse steps, have which length, which kind of characters and which
form of a date. A step is at least 40 keys wide, so a property of fewer than 20 keys is rounded away, and one of all but fewer
than 20 looks like one of all. From both shapes, each side derives the likely causes locally. SPEC.md, section 3.5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from psi.categories import CATEGORIES, categories_of
from psi.keys import KeyList
from vsplit.protocol import DataError, Message, ProtocolError, RefusedError, Role, receive, send

LOW_RATE = 0.5
"""Matches of fewer than this share of the smallest list are few."""

FEWEST = 20
"""A property of fewer keys is not sent, and does not show in another share where all other keys are alike."""

STEPS = (5, 10, 20, 25, 50)
"""Shares are sent in steps of so many per cent: the first of these of which half is at least `FEWEST` keys of the list."""

MOST_COLUMNS = 16

_SAMPLE = 20_000  # keys that are examined, spread evenly over the list
_LIMIT = 1 << 16  # most bytes of the message


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """The shape of one key column: per cent of its keys by category, in steps of `step`; an absent category is unknown."""

    shares: Mapping[str, int] = field(default_factory=dict)
    step: int = STEPS[0]

    def share(self, category: str) -> int:
        """Per cent of the keys in `category`; 0 also where it is absent."""
        return self.shares.get(category, 0)

    def most(self, categories: Sequence[str]) -> str | None:
        """The category of these with half of the keys or more, as rounded; None: there is none."""
        found = max(categories, key=self.share)
        return found if self.share(found) >= 50 else None


Shapes = tuple[ColumnShape, ...]


class KeyShapes(Message, frozen=True, kw_only=True, eq=False):
    """In both directions, only when few records match: the shapes of the sender's key columns, in the job's order."""

    reveals: ClassVar[str] = (
        "only if few records match: for each key column, in steps of 5 % (of up to 50 % in lists under 800 keys, and "
        "nothing under 80), how many of the sender's keys have which length, kind of characters and form of a date; a property "
        "of fewer than 20 keys is rounded away, and no key is sent"
    )

    columns: tuple[dict[str, int], ...]

    def check(self) -> None:
        """Raise ValueError unless this can be the outcome of `key_shapes`."""
        if not 1 <= len(self.columns) <= MOST_COLUMNS:
            raise ValueError(f"a key has 1 to {MOST_COLUMNS} columns")
        for shares in self.columns:
            if not shares.keys() <= CATEGORIES:
                raise ValueError("a category of keys is one of a fixed list")
            if any(not 0 < share <= 100 or share % STEPS[0] for share in shares.values()):
                raise ValueError(f"a share of keys is {STEPS[0]} to 100 per cent, in steps of {STEPS[0]} or more")


def step_for(records: int) -> int | None:
    """The step, in per cent, of the shares of a list of so many keys; None: it is too short to send any."""
    examined = min(records, _SAMPLE)
    return next((step for step in STEPS if step * examined >= 2 * 100 * FEWEST), None)


def key_shapes(keys: KeyList, columns: int) -> Shapes:
    """The shapes of the `columns` texts that each of `keys` (of `psi.read_keys`) is made of, after normalising."""
    counts: list[Counter[str]] = [Counter() for _ in range(columns)]
    step = step_for(len(keys))
    if step is None:
        return tuple(ColumnShape() for _ in counts)
    places = np.unique(np.linspace(0, max(len(keys) - 1, 0), min(len(keys), _SAMPLE), dtype=np.int64))
    for place in places.tolist():
        for count, text in zip(counts, _texts(keys[place]), strict=True):
            count.update(categories_of(text))
    return tuple(ColumnShape(_rounded(count, len(places), step), step) for count in counts)


def is_low(matched: int, records: Collection[int]) -> bool:
    """Whether so few records match that parties compare the shapes of their keys; `records` are the sizes of all lists.

    All parties know all sizes and the number of matched records, so all get the same result.
    """
    return matched < LOW_RATE * min(records)


def exchange_shapes_label(feature_parties: Mapping[str, int], shapes: Shapes) -> Role[dict[str, Shapes]]:
    """Exchange shapes with the feature parties, since few records match; returns theirs, by name.

    `feature_parties` has the size of the list of each. Learns: the shapes of the keys of each of them, in the step that
    follows from that size. Reveals: the same of its own keys. Assumes: the job says `align.hints: true`; the other side
    follows the protocol. Raises ProtocolError.
    """
    found = {}
    for party, records in feature_parties.items():
        found[party] = yield from _receive(party, records, len(shapes))
        yield from _send(party, shapes)
    return found


def exchange_shapes_feature(label_party: str, records: int, shapes: Shapes) -> Role[Shapes]:
    """Exchange shapes with the label party, whose list has `records` keys, since few records match; returns its shapes.

    Learns: the shapes of the label party's keys, in the step that follows from `records`. Reveals: the same of its own keys.
    Assumes: as `exchange_shapes_label`. Raises ProtocolError.
    """
    yield from _send(label_party, shapes)
    return (yield from _receive(label_party, records, len(shapes)))


def check_match(matched: int, min_records: int, others: str, causes: Sequence[str] = ()) -> None:
    """Raise DataError if no record matched, RefusedError if fewer than `min_records` did; `others` names the peers.

    Call it after the exchange of shapes, if there is one: the likely `causes` then follow in the error, one in each line.
    """
    if matched == 0:
        advice = "".join(f"\n{cause}" for cause in causes) or (
            " Compare how each side writes the key (kind of id, leading zeros, separators, upper and lower case, order of "
            "the key columns) in a made-up example."
        )
        raise DataError(f"No record is common to this party and {others}.{advice}")
    if matched < min_records:
        sentence = (
            f"Only {matched:,} records are common to this party and {others}, fewer than the {min_records:,} that this "
            "party's file asks for (accept.min_records); they were not used."
        )
        raise RefusedError("\n".join((sentence, *causes)))


def _texts(key: bytes) -> list[str]:
    """The texts of a key, each of which is preceded by its length: 4 bytes, big endian."""
    texts, at = [], 0
    while at < len(key):
        end = at + 4 + int.from_bytes(key[at : at + 4], "big")
        texts.append(key[at + 4 : end].decode())
        at = end
    return texts


def _rounded(counts: Mapping[str, int], total: int, step: int) -> dict[str, int]:
    """The nearest step to each share, without those of 0. Half a step is `FEWEST` keys or more, and goes up."""
    shares = {name: step * ((200 * count + step * total) // (2 * step * total)) for name, count in counts.items()}
    return {name: share for name, share in sorted(shares.items()) if share}


def _send(to: str, shapes: Shapes) -> Role[None]:
    yield from send(to, KeyShapes(columns=tuple(dict(shape.shares) for shape in shapes)))


def _receive(sender: str, records: int, columns: int) -> Role[Shapes]:
    theirs = (yield from receive(sender, KeyShapes, _LIMIT)).columns
    if len(theirs) != columns:
        raise ProtocolError(
            sender,
            f"{sender} sent the shapes of {len(theirs)} key columns where the job has {columns}; its program is another "
            "version or does not follow the protocol, so ask that side.",
        )
    step = step_for(records)
    if any(step is None or share % step for shares in theirs for share in shares.values()):
        allowed = "no shares at all" if step is None else f"shares in steps of {step} per cent"
        raise ProtocolError(
            sender,
            f"{sender} sent shapes of its keys where a list of {records:,} keys must have {allowed}; its program is another "
            "version or does not follow the protocol, so ask that side.",
        )
    return tuple(ColumnShape(shares, step or STEPS[0]) for shares in theirs)
