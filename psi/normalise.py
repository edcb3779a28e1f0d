"""The steps of the id contract as a job names them, and the canonical text that they make of a text.

`psi.normalisers` has the functions. SPEC.md, section 3, defines the same in words.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from psi.normalisers import (
    clean,
    digits,
    email,
    iso_date,
    no_accents,
    no_leading_zeros,
    no_punctuation,
    no_spaces,
    one_space,
    pad_zeros,
    phone,
)

CONTRACT: Final = 2
"""The version of the id contract. It is part of the digest of the job, since keys of two versions would not match."""

Change = Callable[[str], str | None]

MOST_CHARACTERS = 10_000
"""Longer text is malformed. Normalising the marks on one letter takes time quadratic in their number."""
MOST_STEPS = 16
MOST_ZEROS = 100
MOST_FORMATS = 16


@dataclass(frozen=True, slots=True)
class Step:
    """One normaliser: its name in the job file, its argument where it has one, and what it does to a text."""

    name: str
    argument: str = ""
    change: Change = field(compare=False, repr=False, default=str)

    def __str__(self) -> str:
        return f"{self.name} {self.argument}" if self.argument else self.name


def canonical(text: str, steps: Sequence[Step]) -> str | None:
    """The text that is compared: "" where it is missing, None where it is malformed.

    This is the definition; `psi.columns` does the same for whole columns at a time.
    """
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: the file was read with a wrong encoding
        return None
    if len(text) > MOST_CHARACTERS:
        return None
    text = clean(text)
    for step in steps:
        if not text:
            break
        changed = step.change(text)
        if changed is None:
            return None
        text = clean(changed)
    return text


_PLAIN: Mapping[str, Change] = {
    "nfkc": clean,
    "trim": clean,
    "spaces": one_space,
    "no_spaces": no_spaces,
    "lower": str.casefold,
    "upper": str.upper,
    "no_punctuation": no_punctuation,
    "no_accents": no_accents,
    "leading_zeros": no_leading_zeros,
    "digits": digits,
    "email": email,
}
_WITH_ARGUMENT = ("pad_zeros", "date", "phone")
ALWAYS = ("nfkc", "trim")
"""Applied to every text first, and again after each step, so that naming them changes nothing."""

ALLOWED = f'one of {", ".join(_PLAIN)}, or one of {{pad_zeros: 10}}, {{date: ["%d.%m.%Y", "%Y-%m-%d"]}}, {{phone: DE}}'

_MEANT = (
    ("pad|fill", "pad_zeros"),
    ("zero", "leading_zeros"),
    ("accent|diacritic|umlaut", "no_accents"),
    ("punct|special|symbol|hyphen|dash", "no_punctuation"),
    ("one_space|single|squeeze|collaps", "spaces"),
    ("space|blank", "no_spaces"),
    ("mail", "email"),
    ("phone|mobile|^tel", "phone"),
    ("date|birth|^dob", "date"),
    ("digit|numer|number", "digits"),
    ("lower|fold|small", "lower"),
    ("upper|capital", "upper"),
    ("strip|trim", "trim"),
    ("nfc|nfd|nfkd|unicode", "nfkc"),
)
"""Patterns of unknown names, and the step that is probably meant, the more specific pattern first."""


def read_step(written: object) -> Step:
    """The normaliser that a job file names: `lower`, or `{pad_zeros: 10}` as a mapping of one name to its argument.

    Raises ValueError, whose text says what it must be.
    """
    if isinstance(written, str) and written in _PLAIN:
        return Step(written, change=_PLAIN[written])
    if isinstance(written, Mapping) and len(written) == 1:
        ((name, argument),) = written.items()
        if name == "pad_zeros":
            return _padding(argument)
        if name == "date":
            return _dates(argument)
        if name == "phone":
            return _phone(argument)
    raise ValueError(f"it must be {ALLOWED}{_did_you_mean(written)}")


def _did_you_mean(written: object) -> str:
    name = next(iter(written)) if isinstance(written, Mapping) and len(written) == 1 else written
    if not isinstance(name, str):
        return ""
    word = name.lower().strip()
    near = difflib.get_close_matches(word, [*_PLAIN, *_WITH_ARGUMENT], n=1, cutoff=0.8)
    near = near or [step for sign, step in _MEANT if re.search(sign, word)]
    if not near:
        return ""
    example = {"pad_zeros": "{pad_zeros: 10}", "date": '{date: ["%d.%m.%Y"]}', "phone": "{phone: DE}"}
    return f"; did you mean {example.get(near[0], near[0])}?"


def read_steps(written: Iterable[object]) -> tuple[Step, ...]:
    """The normalisers of one column, in their order, without those that are always applied. Raises ValueError."""
    return tuple(step for step in map(read_step, written) if step.name not in ALWAYS)


def contract_version(columns: Iterable[Sequence[Step]]) -> str:
    """What must be equal at two parties for equal keys: the contract's version, and those of the tables in use."""
    used = {step.name for steps in columns for step in steps}
    version = str(CONTRACT)
    if "email" in used:
        import idna.idnadata

        version += f"+idna-{idna.idnadata.__version__}"
    if "phone" in used:
        import phonenumbers

        version += f"+phonenumbers-{phonenumbers.__version__}"
    return version


def _padding(width: object) -> Step:
    if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width <= MOST_ZEROS:
        raise ValueError(f"pad_zeros must have a whole number from 1 to {MOST_ZEROS}, as in {{pad_zeros: 10}}")
    return Step("pad_zeros", str(width), partial(pad_zeros, width))


def _dates(formats: object) -> Step:
    if not isinstance(formats, list | tuple) or not 1 <= len(formats) <= MOST_FORMATS:
        raise ValueError(
            f'date must have a list of 1 to {MOST_FORMATS} formats, as in {{date: ["%d.%m.%Y", "%Y-%m-%d"]}}'
        )
    patterns = tuple(_pattern(written) for written in formats)
    return Step("date", " or ".join(formats), partial(iso_date, patterns))


def _pattern(written: object) -> re.Pattern[str]:
    """A format of the date's three parts and plain characters, as a pattern.

    %Y is four digits. %m and %d are one or two digits, and exactly two where another part is adjacent.
    """
    rule = (
        "a format of a date must have %Y, %m and %d once each and no other %, as in %d.%m.%Y; %y, a year of two digits, "
        "is ambiguous between two centuries"
    )
    if not isinstance(written, str) or len(written) > 64 or clean(written) != written:
        raise ValueError(rule)
    pieces = re.split(r"(%.?)", written)
    if sorted(pieces[1::2]) != ["%Y", "%d", "%m"]:
        raise ValueError(rule)
    pattern = ""
    for at, piece in enumerate(pieces):
        if at % 2 == 0:
            pattern += re.escape(piece)
        elif piece == "%Y":
            pattern += "(?P<Y>[0-9]{4})"
        else:
            adjacent = (at > 1 and not pieces[at - 1]) or (at + 2 < len(pieces) and not pieces[at + 1])
            pattern += f"(?P<{piece[1]}>[0-9]{{{'2' if adjacent else '1,2'}}})"
    return re.compile(pattern)


def _phone(region: object) -> Step:
    import phonenumbers

    if not isinstance(region, str) or region not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(
            "phone must have the country of numbers without a country code, in two capital letters, as in {phone: DE}, and no "
            "such country is known"
        )
    return Step("phone", region, partial(phone, region))
