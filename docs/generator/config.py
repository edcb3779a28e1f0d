"""The page of config keys: types and bounds come from the models, meanings from the comments in the files of `vsplit init`."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from parties.command.init import FILL_IN, config_texts
from parties.config.allowed import allowed, follow
from parties.config.job import Job
from parties.config.party_file import PartyFile

ANY_NAME = "NAME"
"""The part of a dotted key that each job chooses: the name of a party."""

NOT_IN_INIT = {
    "seed": (
        "determines the initial weights of this party's bottom model, for tests and examples only: with the seed, the label "
        "party can compute the weights, and from embeddings the columns of most records; omit it in production",
        "seed: 1",
    )
}
"""The keys that `vsplit init` omits from its files on purpose, with their meaning and an example."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a config file: dotted name, type and bounds in words, default, meaning, the line that `vsplit init` writes."""

    name: str
    words: str
    default: str
    meaning: str
    example: str


def config_keys(model: type[BaseModel], texts: list[str]) -> list[Key]:
    """All keys of `model`, in its order. Their meanings are the comments in `texts`, which `vsplit init` writes."""
    comments: dict[str, tuple[str, str]] = {}
    for text in texts:
        comments |= {name: found for name, found in comments_in(text).items() if name not in comments}
    keys = []
    for name, field in _fields(model):
        if name not in comments and name not in NOT_IN_INIT:
            raise KeyError(
                f"{name} has no line in the files of `vsplit init`; add one, with a comment on what it means"
            )
        meaning, example = comments.get(name) or NOT_IN_INIT[name]
        nullable = (
            not field.is_required() and field.default is not None and type(None) in typing.get_args(field.annotation)
        )
        words = allowed(follow(model, name.split("."))[1]) + (", or null" if nullable else "")
        keys.append(Key(name, words, _default(field), meaning, example))
    return [key if key.example else replace(key, example=_group_example(key.name, keys)) for key in keys]


def _group_example(name: str, keys: list[Key]) -> str:
    """A group on one line, with its required keys, or with its first one."""
    free = any(key.name.startswith(f"{name}.{ANY_NAME}.") for key in keys)
    above = f"{name}.{ANY_NAME}." if free else f"{name}."
    below = [key for key in keys if key.name.startswith(above) and "." not in key.name.removeprefix(above)]
    chosen = [key for key in below if key.default == "required"] or below[:1]
    inside = ", ".join(key.example or _group_example(key.name, keys) for key in chosen)
    return f"{name.rpartition('.')[2]}: " + (f"{{{ANY_NAME}: {{{inside}}}}}" if free else f"{{{inside}}}")


def _fields(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        yield above + name, field
        below = _model_in(field.annotation)
        if below is not None:
            free = f"{ANY_NAME}." if typing.get_origin(field.annotation) is dict else ""
            yield from _fields(below, f"{above}{name}.{free}")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in typing.get_args(annotation) if (found := _model_in(one)) is not None), None)


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "absent"
    if isinstance(value, BaseModel):
        if value == type(value).model_construct():
            return "those of its keys"
        value = value.model_dump(mode="json", exclude_none=True)
    plain = list(value) if isinstance(value, tuple) else value
    return f"`{plain if isinstance(plain, str) else json.dumps(plain)}`"  # which is YAML as well


_LINE = re.compile(r"^(?P<indent> *)(?:# )?(?P<more> *)(?P<key>\w+):(?P<value>.*?)(?: +# (?P<comment>.*))?$")


def comments_in(text: str) -> dict[str, tuple[str, str]]:
    """The comment on each key in a file of `vsplit init`, and the line without it; by dotted name."""
    found: dict[str, tuple[str, str]] = {}
    path: list[str] = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        depth = len(match["indent"] + match["more"]) // 2
        key = ANY_NAME if path[:1] == ["parties"] and depth == 1 else match["key"]
        path = [*path[:depth], key]
        value = match["value"].strip()
        meaning = (match["comment"] or "").removeprefix(f"{FILL_IN}: ")
        name, example = ".".join(path), f"{match['key']}: {value}" if value else ""
        if name in found and meaning not in found[name][0]:  # the same key of two parties
            meaning = f"{found[name][0]}; {meaning}"
        found[name] = (meaning, example)
    return found


INTRODUCTION = """# Configuration

Every party has two YAML files. The job file (`job.yaml`) is what the parties agree on; it has the same content at every party.
The party file is private to its party. `vsplit init` writes both with a comment for each key, and `vsplit check` reports what
is wrong with them.

A key is written here with dots: `train.lr` is the key `lr` in the group `train`. A path is relative to the file that contains
it. A key that is not on this page is refused.
"""


def configuration_page() -> str:
    """Every key of both config files."""
    texts = config_texts(["clinic", "lab"], label="clinic", task="binary", job="thyroid")
    job, *parties = texts.values()
    text = INTRODUCTION
    files: list[tuple[str, type[BaseModel], list[str]]] = [
        ("The job file", Job, [job]),
        ("The party file", PartyFile, parties),
    ]
    for title, model, comments in files:
        text += f"\n## {title}\n"
        text += "".join(_key_section(key) for key in config_keys(model, comments))
    return text


def _key_section(key: Key) -> str:
    lines = [f"\n### `{key.name}`\n", f"\n{key.meaning[:1].upper()}{key.meaning[1:]}.\n" if key.meaning else ""]
    lines += [f"\n- Value: {key.words}\n", f"- Default: {key.default}\n", f"- Example: `{key.example}`\n"]
    return "".join(lines)
