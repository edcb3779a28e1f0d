"""The normalisers of the id contract: small pure functions from a text to the text that both sides compare.

Each takes and returns text in Unicode normal form NFKC without white space at its ends, and returns None where the text
is malformed: where it cannot be a date, address or number of the kind that was asked for. Text that becomes empty counts as
missing. SPEC.md, section 3, defines the same in words, with an example for each.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import date
from functools import lru_cache


def clean(text: str) -> str:
    """Text in normal form NFKC without white space at its ends: what every normaliser takes and returns."""
    return (text if text.isascii() else unicodedata.normalize("NFKC", text)).strip()


def one_space(text: str) -> str:
    """Every run of white space as one space: "Anna  Maria" -> "Anna Maria"."""
    return " ".join(text.split())


def no_spaces(text: str) -> str:
    """Without white space: "12 345" -> "12345"."""
    return "".join(text.split())


def no_punctuation(text: str) -> str:
    """Letters, marks on letters, numbers and white space only: "A-17/b" -> "A17b"."""
    return "".join(sign for sign in text if sign.isspace() or unicodedata.category(sign)[0] in "LMN")


def no_accents(text: str) -> str:
    """Letters without the marks that Unicode can separate: "Zoë" -> "Zoe". The letters ø, ł and ß stay unchanged."""
    return "".join(sign for sign in unicodedata.normalize("NFD", text) if unicodedata.category(sign) != "Mn")


def no_leading_zeros(text: str) -> str:
    """Without leading zeros, but one zero for zeros alone: "0017" -> "17", "000" -> "0"."""
    return text.lstrip("0") or "0"


def pad_zeros(width: int, text: str) -> str:
    """Leading zeros up to `width` characters; longer text is unchanged: with 6, "17" -> "000017"."""
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
        except ValueError:  # there is no such day, so another format may be meant
            continue
    return None


def email(text: str) -> str | None:
    """An address in lower case, its domain in ASCII as in the DNS: "Ann@Müller.de" -> "ann@xn--mller-kva.de"."""
    local, at, domain = text.rpartition("@")
    if not at or not local or "@" in local or any(sign.isspace() for sign in text):
        return None
    known = _domain(domain.removesuffix("."))
    return f"{clean(local.casefold())}@{known}" if known else None


@lru_cache(maxsize=65_536)
def _domain(name: str) -> str | None:
    import idna  # its tables are loaded only where addresses are compared

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
    # The letters are those of an extension if they are at the end and the number is the same without them.
    bare = _EXTENSION.sub("", text)
    return written if not _LETTER.search(bare) and _e164(region, bare) == written else None


def _e164(region: str, text: str) -> str | None:
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    # Without its area code a number could belong to several people. That it is impossible is found faster.
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
