"""Text that no encoding refuses: a path may hold bytes that are no text of this machine, and then stands for them oddly.

Python puts a lone surrogate for each such byte. JSON and files are UTF-8, which has none.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec


def spelt_out(text: str) -> str:
    """The text as UTF-8 can have it: the bytes of a path are UTF-8 most of the time, and what is none is shown as its code."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        raw = text.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


def json_bytes(content: object) -> bytes:
    """Plain data or a struct as JSON."""
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:
        return msgspec.json.encode(_spelt_out(msgspec.to_builtins(content)))


def file_name(written: str) -> str:
    """A path of a config file, which is UTF-8 like all names in it, as this machine's files are called."""
    try:
        os.fsencode(written)
    except UnicodeEncodeError:  # the locale has no such letters; the file system has, since it has bytes
        return os.fsdecode(written.encode("utf-8", "surrogatepass"))
    return written


def _spelt_out(content: Any) -> Any:
    if isinstance(content, str):
        return spelt_out(content)
    if isinstance(content, dict):
        return {_spelt_out(name): _spelt_out(value) for name, value in content.items()}
    return [_spelt_out(value) for value in content] if isinstance(content, list) else content


def ended(sentence: str) -> str:
    """The sentence with a full stop, unless it has an end of its own, such as that of a question."""
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."
