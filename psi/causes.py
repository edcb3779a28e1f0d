"""From the shapes of two sides' keys to plain sentences: why so few may match, and what in `align.normalise` would help."""

from __future__ import annotations

from collections.abc import Sequence

from psi.shapes import CASES, DATES, KINDS, LENGTHS, ZERO, ColumnShape

_FAR = 20  # per cent by which two shares differ enough to be a cause
_RARE = 5
_SEPARATORS = {
    "with space": ("spaces", "no_spaces"),
    "with hyphen": ("hyphens", "no_punctuation"),
    "with dot": ("dots", "no_punctuation"),
    "with slash": ("slashes", "no_punctuation"),
    "with other punctuation": ("punctuation", "no_punctuation"),
}


def likely_causes(
    mine: Sequence[ColumnShape], theirs: Sequence[ColumnShape], names: Sequence[str], peer: str
) -> list[str]:
    """What in the shapes of this side's key columns and of those of `peer` may keep records from matching.

    `names` are the key columns as the job has them, in the order of both. Plain sentences, at least one; none shows a
    key. Raises ValueError where the numbers of columns differ.
    """
    found = []
    for name, here, there in zip(names, mine, theirs, strict=True):
        if here.shares and there.shares:
            found += _Column(name, here, there, peer).causes()
    if found:
        return found
    if not any(here.shares and there.shares for here, there in zip(mine, theirs, strict=True)):
        return [f"The list of this party or that of {peer} is too short to compare how their keys look."]
    return [
        f"The keys of this party and {peer} look alike in every column, so how they are written does not explain it: "
        "compare which people the two lists are about, and whether the key columns mean the same at both."
    ]


class _Column:
    """One key column at both sides."""

    def __init__(self, name: str, here: ColumnShape, there: ColumnShape, peer: str) -> None:
        self.name, self.here, self.there, self.peer = name, here, there, peer

    def causes(self) -> list[str]:
        dates = self._dates()
        if dates:
            return [dates]  # which brings the rest of what differs to one form as well; so does phone
        phone = self._phone()
        if phone:
            return [phone]
        found = [one for one in (self._zeros(), self._case(), self._accents()) if one]
        found += self._separators()
        return found or [one for one in (self._kind(), self._length()) if one][:1]

    def _more(self, category: str, apart: int = _FAR) -> int:
        """1 or -1 where more keys are in `category` here or there, by `apart` per cent or more; 0 where it may be chance.

        Each share may be half a step from what it is told, so that two equal ones may be told as far apart.
        """
        found = self.here.share(category) - self.there.share(category)
        surely = abs(found) >= apart and 2 * abs(found) > self.here.step + self.there.step
        return 0 if not surely else 1 if found > 0 else -1

    def _places(self, more: int) -> tuple[str, str]:
        """Where there are more, and the other side."""
        return ("here", f"at {self.peer}") if more > 0 else (f"at {self.peer}", "here")

    def _most(self, categories: Sequence[str]) -> tuple[str | None, str | None]:
        """What is most here and there; the same twice where a difference may be chance."""
        here, there = self.here.most(categories), self.there.most(categories)
        differs = any(self._more(one) for one in (here, there) if one is not None)
        return here, there if differs else here

    def _dates(self) -> str:
        here, there = self._most(DATES)
        if here == there:
            return ""
        forms = [_format(one) for one in (here, there) if one is not None]
        advice = f"put {{date: [{', '.join(forms)}]}} into align.normalise for it"
        if here is not None and there is not None:
            return f"{self.name} holds dates, mostly as {forms[0]} here and as {forms[1]} at {self.peer}: {advice}."
        where, other = ("here", f"at {self.peer}") if here is not None else (f"at {self.peer}", "here")
        return (
            f"{self.name} mostly holds dates as {forms[0]} {where}, and in no one such form {other}: {advice}, with the "
            "other side's forms as well."
        )

    def _zeros(self) -> str:
        """Numbers that are longer at one side, or that begin with zeros there only."""
        if self.here.most(KINDS) != "digits" or self.there.most(KINDS) != "digits":
            return ""
        lengths = self._most(LENGTHS)
        zeros = self._more(ZERO)
        if not zeros and (lengths[0] == lengths[1] or None in lengths):
            return ""
        said = f"{self.name} is {_digits(lengths[0])} here and {_digits(lengths[1])} at {self.peer}"
        if zeros:
            said += f", and begins with a zero more often {self._places(zeros)[0]}"
        longest = max((_number(length) for length in lengths if length is not None), default=0)
        pad = f", or {{pad_zeros: {longest}}}," if longest else ""
        return f"{said}: leading zeros may be lost at one side; put leading_zeros{pad} into align.normalise for {self.name}."

    def _case(self) -> str:
        here, there = self._most(CASES)
        if here == there or here is None or there is None:
            return ""
        said = {"capitals": "in capitals", "small letters": "in small letters", "both cases": "in both cases"}
        return (
            f"{self.name} is mostly {said[here]} here and {said[there]} at {self.peer}: "
            f"put lower into align.normalise for {self.name}."
        )

    def _accents(self) -> str:
        more = self._more("with accents", _RARE)
        if not more:
            return ""
        where, other = self._places(more)
        return (
            f"{self.name} has accents or other letters beyond A to Z more often {where} than {other}: put no_accents into "
            f"align.normalise for {self.name}, and look whether a file was read with a wrong encoding."
        )

    def _separators(self) -> list[str]:
        found = []
        for category, (word, step) in _SEPARATORS.items():
            more = self._more(category)
            if more:
                where, other = self._places(more)
                found.append(
                    f"{self.name} has {word} more often {where} than {other}: put {step} into align.normalise for "
                    f"{self.name}."
                )
        return found

    def _phone(self) -> str:
        if not self._more("with + in front"):
            return ""
        return (
            f"{self.name} begins with a + at one side more often than at the other, as telephone numbers do: put "
            f"{{phone: DE}}, or another country, into align.normalise for {self.name}."
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
        return (
            f"{self.name} is mostly {said[here]} here and {said[there]} at {self.peer}: the two may be different kinds of "
            "id, or one side adds a prefix (digits keeps the digits alone)."
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


def _digits(length: str | None) -> str:
    return "of several lengths" if length is None else f"mostly {length.removeprefix('length ')} digits long"


def _number(length: str) -> int:
    words = length.removeprefix("length ")
    return int(words) if words.isdecimal() else 0
