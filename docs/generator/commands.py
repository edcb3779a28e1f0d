"""The page of commands, with their arguments, options and exit codes, generated from the command."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from parties.command import cli
from vsplit import protocol


def commands_page() -> str:
    """Every command with its arguments and options, and the exit codes."""
    text = "# Commands\n"
    for name, command in _commands(get_command(cli.app), "vsplit"):
        shown = [param for param in command.params if not getattr(param, "hidden", False)]
        arguments = [_name_of(param) for param in shown if _is_argument(param)]
        text += f"\n## `{' '.join([name, *arguments])}`\n\n{(command.help or '').strip()}\n\n"
        text += "| argument or option | meaning |\n| --- | --- |\n"
        text += "".join(f"| `{_name_of(param)}` | {_help_of(param)} |\n" for param in shown)
    text += "\n## Exit codes\n\n| code | meaning |\n| ---: | --- |\n"
    return text + "".join(f"| {code} | {meaning} |\n" for code, meaning in exit_codes().items())


def exit_codes() -> dict[int, str]:
    """The meaning of each exit code, from the docstring of the command's module."""
    sentence = " ".join((cli.__doc__ or "").partition("Exit codes:")[2].split()).removesuffix(".")
    found = {}
    for part in sentence.split("; "):
        code, meaning = part.split(" ", 1)
        found[int(code)] = meaning
    errors = (one for one in vars(protocol).values() if inspect.isclass(one) and issubclass(one, protocol.VsplitError))
    unexplained = {error.exit_code for error in errors} - found.keys()
    if unexplained:
        raise ValueError(f"exit codes without a meaning: {unexplained}")
    return found


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if command.params or not getattr(command, "commands", None):
        yield name, command
    for one, found in getattr(command, "commands", {}).items():
        yield from _commands(found, f"{name} {one}")


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _name_of(param: Any) -> str:
    if not _is_argument(param):
        value = "" if param.is_flag else f" {param.metavar or 'VALUE'}"
        return ", ".join(param.opts) + value
    name = (param.metavar or param.name.upper()) + ("…" if param.nargs == -1 else "")
    return name if param.required else f"[{name}]"


def _help_of(param: Any) -> str:
    shown = param.default not in (None, False, ()) and not callable(param.default) and not _is_argument(param)
    return (param.help or "") + (f" Default: `{param.default}`." if shown else "")
