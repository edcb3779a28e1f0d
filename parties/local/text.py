"""Makes text safe to show and to write: characters that act, are invisible, or cannot be encoded are escaped.

Control characters move a terminal's cursor and rewrite lines, bidirectional characters let a name read as another one, and
characters without a width let two names look alike. A path may contain bytes that are not text in this machine's encoding:
Python represents each such byte by a lone surrogate, which UTF-8 cannot encode. Every output uses this module: the screen
(`parties.command.console`), the outputs (`parties.command.output`), logs (`parties.monitoring.log_output`), JSON files and the
report's page.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

# Letters and marks by their category, but invisible.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_SPACES = "Zs"


def without_surrogates(text: str) -> str:
    """The text without surrogates: bytes of a path are decoded as UTF-8, and those that are not UTF-8 are escaped."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that represent no byte
        raw = text.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


def visible(text: str, keep: str = "") -> str:
    r"""The text with each such character as a Python escape, such as \x1b or \u202e, except those in `keep`.

    Line breaks and tabs are escaped too, so that a sentence stays on one line. Letters of all scripts and spaces of any width
    are unchanged.
    """
    if text.isascii() and text.isprintable():
        return text
    text = without_surrogates(text)
    return "".join(one if one in keep or _is_visible(one) else one.encode("unicode_escape").decode() for one in text)


def json_bytes(content: object) -> bytes:
    """Plain data or a struct as JSON."""
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:
        return msgspec.json.encode(_without_surrogates(msgspec.to_builtins(content)))


def json_text(content: object) -> str:
    r"""Plain data or a struct as JSON, with such characters as JSON escapes, \u202e."""
    text = json_bytes(content).decode()
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if _is_visible(one) else _in_json(one) for one in text)


def json_line(content: object) -> str:
    """Plain data as one line of JSON in ASCII, which every output encoding has and every program can decode."""
    return json.dumps(json.loads(json_bytes(content)))


def file_name(written: str) -> str:
    """A path from a config file, which is UTF-8, as this machine spells the names of files."""
    try:
        os.fsencode(written)
    except UnicodeEncodeError:  # the locale lacks these letters, but the file system stores bytes
        return os.fsdecode(written.encode("utf-8", "surrogatepass"))
    return written


def beside(file: Path, written: str) -> Path:
    """A path written in a config file, relative to that file."""
    return file.parent / file_name(written)


def _is_visible(one: str) -> bool:
    return one not in _INVISIBLE and (one.isprintable() or unicodedata.category(one) == _SPACES)


def _in_json(one: str) -> str:
    units = one.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))


def _without_surrogates(content: Any) -> Any:
    if isinstance(content, str):
        return without_surrogates(content)
    if isinstance(content, dict):
        return {_without_surrogates(name): _without_surrogates(value) for name, value in content.items()}
    return [_without_surrogates(value) for value in content] if isinstance(content, list) else content


def ended(sentence: str) -> str:
    """The sentence with a full stop, unless it ends with punctuation already, such as a question mark."""
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


def listed(words: Sequence[str]) -> str:
    """The words as a list in a sentence: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
