"""Changes the weather on a wire every second or so, until standard input ends: delay, loss, disorder, damage, a pulled plug.

    python -m tests.parties.network.weather HERE THERE LOG SEED

HERE and THERE are the wire's namespaces; LOG has a line for each change.
"""

from __future__ import annotations

import random
import select
import sys
from pathlib import Path

from tests.parties.network.namespaces import Wire

LONGEST_PAUSE = 1.5
"""Seconds between two changes at the most."""

LONGEST_DARKNESS = 2.0
"""Seconds in which nothing gets through, at the most."""


def blow(wire: Wire, log: Path, draw: random.Random) -> None:
    """Until standard input ends; then the weather is fair."""
    while not _over(draw.uniform(0.0, LONGEST_PAUSE)):
        what, netem, lasts = weather(draw)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{what} {' '.join(netem)} {lasts:.2f}\n")
        if what == "unplugged":
            wire.plug("down")
        else:
            wire.weather(*netem)
        if lasts:
            _over(lasts)
            wire.plug("up")
            wire.weather()
    wire.weather()


def weather(draw: random.Random) -> tuple[str, tuple[str, ...], float]:
    """What it is, the words for netem, and how many seconds it lasts; 0: until the next change."""
    milliseconds = draw.randrange(1, 40)
    delay = ("delay", f"{milliseconds}ms", f"{milliseconds / 2}ms")
    return draw.choice(
        [
            ("fair", (), 0.0),
            ("late", delay, 0.0),
            ("lossy", (*delay, "loss", f"{draw.randrange(1, 8)}%"), 0.0),
            ("mixed-up", (*delay, "reorder", "25%", "duplicate", "5%", "corrupt", "1%"), 0.0),
            ("narrow", ("rate", f"{draw.randrange(1, 20)}mbit"), 0.0),
            ("nothing-through", ("loss", "100%"), draw.uniform(0.0, LONGEST_DARKNESS)),
            ("unplugged", (), draw.uniform(0.0, LONGEST_DARKNESS)),
        ]
    )


def _over(seconds: float) -> bool:
    """Wait so long, or until the end."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


if __name__ == "__main__":
    here, there, log, seed = sys.argv[1:]
    blow(Wire(here, there), Path(log), random.Random(int(seed)))
