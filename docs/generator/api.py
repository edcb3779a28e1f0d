"""The page of the public Python API: the names in the `__all__` of each package."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

ROOTS = ("vsplit", "psi", "parties")


def public_packages() -> list[ModuleType]:
    """Every package with public names, by name."""
    found = []
    for root in ROOTS:
        top = import_module(root)
        below = pkgutil.walk_packages(top.__path__, f"{root}.")
        packages = [top, *(import_module(info.name) for info in below if info.ispkg)]
        found += [package for package in packages if package.__all__]
    return found


def api_page() -> str:
    """All public names with their signatures and the first paragraph of their documentation."""
    text = (
        "# Python API\n\nThe public names of the packages are those in their `__all__`. Other names may change without "
        "notice. `help(NAME)` prints the full documentation of a name.\n"
    )
    for package in public_packages():
        text += f"\n## `{package.__name__}`\n\n{_first_paragraph(package)}\n"
        text += "".join(_entry(name, _public(package, name)) for name in sorted(package.__all__))
    return text


def _public(package: ModuleType, name: str) -> Any:
    """What a package offers under this name: itself, or one of its modules, which need not be imported yet."""
    return getattr(package, name) if hasattr(package, name) else import_module(f"{package.__name__}.{name}")


def _entry(name: str, value: Any) -> str:
    lines = [f"\n### `{name}`\n"]
    if inspect.ismodule(value):
        return f"{lines[0]}\n{_first_paragraph(value)}\n\n{_members(value)}"
    value = inspect.unwrap(value) if callable(value) else value  # a function whose results are cached
    if inspect.isclass(value) or inspect.isfunction(value):
        lines.append(f"\n```python\n{_signature(name, value)}\n```\n\n{_first_paragraph(value)}\n")
        lines += [f"\n- `{attribute}`: {words}\n" for attribute, words in _properties(value)]
    else:
        kind = "constant" if isinstance(value, str | int | float) else "type"
        lines.append(f"\nA {kind}: `{value!r}`.\n")
    return "".join(lines)


def _members(module: ModuleType) -> str:
    """The public functions and classes that a module defines, with the first sentence on each."""
    found = [
        (name, value)
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    ]
    return "".join(f"- `{name}`: {_first_paragraph(value)}\n" for name, value in sorted(found))


class _Plain(str):
    """An annotation as it is written in the code."""

    __slots__ = ()
    __repr__ = str.__str__


def _signature(name: str, value: Any) -> str:
    """One line, or one line for each parameter if it would be long."""
    kind = "class" if inspect.isclass(value) else "def"
    if inspect.isclass(value) and issubclass(value, BaseException) and value.__init__ is Exception.__init__:
        return f"class {name}(message: str)"
    found = inspect.signature(value)
    parameters = [one.replace(annotation=_plain(one.annotation)) for one in found.parameters.values()]
    returns = inspect.Signature.empty if inspect.isclass(value) else _plain(found.return_annotation)
    line = f"{kind} {name}{found.replace(parameters=parameters, return_annotation=returns)}"
    if len(line) <= 100:
        return line
    keywords = [one for one in parameters if one.kind is one.KEYWORD_ONLY]
    listed = [str(one) for one in parameters if one not in keywords]
    listed += ["*", *map(str, keywords)] if keywords else []
    end = "" if returns is inspect.Signature.empty else f" -> {returns}"
    return f"{kind} {name}(\n" + "".join(f"    {one},\n" for one in listed) + f"){end}"


def _plain(annotation: Any) -> Any:
    return _Plain(annotation) if isinstance(annotation, str) else annotation


def _properties(value: Any) -> Iterator[tuple[str, str]]:
    for name, attribute in vars(value).items() if inspect.isclass(value) else ():
        if isinstance(attribute, property) and not name.startswith("_"):
            yield name, _first_paragraph(attribute)


def _first_paragraph(value: Any) -> str:
    text = inspect.getdoc(value) or ""
    return " ".join(text.partition("\n\n")[0].split())
