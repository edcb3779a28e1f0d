"""An error in a config file, as one sentence: the file, the dotted key, what was found and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from parties.config.allowed import Part, allowed, follow, known_keys
from parties.local.text import ended
from vsplit.protocol import ConfigError

Model = TypeVar("Model", bound=BaseModel)

CROSS_CHECK = "vsplit_cross_check"
HIDDEN = frozenset({"source", "query", "positive", "proxy"})
"""Keys whose values are never shown: they may hold a password or a label."""

SHOWN_LENGTH = 40
SECRET_SIGNS = ("://", "@", "-----", "\n")
PLAIN_KEY = re.compile(r"[\w .-]{1,40}")
PLAIN_WORDS = re.compile(r"[\w-]+(?: [\w-]+)*")


def wrong(key: str, sentence: str) -> PydanticCustomError:
    """The error that a validator raises. `key` is dotted, below the validator's model ("" for its own field).

    `sentence` continues "the key KEY", and says what was found and what is allowed.
    """
    return PydanticCustomError(CROSS_CHECK, "{sentence}", {"key": key, "sentence": sentence})


def validate(model: type[Model], values: Mapping[str, Any], where: Path | str) -> Model:
    """`values` as a `model`. Raises ConfigError with one sentence, about the most informative of the errors."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        places: dict[tuple[Part, ...], ErrorDetails] = {}
        for details in error.errors(include_url=False):
            places.setdefault(_place(details), details)
        # A misspelt key is missing under its right name as well; the unknown one is more informative.
        first, *rest = sorted(places.values(), key=lambda one: one["type"] not in ("extra_forbidden", "invalid_key"))
        more = f" Further keys of this file are wrong as well: {len(rest)}." if rest else ""
        raise ConfigError(f"In {where}, {ended(_sentence(model, first))}{more}") from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or an empty text where no name is similar."""
    # Regardless of case, as in TASK.
    names = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), list(names), n=1)
    return f"; did you mean {plain(names[near[0]])}?" if near else ""


def shown(value: object) -> str:
    """What was found, short enough for a sentence. Neither the contents of groups nor what looks like a secret is shown."""
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a group of keys"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if any(sign in str(value) for sign in SECRET_SIGNS):
        return f"a text of {len(str(value))} characters"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 3] + "..."


def _place(details: ErrorDetails) -> tuple[Part, ...]:
    # A value that fits no member of a union is reported once for each member, with the member's name at the end.
    location = details["loc"]
    return location[: location.index("positive") + 1] if "positive" in location else location


def _sentence(model: type[BaseModel], details: ErrorDetails) -> str:
    location = details["loc"]
    known, schema = follow(model, location)
    key = _dotted(known)
    if details["type"] == CROSS_CHECK:
        context = details["ctx"]
        return f"the key {_dotted((*known, context['key']))} {context['sentence']}"
    if details["type"] == "extra_forbidden":
        return _unknown(key, location[len(known)], known_keys(schema))
    if details["type"] == "missing":
        return f"the key {key} is missing; it must be {allowed(schema)}"
    if details["type"] == "invalid_key" or (location and location[-1] == "[key]"):
        group = _dotted(location[:-1] if details["type"] == "invalid_key" else known[:-1])
        holder = f"the key {group}" if group else "the file"
        return f"{holder} has a name that is not text: {shown(details['input'])}; put it in quotes"
    found = "has a value of the wrong kind" if HIDDEN & set(known) else f"is {shown(details['input'])}"
    return f"the key {key} {found}; it must be {allowed(schema)}"


def _unknown(group: str, part: Part, keys: list[str]) -> str:
    if not PLAIN_KEY.fullmatch(str(part)):
        return f"{f'the key {group}' if group else 'the file'} has a key that is not a plain word. Allowed: {', '.join(keys)}"
    hint = did_you_mean(str(part), keys) or "; is its indentation correct?"
    return f"the key {_dotted((group, part))} is not known{hint} Allowed here: {', '.join(keys)}"


def _dotted(location: Sequence[Part]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{plain(part)}" if part else "" for part in location)
    return text.removeprefix(".")


def plain(part: str) -> str:
    """A part of a dotted key, or another name; in quotes where a character of it would read as punctuation."""
    return part if all(map(PLAIN_WORDS.fullmatch, part.split("."))) else repr(part)
