"""`vsplit demo`: the thyroid example, copied to a folder where it can be read and changed, and launched there."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console

from parties.command.launch import launch
from parties.command.screen import print_text
from vsplit.protocol import ConfigError

FOLDER = Path("vsplit-demo")
EXAMPLE = "thyroid"
# In an installed package the example is inside it, in a checkout beside the packages.
_PLACES = (Path(__file__).parent.parent / "shipped", Path(__file__).parent.parent.parent)


def run_demo(console: Console, *, debug: bool = False) -> int:
    """Copy the example to ./vsplit-demo, unless it is there, and launch it on a free port; returns the exit code."""
    configs = FOLDER / "configs" / EXAMPLE
    if not configs.exists():
        place = next((place for place in _PLACES if (place / "configs" / EXAMPLE).is_dir()), None)
        if place is None:
            raise ConfigError("This installation of vsplit lacks its example data; reinstall it.")
        _copy(place)
    print_text(
        console,
        f"Two parties on this machine, a clinic and a laboratory, train one model. Their files are in {FOLDER}.",
    )
    return launch(configs, console, debug=debug, port=0)


def _copy(place: Path) -> None:
    try:
        # The configs are copied last: where they exist, the data exists as well.
        for part in ("examples", "configs"):
            shutil.copytree(place / part / EXAMPLE, FOLDER / part / EXAMPLE, dirs_exist_ok=True)
    except OSError as error:
        reason = error.strerror or "a file could not be copied"
        raise ConfigError(
            f"The example cannot be copied to {FOLDER.absolute()} ({reason}): run `vsplit demo` in a folder where you "
            "can write."
        ) from None
