"""Reads a YAML file into plain values. Errors name the file and the line and show no contents.

This is the only module that reads YAML (the linter checks it). A job file comes from a partner, so the time and memory that
it may cost are bounded here, for every command.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from parties.config.yaml_errors import place_and_problem
from parties.local.plain_file import open_plain
from vsplit.protocol import ConfigError

FILE_LIMIT = 1 << 20
"""No config file is longer, in bytes."""
MOST_VALUES = 50_000
"""No config file has more keys, values, lists and groups together. A list of 10,000 columns is well below."""
MOST_LEVELS = 32
"""No config file is nested deeper."""
LONGEST_NUMBER = 100
"""No number or date has more characters: YAML's 10:59:59 takes a time that grows with the square of the length."""

TRUTH = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
NUMBER_WITH_EXPONENT = re.compile(r"^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$")


class ConfigLoader(yaml.SafeLoader):
    """PyYAML's safe loader, without three surprises of YAML, and with bounds.

    A repeated key is refused, where PyYAML keeps the last one. `yes` and `no` are words and `1e-3` is a number, as
    YAML 1.2 has it. Anchors and aliases are refused, because a short file could otherwise expand to a huge one. So are tags,
    also those that PyYAML knows.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._values = self._levels = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="anchors (&) and aliases (*) are not allowed", problem_mark=event.start_mark
            )
        if getattr(event, "tag", None) is not None:  # PyYAML fails on an invalid !!bool, and a set has no order
            raise yaml.MarkedYAMLError(problem="tags (!) are not allowed", problem_mark=event.start_mark)
        self._values += 1
        self._levels += 1
        if self._values > MOST_VALUES:
            raise yaml.MarkedYAMLError(
                problem=f"a config file has at most {MOST_VALUES:,} keys and values", problem_mark=event.start_mark
            )
        if self._levels > MOST_LEVELS:
            raise yaml.MarkedYAMLError(
                problem=f"a config file is nested at most {MOST_LEVELS} levels deep", problem_mark=event.start_mark
            )
        node = super().compose_node(parent, index)
        self._levels -= 1
        return node

    def compose_scalar_node(self, anchor: dict[Any, yaml.Node]) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if len(node.value) > LONGEST_NUMBER and not node.tag.endswith((":str", ":binary", ":null")):
            raise yaml.MarkedYAMLError(
                problem=f"a number has at most {LONGEST_NUMBER} characters", problem_mark=node.start_mark
            )
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError):
            raise yaml.MarkedYAMLError(
                problem="a value looks like a number or date but is not a valid one; put it in quotation marks if it is "
                "text",
                problem_mark=node.start_mark,
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="a key is not plain text", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem="a key occurs twice in one group", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


# The tables of the parent are shared with every other user of PyYAML, so this loader has its own. The signs << and =, which
# have a special meaning in YAML 1.1, are text.
ConfigLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in rules if not tag.endswith((":bool", ":merge", ":value"))]
    for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
ConfigLoader.add_implicit_resolver("tag:yaml.org,2002:bool", TRUTH, list("tTfF"))
ConfigLoader.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER_WITH_EXPONENT, list("-+.0123456789"))


def read_text(path: Path, named_by: str = "") -> str:
    """The text of a config file. `named_by` tells, in an error, which file and key named this path.

    Raises ConfigError where the file is absent, no plain file, unreadable, too long or not UTF-8.
    """
    hint = f", which {named_by} names," if named_by else ""
    try:
        with open_plain(path) as file:
            raw = file.read(FILE_LIMIT + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"The config file {path}{hint} does not exist; paths are relative to the file that contains them."
        ) from None
    except OSError as error:
        raise ConfigError(f"The config file {path}{hint} cannot be read: {error.strerror}.") from None
    if len(raw) > FILE_LIMIT:
        raise ConfigError(f"The config file {path}{hint} is longer than {FILE_LIMIT:,} bytes; is it the right file?")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"The config file {path}{hint} is not UTF-8 text; save it as UTF-8.") from None


def parse_yaml(text: str, path: Path) -> dict[str, Any]:
    """The keys of one config file as plain values.

    Raises ConfigError with line and column, but not the text of the line, since that may hold a password.
    """
    found = parse_any_yaml(text, path)
    if not isinstance(found, dict):
        raise ConfigError(
            f"The config file {path} has no keys; write each as `key: value` with a space after the colon, as in "
            "the examples in configs/."
        )
    return found


def parse_any_yaml(text: str, path: Path) -> object:
    """As `parse_yaml`, for a file that may not be a config file."""
    try:
        found: object = yaml.load(text, ConfigLoader)  # noqa: S506 - ConfigLoader is a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        place, problem = place_and_problem(error, text)
        where = f"In {place} of {path}, the text is" if place else f"The config file {path} is"
        raise ConfigError(f"{where} not valid YAML: {problem}; see the examples in configs/.") from None
    return found


def text_of_value(text: str, keys: Sequence[str]) -> tuple[int, int] | None:
    """Where the value of the key `keys` begins and ends in the text, with its quotation marks; None: there is no such key."""
    try:
        node = yaml.compose(text, ConfigLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    for key in keys:
        if not isinstance(node, yaml.MappingNode):
            return None
        node = next((value for name, value in node.value if name.value == key), None)
    return None if node is None else (node.start_mark.index, node.end_mark.index)
