"""Makes text safe to show and to write: what would act, hide, or be no text of any encoding is spelt out instead.

Control characters move a terminal's cursor and rewrite lines, bidirectional signs let a name read as another one, and signs
without a width let two names look alike. A path may hold bytes that are no text of this machine: Python puts a lone surrogate
for each such byte, and UTF-8 has none. Every way out uses this module: the screen (`parties.command.console`), the outputs
(`parties.command.output`), logs (`parties.monitoring.log_output`), JSON files and the report's page.
"""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import msgspec

# Letters and marks by their category, that are seen as nothing all the same.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_SPACES = "Zs"


def spelt_out(text: str) -> str:
    """The text as UTF-8 can have it: the bytes of a path are UTF-8 most of the time, and what is none is shown as its code."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        raw = text.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


def visible(text: str, keep: str = "") -> str:
    r"""The text with each such character as Python spells it, such as \x1b or \u202e; those in `keep` stay.

    Line breaks and tabs are among them, so that one sentence stays one line. Letters of all scripts stay as they are, and so
    do spaces of any width.
    """
    if text.isascii() and text.isprintable():
        return text
    text = spelt_out(text)
    return "".join(one if one in keep or _is_seen(one) else one.encode("unicode_escape").decode() for one in text)


def json_bytes(content: object) -> bytes:
    """Plain data or a struct as JSON."""
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:
        return msgspec.json.encode(_spelt_out(msgspec.to_builtins(content)))


def json_text(content: object) -> str:
    r"""Plain data or a struct as JSON whose text shows what it holds: such characters in JSON's own spelling, \u202e."""
    text = json_bytes(content).decode()
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if _is_seen(one) else _in_json(one) for one in text)


def json_line(content: object) -> str:
    """Plain data as one line of JSON in ASCII, so that any output can take it, and whole for any program that reads it."""
    return json.dumps(json.loads(json_bytes(content)))


def file_name(written: str) -> str:
    """A path of a config file, which is UTF-8 like all names in it, as this machine's files are called."""
    try:
        os.fsencode(written)
    except UnicodeEncodeError:  # the locale has no such letters; the file system has, since it has bytes
        return os.fsdecode(written.encode("utf-8", "surrogatepass"))
    return written


def beside(file: Path, written: str) -> Path:
    """The path that a config file writes, which is relative to the file it stands in."""
    return file.parent / file_name(written)


def _is_seen(one: str) -> bool:
    return one not in _UNSEEN and (one.isprintable() or unicodedata.category(one) == _SPACES)


def _in_json(one: str) -> str:
    units = one.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))


def _spelt_out(content: Any) -> Any:
    if isinstance(content, str):
        return spelt_out(content)
    if isinstance(content, dict):
        return {_spelt_out(name): _spelt_out(value) for name, value in content.items()}
    return [_spelt_out(value) for value in content] if isinstance(content, list) else content


def ended(sentence: str) -> str:
    """The sentence with a full stop, unless it has an end of its own, such as that of a question."""
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."
