"""Makes text from other parties, from data and from programs safe to show: what would act or hide is spelt out instead.

Control characters move a terminal's cursor and rewrite lines, bidirectional signs let a name read as another one, and signs
without a width let two names look alike. Every way out uses this module: the screen (`parties.command.console`), logs
(`parties.watch.log_output`), JSON files and the report's page.
"""

from __future__ import annotations

import unicodedata

# Letters and marks by their category, that are seen as nothing all the same.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_SPACES = "Zs"


def visible(text: str, keep: str = "") -> str:
    r"""The text with each such character as Python spells it, such as \x1b or \u202e; those in `keep` stay.

    Line breaks and tabs are among them, so that one sentence stays one line. Letters of all scripts stay as they are, and so
    do spaces of any width.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in keep or _is_seen(one) else one.encode("unicode_escape").decode() for one in text)


def visible_json(text: str) -> str:
    r"""JSON text with each such character in JSON's own spelling, \u202e, so that a program reads what was there."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in "\n" or _is_seen(one) else _in_json(one) for one in text)


def _is_seen(one: str) -> bool:
    return one not in _UNSEEN and (one.isprintable() or unicodedata.category(one) == _SPACES)


def _in_json(one: str) -> str:
    units = one.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
