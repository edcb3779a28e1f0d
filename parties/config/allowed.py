"""What a config key may be, in words. It is read from the JSON schema of the models, so that no bound is written twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

Schema = Mapping[str, Any]
Part = int | str


@cache
def _schema(model: type[BaseModel]) -> Schema:
    return model.model_json_schema()


def follow(model: type[BaseModel], location: Sequence[Part]) -> tuple[tuple[Part, ...], Schema]:
    """The part of `location` that exists in the model, and the schema there."""
    root = _schema(model)
    node, known = _resolve(root, root), []
    for part in location:
        below = _below(node, part)
        if below is None:
            break
        known.append(part)
        node = _resolve(below, root)
    return tuple(known), node


def known_keys(schema: Schema) -> list[str]:
    """The keys that a group may have; empty where the names are free, or for a value that is not a group."""
    return list(schema.get("properties", {}))


def allowed(schema: Schema) -> str:
    """What a value of this schema may be, as the end of a sentence after "it must be"."""
    if "anyOf" in schema:
        return " or ".join(allowed(one) for one in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    kind = schema.get("type")
    if kind == "array":
        return _list(schema)
    if kind == "object":
        return _group(schema)
    simple = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
    return f"{simple[kind]}{_bounds(schema)}" if kind in simple else str(schema.get("description", "text"))


def _below(node: Schema, part: Part) -> Schema | None:
    if node.get("type") == "array" and isinstance(part, int):
        entries = node.get("prefixItems", [])
        found: Schema | None = entries[part] if part < len(entries) else node.get("items")
        return found
    if part in node.get("properties", {}):
        entry: Schema = node["properties"][part]
        return entry
    return _free(node)


def _free(node: Schema) -> Schema | None:
    """The schema of the values of a group with free names; None for anything else."""
    patterned: Mapping[str, Schema] = node.get("patternProperties", {})
    free = node.get("additionalProperties")
    return next(iter(patterned.values()), free if isinstance(free, Mapping) else None)


def _resolve(node: Schema, root: Schema) -> Schema:
    """`node` without references and without the null of an optional key, but with a description beside them."""
    if "$ref" in node:
        target: Schema = root["$defs"][node["$ref"].rpartition("/")[2]]
        return _resolve(target, root)
    members = [one for one in node.get("anyOf", []) if one.get("type") != "null"]
    if len(members) == 1:
        return {**_resolve(members[0], root), **{key: node[key] for key in ("description",) if key in node}}
    return {**node, "anyOf": members} if members else node


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    limits = [f"{word} {schema[key]}" for key, word in words.items() if key in schema]
    return f" {' and '.join(limits)}" if limits else ""


def _list(schema: Schema) -> str:
    fewest, most = schema.get("minItems", 0), schema.get("maxItems")
    number = f"exactly {most} " if fewest == most else f"at most {most} " if most else ""
    at_least = " (at least one)" if fewest == 1 and most != 1 else ""
    entry = schema.get("items") or (schema.get("prefixItems") or [{}])[0]
    example = f", as in {schema['examples'][0]}" if "examples" in schema else ""
    return f"a list of {number}entries{at_least}, each {allowed(entry)}{example}"


def _group(schema: Schema) -> str:
    keys, free = known_keys(schema), _free(schema)
    if keys:
        return f"a group with the keys {', '.join(keys)}"
    below = allowed(free) if free is not None and free.get("type") == "array" else "keys of its own"
    return f"a group of names, each with {below}"
