"""Likely causes of few matches, derived from the shapes of both sides' keys, and which steps of `align.normalise` may help."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import zip_longest

from psi.categories import (
    CASES,
    DATES,
    DOUBLE_SPACE,
    KINDS,
    LENGTHS,
    NO_ZERO,
    POINT_ZERO,
    WRONG_ENCODING,
    ZERO,
    ZEROS,
)
from psi.normalise import Step
from psi.shapes import ColumnShape

_FAR = 20  # difference of two shares, in per cent, that counts as a cause
_RARE = 5
_SEPARATORS = {
    DOUBLE_SPACE: ("several spaces in a row", "spaces"),
    "with space": ("spaces", "no_spaces"),
    "with hyphen": ("hyphens", "no_punctuation"),
    "with dot": ("dots", "no_punctuation"),
    "with slash": ("slashes", "no_punctuation"),
    "with other punctuation": ("punctuation", "no_punctuation"),
}


def likely_causes(
    mine: Sequence[ColumnShape],
    theirs: Sequence[ColumnShape],
    names: Sequence[str],
    peer: str,
    steps: Sequence[Collection[Step]] = (),
) -> list[str]:
    """Differences between the shapes of this side's key columns and those of `peer` that may prevent records from matching.

    `names` are the key columns as the job names them, in the order of both, and `steps` the steps that the job already has for
    each, which are not suggested again. Returns at least one sentence; none shows a key. Raises ValueError where the numbers
    of columns differ.
    """
    done = [{step.name for step in column} for column, _ in zip_longest(steps, names, fillvalue=())]
    found = []
    for name, here, there, has in zip(names, mine, theirs, done, strict=True):
        if here.shares and there.shares:
            found += _Column(name, here, there, peer, has).causes()
    if found:
        return found
    if not any(here.shares and there.shares for here, there in zip(mine, theirs, strict=True)):
        return [f"The list of this party or that of {peer} is too short to compare the shapes of their keys."]
    sentence = (
        f"The usable keys of this party and {peer} have the same shape in every column, so their format does not explain it: "
        "compare which people the two lists contain, whether the key columns mean the same at both, and how many keys are "
        "reported as malformed at each side."
    )
    dates = [name for name, has in zip(names, done, strict=True) if "date" in has]
    if dates:
        sentence += (
            f" For {' and '.join(dates)} the shapes do not show whether a format in align.normalise swaps day and month for "
            "one side: it would read other days, and none at all where the day is after the 12th."
        )
    return [sentence]


class _Column:
    """One key column at both sides."""

    def __init__(self, name: str, here: ColumnShape, there: ColumnShape, peer: str, has: Collection[str]) -> None:
        self.name, self.here, self.there, self.peer, self.has = name, here, there, peer, has

    def causes(self) -> list[str]:
        for alone in (self._point_zero, self._encoding, self._dates, self._phone):
            cause = alone()
            if cause:
                return [cause]  # its remedy unifies the other differences as well
        found = [one for one in (self._zeros(), self._case(), self._accents()) if one]
        found += self._separators()
        return found or [one for one in (self._kind(), self._length()) if one][:1]

    def _more(self, category: str, apart: int = _FAR) -> int:
        """1 or -1 where more keys are in `category` here or there, by `apart` per cent or more; 0 where it may be chance.

        Each share may be rounded by half a step, so two equal shares may differ by a whole step after rounding.
        """
        found = self.here.share(category) - self.there.share(category)
        surely = abs(found) >= apart and 2 * abs(found) > self.here.step + self.there.step
        return 0 if not surely else 1 if found > 0 else -1

    def _places(self, more: int) -> tuple[str, str]:
        """The side that has more, and the other side, in words."""
        return ("here", f"at {self.peer}") if more > 0 else (f"at {self.peer}", "here")

    def _sides(self, category: str, apart: int = _FAR) -> str:
        """At which side more keys are in `category`, in words; empty where it may be chance."""
        more = self._more(category, apart)
        return " than ".join(self._places(more)) if more else ""

    def _most(self, categories: Sequence[str]) -> tuple[str | None, str | None]:
        """The most frequent category here and there; the same twice where a difference may be chance."""
        here, there = self.here.most(categories), self.there.most(categories)
        differs = any(self._more(one) for one in (here, there) if one is not None)
        return here, there if differs else here

    def _put(self, step: str) -> str:
        return f"put {step} into align.normalise for {self.name}"

    def _point_zero(self) -> str:
        sides = self._sides(POINT_ZERO)
        return sides and (
            f"{self.name} is written with .0 at its end more often {sides}, as written by programs that treat ids as "
            "floating-point numbers: no step of align.normalise corrects this, so write whole numbers, or text, in that file."
        )

    def _encoding(self) -> str:
        sides = self._sides(WRONG_ENCODING, _RARE)
        return sides and (
            f"{self.name} has characters such as \u00c3 within words more often {sides}: that file was read with a wrong "
            "encoding; write it again in UTF-8."
        )

    def _dates(self) -> str:
        here, there = self._most(DATES)
        if "date" in self.has:
            return ""
        if here is not None and here == there and (sides := self._sides(NO_ZERO)):
            return (
                f"{self.name} holds dates with a day or month of one digit more often {sides}: "
                f"{self._put(f'{{date: [{_format(here)}]}}')}."
            )
        if here == there:
            return ""
        if here is not None and there is not None and _swapped(here) == there:
            return (
                f"{self.name} holds dates, mostly as {_format(here)} here and as {_format(there)} at {self.peer}. No list of "
                "formats corrects this, since a date up to the 12th of a month fits both and would be read as another day: one "
                "side has to rewrite its column, preferably as YYYY-MM-DD."
            )
        forms = [_format(one) for one in (here, there) if one is not None]
        advice = self._put(f"{{date: [{', '.join(forms)}]}}")
        if here is not None and there is not None:
            return f"{self.name} holds dates, mostly as {forms[0]} here and as {forms[1]} at {self.peer}: {advice}."
        where, other = self._places(-1 if here is None else 1)
        return (
            f"{self.name} mostly holds dates as {forms[0]} {where}, and has no single such form {other}: {advice}, with the "
            "other side's forms as well. No format reads years of two digits, names of months or times of day; a file that has "
            "these must be changed."
        )

    def _zeros(self) -> str:
        """Numbers that begin with zeros more often at one side. Different lengths alone do not show this."""
        if self.here.most(KINDS) != "digits" or self.there.most(KINDS) != "digits":
            return ""
        zeros = self._more(ZERO)
        if not zeros or {"leading_zeros", "pad_zeros"} & set(self.has):
            return ""
        lengths = self._most(LENGTHS)
        sentence = (
            f"{self.name} is {_digits(lengths[0])} here and {_digits(lengths[1])} at {self.peer}, and begins with a zero more "
            f"often {self._places(zeros)[0]}"
        )
        longest = max((_number(length) for length in lengths if length is not None), default=0)
        pad = f", or {{pad_zeros: {longest}}}," if longest else ""
        return f"{sentence}: leading zeros may be lost at one side; {self._put(f'leading_zeros{pad}')}."

    def _case(self) -> str:
        here, there = self._most(CASES)
        if here == there or here is None or there is None or {"lower", "upper", "email"} & set(self.has):
            return ""
        said = {"capitals": "in capitals", "small letters": "in small letters", "both cases": "in both cases"}
        return f"{self.name} is mostly {said[here]} here and {said[there]} at {self.peer}: {self._put('lower')}."

    def _accents(self) -> str:
        sides = self._sides("with accents", _RARE)
        check = "check whether a file was read with a wrong encoding, or writes such letters as two (ue)"
        advice = check if "no_accents" in self.has else f"{self._put('no_accents')}, and {check}"
        return sides and f"{self.name} has accents or other letters beyond A to Z more often {sides}: {advice}."

    def _separators(self) -> list[str]:
        found = []
        for category, (word, step) in _SEPARATORS.items():
            sides = self._sides(category)
            if sides and step not in self.has:
                found.append(f"{self.name} has {word} more often {sides}: {self._put(step)}.")
        return found

    def _phone(self) -> str:
        plus, zeros = self._more("with + in front"), self._more(ZEROS)
        # Where ids have lost their zeros at one side, that side has no leading zero at all; telephone numbers have one.
        is_prefix = zeros and min(self.here.share(ZERO), self.there.share(ZERO)) >= 50
        if "phone" in self.has or not (plus or is_prefix):
            return ""
        return (
            f"{self.name} begins with a {'+' if plus else '00'} at one side more often than at the other, as telephone numbers "
            f"do: {self._put('{phone: DE}, or another country,')}."
        )

    def _kind(self) -> str:
        here, there = self._most(KINDS)
        if here == there or here is None or there is None:
            return ""
        said = {
            "digits": "digits alone",
            "hexadecimal": "hexadecimal digits",
            "letters": "letters alone",
            "letters and digits": "letters and digits",
            "with other signs": "letters or digits with other signs",
        }
        kept = "" if "digits" in self.has else " (digits keeps the digits alone)"
        return (
            f"{self.name} is mostly {said[here]} here and {said[there]} at {self.peer}: the two may be different kinds of "
            f"id, or one side adds a prefix{kept}."
        )

    def _length(self) -> str:
        here, there = self._most(LENGTHS)
        if here == there or here is None or there is None:
            return ""
        said = [length.removeprefix("length ") for length in (here, there)]
        return (
            f"{self.name} mostly has {said[0]} characters here and {said[1]} at {self.peer}: the two may be different kinds "
            "of id, or one side cuts or extends it."
        )


def _format(category: str) -> str:
    """A form of a date as the job names it: "date d.m.Y" -> "%d.%m.%Y", in quotes."""
    form = category.removeprefix("date ")
    return '"' + "".join(f"%{sign}" if sign in "Ymd" else sign for sign in form) + '"'


def _swapped(category: str) -> str:
    """The same form with day and month in the other order."""
    return "date " + category.removeprefix("date ").translate(str.maketrans("dm", "md"))


def _digits(length: str | None) -> str:
    return "of several lengths" if length is None else f"mostly {length.removeprefix('length ')} digits long"


def _number(length: str) -> int:
    words = length.removeprefix("length ")
    return int(words) if words.isdecimal() else 0
