"""The command of this process as a person would type it, for sentences that ask to repeat it.

In a party that a launch has started it is the command of the launch, since that is what the person typed.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

LAUNCH_VARIABLE = "VSPLIT_LAUNCH_COMMAND"
"""In the environment of the parties of a launch: the arguments of its command."""

_NOT_REPEATED = ("--events", "--debug", "--restart")
_words: list[str] = []


def set_arguments(words: Sequence[str]) -> None:
    """Store the words after `vsplit` that this process was started with."""
    _words[:] = words


def current_command(*options: str) -> str:
    """This process's command with these options, ready to be pasted, without the options that hold for one time only."""
    launched = os.environ.get(LAUNCH_VARIABLE)
    words = shlex.split(launched) if launched else [word for word in _words if word not in _NOT_REPEATED]
    return quoted_command(*(words or ["run", "PARTY.yaml"]), *options)


def quoted_command(*words: str | Path) -> str:
    """A command of `vsplit` in backticks. A path inside the working folder is written relative to it."""
    return f"`{shlex.join(['vsplit', *(relative_path(word) if isinstance(word, Path) else word for word in words)])}`"


def relative_path(path: Path) -> str:
    """The path as a person in the working folder would write it, where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):  # elsewhere, or the working folder is gone
        return str(path)


def restart_hint() -> str:
    """How to start a run from the beginning, as the middle of a sentence."""
    return (
        f"run {current_command('--restart')}, with --restart at every party, to start from the beginning and discard the "
        "stored state"
    )
