"""What is wrong in a config file, as one sentence: the file, the dotted key, what was found and what is allowed.

pydantic finds the errors; what is allowed is read from the JSON schema of the same models, so that no bound is written
down twice.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from vsplit.protocol import ConfigError

Model = TypeVar("Model", bound=BaseModel)
Schema = Mapping[str, Any]

CROSS_CHECK = "vsplit_cross_check"
HIDDEN = frozenset({"source", "query", "positive"})
SHOWN_LENGTH = 40
SECRET_SIGNS = ("://", "@", "-----", "\n")


def wrong(key: str, sentence: str) -> PydanticCustomError:
    """The error that a validator raises: `key` is dotted and below the model of the validator ("" for the field itself).

    `sentence` goes on after "the key KEY", so it says what was found and what is allowed.
    """
    return PydanticCustomError(CROSS_CHECK, "{sentence}", {"key": key, "sentence": sentence})


def validate(model: type[Model], values: Mapping[str, Any], where: Path | str) -> Model:
    """`values` as a `model`. Raises ConfigError with one sentence about the most telling of the errors."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # A misspelt key is usually missing under its right name as well; the unknown one tells more.
        details = sorted(_one_per_key(error), key=lambda one: one["type"] != "extra_forbidden")
        more = f" ({len(details) - 1} more in this file.)" if len(details) > 1 else ""
        raise ConfigError(f"In {where}, {_sentence(model, details[0])}.{more}") from None


def did_you_mean(word: str, known: Iterable[object]) -> str:
    """`; did you mean X?`, or nothing where nothing is near."""
    near = difflib.get_close_matches(word, [str(one) for one in known], n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def dotted(location: Sequence[int | str]) -> str:
    """A key as people write it: `train.lr`, `model.top.hidden[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def shown(value: object) -> str:
    """What was found, short enough for a sentence. Contents of groups, and texts that may hold a secret, stay out."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a group of keys"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    text = repr(value)
    if any(sign in str(value) for sign in SECRET_SIGNS):
        return f"a text of {len(str(value))} characters"
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 3] + "..."


def _one_per_key(error: ValidationError) -> list[ErrorDetails]:
    # A value that fits no member of a union is reported once for each member.
    found: dict[tuple[object, str], ErrorDetails] = {}
    for details in error.errors(include_url=False):
        place: tuple[object, str] = (details["loc"], details["type"])
        if "positive" in details["loc"]:
            place = (details["loc"][: details["loc"].index("positive") + 1], "")
        found.setdefault(place, details)
    return list(found.values())


def _sentence(model: type[BaseModel], details: ErrorDetails) -> str:
    location, schema = _follow(model, details)
    key = dotted(location)
    if details["type"] == CROSS_CHECK:
        context = details["ctx"]
        return f"the key {dotted((*location, context['key'])) if context['key'] else key} {context['sentence']}"
    if details["type"] == "extra_forbidden":
        return _unknown(location, str(details["loc"][-1]), schema)
    if details["type"] == "missing":
        return f"the key {dotted((*location, details['loc'][-1]))} is missing; it must be {_missing(model, details)}"
    if details["loc"] and details["loc"][-1] == "[key]":
        return f"the name {shown(location[-1])} in {dotted(location[:-1])} is not usable; it must be {_allowed(schema)}"
    found = "holds something else" if HIDDEN & set(location) else f"is {shown(details['input'])}"
    return f"the key {key} {found}; it must be {_allowed(schema)}"
