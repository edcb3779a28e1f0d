"""`vsplit demo`: the thyroid example, copied out to where a newcomer can read and change it, and launched there."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console

from parties.command.launch import launch
from parties.command.screen import say
from vsplit.protocol import ConfigError

FOLDER = Path("vsplit-demo")
EXAMPLE = "thyroid"
# In an installed package the example lies inside it, in a checkout beside the packages.
_PLACES = (Path(__file__).parent.parent / "shipped", Path(__file__).parent.parent.parent)


def run_demo(console: Console, *, debug: bool = False) -> int:
    """Copy the example into ./vsplit-demo, unless it is there, and launch it on a free port; returns the exit code."""
    configs = FOLDER / "configs" / EXAMPLE
    if not configs.exists():
        place = next((place for place in _PLACES if (place / "configs" / EXAMPLE).is_dir()), None)
        if place is None:
            raise ConfigError("This installation of vsplit has lost its example data; install it again.")
        _copy(place)
    say(
        console,
        f"Two organisations on this machine, a clinic and a laboratory, train one model. Their files stand in {FOLDER}.",
    )
    return launch(configs, console, debug=debug, port=0)


def _copy(place: Path) -> None:
    try:
        # The configs come last: where they stand, the data does as well.
        for part in ("examples", "configs"):
            shutil.copytree(place / part / EXAMPLE, FOLDER / part / EXAMPLE, dirs_exist_ok=True)
    except OSError as error:
        reason = error.strerror or "a file could not be copied"
        raise ConfigError(
            f"The example cannot be copied to {FOLDER.absolute()} ({reason}): run `vsplit demo` in a folder in which you "
            "may write."
        ) from None
