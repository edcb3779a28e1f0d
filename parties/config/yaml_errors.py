"""What is wrong in the text of a YAML file, where, and in words that quote none of it, since it may hold a password."""

from __future__ import annotations

import yaml

_TAB = "there is a tab before the text, and YAML takes only spaces there; put spaces in its place"
_IN_WORDS = (
    ("anchors (&) and aliases (*)", "anchors (&) and aliases (*) are not used here"),
    ("a config file ", ""),
    ("a number has", ""),
    ("found undefined alias", "anchors (&) and aliases (*) are not used here"),
    ("tags (!) ", ""),
    ("a value cannot", ""),
    ("a key", ""),
    ("mapping values are not allowed", "there is a colon where none may be; put text that holds one in quotation marks, and "
     "see that the lines above are complete"),
    ("entries are not allowed", "a list of lines that begin with - begins on a line of its own"),
    ("could not find expected ':'", "a key has no colon after it, or no space after the colon"),
    ("expected <block end>", "this line does not fit those above; see that all keys of a group begin in the same column"),
    ("unexpected end of stream", "a quotation mark, or a bracket, is not closed"),
    ("expected ',' or ']'", "a list is not closed with ], or lacks a comma"),
    ("expected ',' or '}'", "a group is not closed with }, or lacks a comma"),
    ("expected the node content", "a value is missing, or begins with a sign that needs quotation marks"),
    ("cannot start any token", "a value begins with a sign that YAML has a use for; put it in quotation marks"),
    ("expected a single document", "another document begins (---), and a config file is one"),
    ("but found another document", "another document begins (---), and a config file is one"),
    ("unknown escape", "a backslash stands in text with double quotation marks; use single ones"),
)  # fmt: skip
"""A part of what PyYAML says, and what to say in its place; empty: its own words."""

_SEEN_LATER = ("unexpected end of stream", "could not find expected ':'")
"""What begins where PyYAML's context is, and is noticed somewhere below."""


def place_and_problem(error: BaseException, text: str) -> tuple[str, str]:
    """Where the text is wrong (`line 2, column 1`, or empty) and what is wrong there."""
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
        return _place(line, column), "there is a character that no text file may hold"
    if isinstance(error, RecursionError):
        return "", "its groups are nested too deep"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "", "the text is not as YAML has it"
    mark, lines = error.problem_mark, text.splitlines()
    written = lines[mark.line] if mark.line < len(lines) else ""
    tab = written.find("\t", 0, len(written) - len(written.lstrip()))
    if tab >= 0 or written[mark.column : mark.column + 1] == "\t":
        tab = tab if tab >= 0 else mark.column
        return _place(mark.line, tab), _TAB
    problem = error.problem or ""
    if error.context_mark is not None and any(part in problem for part in _SEEN_LATER):
        mark = error.context_mark
    words = next((words or problem for part, words in _IN_WORDS if part in problem), "the text is not as YAML has it")
    return _place(mark.line, mark.column), words


def _place(line: int, column: int) -> str:
    return f"line {line + 1}, column {column + 1}"
