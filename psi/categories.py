"""The categories of a key's text: its length, kind of characters, case, signs, flaws, and the form of a date."""

from __future__ import annotations

import re
from datetime import date

_LONGEST = 40  # lengths up to this are categories of their own

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
# UTF-8 that was read as Latin-1: an accented letter becomes one of these and another character, among small letters.
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
"""All categories, in the words of the message."""


def categories_of(text: str) -> list[str]:
    """The categories of one text of a key."""
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
    found += _flaws(text)
    form = _date_form(text)
    if form is None:
        return found
    return [*found, f"date {form}", *([NO_ZERO] if _NO_ZERO.search(text) else [])]


def _flaws(text: str) -> list[str]:
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
            # The day can be told from the month only where it is more than 12; otherwise the European order is assumed.
            return _SWAPPED[form] if form in _SWAPPED and int(re.split(r"[.-]", text)[1]) > 12 else form
    slashes = _SLASHES.fullmatch(text)
    if slashes:  # the day can be told from the month only where it is more than 12
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
