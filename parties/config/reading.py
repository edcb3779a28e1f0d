"""From the text of a YAML file to plain values, with errors that name the file and the line and show no contents."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from parties.config.yaml_errors import place_and_problem
from vsplit.protocol import ConfigError

FILE_LIMIT = 1 << 20
"""No config file is longer, in bytes."""

TRUTH = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
NUMBER_WITH_EXPONENT = re.compile(r"^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$")


class ConfigLoader(yaml.SafeLoader):
    """PyYAML's safe loader, with three surprises of YAML taken out.

    A repeated key is refused, where PyYAML keeps the last one. `yes` and `no` are words and `1e-3` is a number, as
    YAML 1.2 has it. Anchors and aliases are refused: a short file could otherwise spell out a huge one.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="anchors (&) and aliases (*) are not used here", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)

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


# The tables of the parent are shared with every other user of PyYAML, so this loader gets its own.
ConfigLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:bool"]
    for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
ConfigLoader.add_implicit_resolver("tag:yaml.org,2002:bool", TRUTH, list("tTfF"))
ConfigLoader.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER_WITH_EXPONENT, list("-+.0123456789"))


def read_text(path: Path, named_by: str = "") -> str:
    """The text of a config file. `named_by` says, in an error, which file and key led there.

    Raises ConfigError where the file is absent, unreadable, too long or not UTF-8.
    """
    hint = f", which {named_by} names," if named_by else ""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_LIMIT + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"The config file {path}{hint} does not exist; paths are relative to the file they stand in."
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
    try:
        found = yaml.load(text, ConfigLoader)  # noqa: S506 - ConfigLoader is a SafeLoader
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        place, problem = place_and_problem(error, text)
        where = f"In {place} of {path}, the text is" if place else f"The config file {path} is"
        raise ConfigError(f"{where} not valid YAML: {problem}; see the examples in configs/.") from None
    if not isinstance(found, dict):
        raise ConfigError(f"The config file {path} holds no keys; see the examples in configs/.")
    return found
