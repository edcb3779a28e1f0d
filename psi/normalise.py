"""The normalisers of the id contract: small pure functions from a text to the text that both sides compare.

Each takes and returns text in Unicode normal form NFKC without white space at its ends, and returns None where the text
is malformed: where it can be no date, address or number of the kind that was asked for. Text that becomes empty counts as
missing. SPEC.md, section 3, says the same in words, with an example for each.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache, partial
from typing import Final

CONTRACT: Final = 2
"""The version of the id contract. It belongs into the digest of the job, since two versions would not match."""

Change = Callable[[str], str | None]

MOST_CHARACTERS = 10_000
"""Longer text is malformed. Bringing marks on one letter to NFKC takes time by the square of their number."""
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


def clean(text: str) -> str:
    """Text in normal form NFKC without white space at its ends: what every normaliser starts from and leaves."""
    return (text if text.isascii() else unicodedata.normalize("NFKC", text)).strip()


def canonical(text: str, steps: Sequence[Step]) -> str | None:
    """The text that is compared: "" where it is missing, None where it is malformed.

    This is the definition; `psi.columns` does the same to whole columns at a time.
    """
    try:
        text.encode()
    except UnicodeEncodeError:  # A lone surrogate: the file was read with a wrong encoding.
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


# --- the normalisers --------------------------------------------------------------------------------------------------


def one_space(text: str) -> str:
    """Every run of white space as one space: "Anna  Maria" -> "Anna Maria"."""
    return " ".join(text.split())


def no_spaces(text: str) -> str:
    """No white space: "12 345" -> "12345"."""
    return "".join(text.split())


def no_punctuation(text: str) -> str:
    """Letters, marks on letters, numbers and white space only: "A-17/b" -> "A17b"."""
    return "".join(sign for sign in text if sign.isspace() or unicodedata.category(sign)[0] in "LMN")


def no_accents(text: str) -> str:
    """Letters without the marks that Unicode can take off: "Zoë" -> "Zoe". The letters ø, ł and ß stay as they are."""
    return "".join(sign for sign in unicodedata.normalize("NFD", text) if unicodedata.category(sign) != "Mn")


def no_leading_zeros(text: str) -> str:
    """No zeros in front, but one zero for zeros alone: "0017" -> "17", "000" -> "0"."""
    return text.lstrip("0") or "0"


def pad_zeros(width: int, text: str) -> str:
    """Zeros in front up to `width` characters; longer text stays: with 6, "17" -> "000017"."""
    return text.rjust(width, "0")


def digits(text: str) -> str:
    """Decimal digits only, of every script, written 0 to 9: "DE 12.345" -> "12345"."""
    return "".join(str(unicodedata.decimal(sign)) for sign in text if sign.isdecimal())


def iso_date(patterns: Sequence[re.Pattern[str]], text: str) -> str | None:
    """The date by the first pattern that fits, as YYYY-MM-DD: with %d.%m.%Y, "3.9.1980" -> "1980-09-03"."""
    for pattern in patterns:
        found = pattern.fullmatch(text)
        if found is None:
            continue
        try:
            return date(int(found["Y"]), int(found["m"]), int(found["d"])).isoformat()
        except ValueError:  # There is no such day, so another format may be meant.
            continue
    return None


def email(text: str) -> str | None:
    """An address in small letters, its domain in the letters of the DNS: "Ann@Müller.de" -> "ann@xn--mller-kva.de"."""
    local, at, domain = text.rpartition("@")
    if not at or not local or "@" in local or any(sign.isspace() for sign in text):
        return None
    known = _domain(domain.removesuffix("."))
    return f"{clean(local.casefold())}@{known}" if known else None


@lru_cache(maxsize=65_536)
def _domain(name: str) -> str | None:
    import idna  # Only who compares addresses pays for its tables.

    try:
        return idna.encode(name, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        return None


_LETTER = re.compile(r"[^\W\d_]")
_EXTENSION = re.compile(r"[^\W\d_]+[\W_]*\d+\W*$")  # The word before an extension, and its digits: "ext. 12".


def phone(region: str, text: str) -> str | None:
    """A telephone number in E.164, without an extension: with DE, "(030) 901820" -> "+4930901820"."""
    written = _e164(region, text)
    if written is None or not _LETTER.search(text):
        return written
    # The library reads letters as the digits on the same keys of a telephone, so a word would become part of the number.
    # The letters are those of an extension if they stand at the end and the number is the same without them.
    bare = _EXTENSION.sub("", text)
    return written if not _LETTER.search(bare) and _e164(region, bare) == written else None


def _e164(region: str, text: str) -> str | None:
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    # Without its area code a number would be one for several people. What is not even possible shows faster.
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


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
"""What is done to every text first, and again after each step, so that naming it changes nothing."""

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
"""What a name that is none here says of the step that is meant, the more telling sign first."""


# --- as the job names them --------------------------------------------------------------------------------------------


def read_step(written: object) -> Step:
    """The normaliser that a job file names: `lower`, or `{pad_zeros: 10}` as a mapping of one name to its argument.

    Raises ValueError, which says what it must be.
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
    """What two parties must have alike to write keys alike: the contract's version, and those of the tables in use."""
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

    %Y is four digits. %m and %d are one or two digits, and exactly two where another part touches them.
    """
    rule = (
        "a format of a date must have %Y, %m and %d once each and no other %, as in %d.%m.%Y; %y, a year of two digits, "
        "could be of two centuries"
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
            touched = (at > 1 and not pieces[at - 1]) or (at + 2 < len(pieces) and not pieces[at + 1])
            pattern += f"(?P<{piece[1]}>[0-9]{{{'2' if touched else '1,2'}}})"
    return re.compile(pattern)


def _phone(region: object) -> Step:
    import phonenumbers

    if not isinstance(region, str) or region not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(
            "phone must have the country of numbers without a country code, in two capital letters, as in {phone: DE}, and no "
            "such country is known"
        )
    return Step("phone", region, partial(phone, region))
