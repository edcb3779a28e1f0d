"""Errors in the text of a YAML file: what and where, in words that quote none of it, since it may contain a password."""

from __future__ import annotations

import yaml

_TAB = "there is a tab before the text, where YAML allows only spaces; replace it by spaces"
_IN_WORDS = (
    ("anchors (&) and aliases (*)", ""),
    ("a config file ", ""),
    ("a number has", ""),
    ("found undefined alias", "anchors (&) and aliases (*) are not allowed"),
    ("tags (!) ", ""),
    ("a value looks", ""),
    ("a key", ""),
    ("mapping values are not allowed", "there is a colon where none is allowed; put text that contains one in quotation "
     "marks, and check that the lines above are complete"),
    ("entries are not allowed", "a list whose lines begin with - must begin on a line of its own"),
    ("could not find expected ':'", "a key has no colon after it, or no space after the colon"),
    ("expected <block end>", "this line does not match those above; all keys of a group must begin in the same column"),
    ("unexpected end of stream", "a quotation mark, or a bracket, is not closed"),
    ("expected ',' or ']'", "a list is not closed with ], or lacks a comma"),
    ("expected ',' or '}'", "a group is not closed with }, or lacks a comma"),
    ("expected the node content", "a value is missing, or begins with a character that needs quotation marks"),
    ("cannot start any token", "a value begins with a character that YAML reserves; put it in quotation marks"),
    ("expected a single document", "a second document begins (---), and a config file has only one"),
    ("but found another document", "a second document begins (---), and a config file has only one"),
    ("unknown escape", "there is a backslash in text with double quotation marks; use single ones"),
)  # fmt: skip
"""A part of PyYAML's message, and the text that replaces the message; empty: the message itself is used."""

_SEEN_LATER = ("unexpected end of stream", "could not find expected ':'")
"""Errors that begin at PyYAML's context mark and are detected only further below."""


def place_and_problem(error: BaseException, text: str) -> tuple[str, str]:
    """The place of the error (`line 2, column 1`, or empty) and what is wrong there."""
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
        return _place(line, column), "there is a character that is not allowed in a text file"
    if isinstance(error, RecursionError):
        return "", "its groups are nested too deeply"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "", "the text does not follow the rules of YAML"
    mark, lines = error.problem_mark, text.splitlines()
    written = lines[mark.line] if mark.line < len(lines) else ""
    tab = written.find("\t", 0, len(written) - len(written.lstrip()))
    if tab >= 0 or written[mark.column : mark.column + 1] == "\t":
        tab = tab if tab >= 0 else mark.column
        return _place(mark.line, tab), _TAB
    problem = error.problem or ""
    if error.context_mark is not None and any(part in problem for part in _SEEN_LATER):
        mark = error.context_mark
    words = next(
        (words or problem for part, words in _IN_WORDS if part in problem), "the text does not follow the rules of YAML"
    )
    return _place(mark.line, mark.column), words


def _place(line: int, column: int) -> str:
    return f"line {line + 1}, column {column + 1}"
