"""How keys look, as coarse statistics: what two parties tell each other when few of their records match.

After an alignment or an overlap that found few matches, and if the job says `align.hints: true`, the label party and each
feature party tell each other for each key column how many keys, in coarse steps, have which length, which kind of
characters and which form of a date. A step is at least 40 keys wide, so what fewer than 20 of them have is rounded away,
and all but fewer than 20 looks like all. From the two, each side works out by itself what the likely causes are. SPEC.md,
section 3.5.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar

import numpy as np

from psi.keys import KeyList
from vsplit.protocol import DataError, Message, ProtocolError, RefusedError, Role, receive, send

LOW_RATE = 0.5
"""A match of less than this share of the smallest list is low."""

FEWEST = 20
"""What fewer keys have is not told, and does not show in the share of anything else where all other keys are alike."""

STEPS = (5, 10, 20, 25, 50)
"""Shares are told in steps of so many per cent: the first of which half is at least `FEWEST` keys of the list."""

MOST_COLUMNS = 16

_SAMPLE = 20_000  # keys that are looked at, spread evenly over the list
_LIMIT = 1 << 16  # bytes of the message on the wire
_LONGEST = 40  # lengths up to this are told one by one

_FORMS = {
    "Y-m-d": re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"),
    "Y/m/d": re.compile(r"[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}"),
    "d.m.Y": re.compile(r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}"),
    "d-m-Y": re.compile(r"[0-9]{1,2}-[0-9]{1,2}-[0-9]{4}"),
}
_SWAPPED = {"d.m.Y": "m.d.Y", "d-m-Y": "m-d-Y"}
_SLASHES = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/[0-9]{4}")
_NO_ZERO = re.compile(r"(?<![0-9])[0-9](?![0-9])")
_POINT_ZERO = re.compile(r"[0-9]+\.0")
# UTF-8 that was read as Latin-1: an accented letter becomes one of these and a sign, in the midst of small letters.
_WRONG_ENCODING = re.compile(r"(?<=[a-z])[ÃÂ]|[ÃÂ][^\sA-Za-zÀ-ÖØ-öø-ÿ]|\ufffd")
_EIGHT = re.compile(r"[0-9]{8}")
_YEARS = range(1850, 2101)
_HEXADECIMAL = re.compile(r"(?=.*[0-9])(?=.*[a-fA-F])[0-9a-fA-F]+")
_PUNCTUATION = {" ": "space", "-": "hyphen", ".": "dot", "/": "slash", "@": "at"}

LENGTHS = (*(f"length {number}" for number in range(1, _LONGEST + 1)), "length 41 to 64", "length over 64")
KINDS = ("digits", "hexadecimal", "letters", "letters and digits", "with other signs")
CASES = ("capitals", "small letters", "both cases")
SIGNS = (
    *(f"with {word}" for word in _PUNCTUATION.values()),
    "with + in front",
    "with other punctuation",
    "with accents",
)
ZERO = "leading zero"
ZEROS = "two leading zeros"
POINT_ZERO = "digits and .0"
DOUBLE_SPACE = "with a double space"
WRONG_ENCODING = "with signs of a wrong encoding"
NO_ZERO = "date with a day or month of one digit"
OTHERS = (ZERO, ZEROS, POINT_ZERO, DOUBLE_SPACE, WRONG_ENCODING, NO_ZERO)
DATES = tuple(f"date {form}" for form in (*_FORMS, *_SWAPPED.values(), "d/m/Y", "m/d/Y", "Ymd", "dmY"))
CATEGORIES = frozenset((*LENGTHS, *KINDS, *CASES, *SIGNS, *OTHERS, *DATES))
"""All that can be told of a column, in the words of the message."""


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """How the keys of one column look: per cent of them by category, in steps of `step`; an absent one says nothing."""

    shares: Mapping[str, int] = field(default_factory=dict)
    step: int = STEPS[0]

    def share(self, category: str) -> int:
        """Per cent of the keys in `category`; 0 also where it was left out."""
        return self.shares.get(category, 0)

    def most(self, categories: Sequence[str]) -> str | None:
        """The category of these that half of the keys or more are in, as told; None: there is none."""
        found = max(categories, key=self.share)
        return found if self.share(found) >= 50 else None


Shapes = tuple[ColumnShape, ...]


class KeyShapes(Message, frozen=True, kw_only=True, eq=False):
    """Both ways, and only when few records match: the shapes of the sender's key columns, in the job's order."""

    reveals: ClassVar[str] = (
        "only if few records match: for each key column, in steps of 5 % (of up to 50 % in lists under 800 keys, and "
        "nothing under 80), how many of the sender's keys have which length, kind of characters and form of a date; what "
        "fewer than 20 keys have is rounded away, and no key is told"
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
    """The step, in per cent, in which a list of so many keys tells its shares; None: it is too short to tell any."""
    looked_at = min(records, _SAMPLE)
    return next((step for step in STEPS if step * looked_at >= 2 * 100 * FEWEST), None)


def key_shapes(keys: KeyList, columns: int) -> Shapes:
    """The shapes of the `columns` texts that each of `keys` (of `psi.read_keys`) is made of, after normalising."""
    counts: list[Counter[str]] = [Counter() for _ in range(columns)]
    step = step_for(len(keys))
    if step is None:
        return tuple(ColumnShape() for _ in counts)
    places = np.unique(np.linspace(0, max(len(keys) - 1, 0), min(len(keys), _SAMPLE), dtype=np.int64))
    for place in places.tolist():
        for count, text in zip(counts, _texts(keys[place]), strict=True):
            count.update(_categories(text))
    return tuple(ColumnShape(_rounded(count, len(places), step), step) for count in counts)


def is_low(matched: int, records: Collection[int]) -> bool:
    """Whether a match is so small that parties compare the shapes of their keys; `records` are the sizes of all lists.

    All parties know all sizes and how many records all of them hold, so all find the same.
    """
    return matched < LOW_RATE * min(records)


def exchange_shapes_label(feature_parties: Mapping[str, int], shapes: Shapes) -> Role[dict[str, Shapes]]:
    """Exchange shapes with the feature parties, since the match is low; returns theirs, by name.

    `feature_parties` has the size of the list of each. Learns: how the keys of each of them look, in the step that
    follows from that size. Reveals: the same of its own keys. Assumes: the job says `align.hints: true`; the other side
    follows the protocol. Raises ProtocolError.
    """
    found = {}
    for party, records in feature_parties.items():
        found[party] = yield from _receive(party, records, len(shapes))
        yield from _send(party, shapes)
    return found


def exchange_shapes_feature(label_party: str, records: int, shapes: Shapes) -> Role[Shapes]:
    """Exchange shapes with the label party, whose list has `records` keys, since the match is low; returns its shapes.

    Learns: how the label party's keys look, in the step that follows from `records`. Reveals: the same of its own keys.
    Assumes: as `exchange_shapes_label`. Raises ProtocolError.
    """
    yield from _send(label_party, shapes)
    return (yield from _receive(label_party, records, len(shapes)))


def check_match(matched: int, min_records: int, others: str, causes: Sequence[str] = ()) -> None:
    """Raise DataError if no record matched, RefusedError if fewer than `min_records` did; `others` names the peers.

    To be called once the shapes were exchanged, if they were: the likely `causes` then follow, on a line each.
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
            "party's file asks for (accept.min_records); nothing about them was used."
        )
        raise RefusedError("\n".join((sentence, *causes)))


# --- one key ----------------------------------------------------------------------------------------------------------


def _texts(key: bytes) -> list[str]:
    """The texts of a key: each has its length before it, 4 bytes, big endian."""
    texts, at = [], 0
    while at < len(key):
        end = at + 4 + int.from_bytes(key[at : at + 4], "big")
        texts.append(key[at + 4 : end].decode())
        at = end
    return texts


def _categories(text: str) -> list[str]:
    length = len(text)
    found = [f"length {length}" if length <= _LONGEST else LENGTHS[-1 if length > 64 else -2], _kind(text)]
    if text.upper() != text.lower():
        found.append(CASES[0] if text.isupper() else CASES[1] if text.islower() else CASES[2])
    found += [f"with {word}" for sign, word in _PUNCTUATION.items() if sign in text]
    if text.startswith("+"):
        found.append("with + in front")
    if any(not sign.isalnum() and sign not in _PUNCTUATION for sign in text.removeprefix("+")):
        found.append("with other punctuation")
    if not text.isascii():
        found.append("with accents")
    found += _peculiar(text)
    form = _date_form(text)
    if form is None:
        return found
    return [*found, f"date {form}", *([NO_ZERO] if _NO_ZERO.search(text) else [])]


def _peculiar(text: str) -> list[str]:
    holds = {
        ZERO: len(text) > 1 and text.startswith("0"),
        ZEROS: text.startswith("00") and len(text) > 2,
        POINT_ZERO: _POINT_ZERO.fullmatch(text) is not None,
        DOUBLE_SPACE: "  " in text,
        WRONG_ENCODING: _WRONG_ENCODING.search(text) is not None,
    }
    return [category for category, held in holds.items() if held]


def _kind(text: str) -> str:
    if text.isdecimal():
        return "digits"
    if _HEXADECIMAL.fullmatch(text):
        return "hexadecimal"
    if text.isalpha():
        return "letters"
    return "letters and digits" if text.isalnum() else "with other signs"


def _date_form(text: str) -> str | None:
    for form, pattern in _FORMS.items():
        if pattern.fullmatch(text):
            # Which of the two is the day shows only where it is more than 12; Europe's order counts where neither is.
            return _SWAPPED[form] if form in _SWAPPED and int(re.split(r"[.-]", text)[1]) > 12 else form
    slashes = _SLASHES.fullmatch(text)
    if slashes:  # Which of the two is the day shows only where it is more than 12.
        first, second = int(slashes[1]), int(slashes[2])
        return "d/m/Y" if first > 12 else "m/d/Y" if second > 12 else None
    if _EIGHT.fullmatch(text):
        if _is_day(text[:4], text[4:6], text[6:]):
            return "Ymd"
        if _is_day(text[4:], text[2:4], text[:2]):
            return "dmY"
    return None


def _is_day(year: str, month: str, day: str) -> bool:
    if int(year) not in _YEARS:
        return False
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


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
            f"{sender} sent shapes of its keys where a list of {records:,} keys tells {allowed}; its program is another "
            "version or does not follow the protocol, so ask that side.",
        )
    return tuple(ColumnShape(shares, step or STEPS[0]) for shares in theirs)
