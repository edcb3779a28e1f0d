"""Lives that are broken off, for the tests of what happens to them then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from parties.monitoring.events import Event, Step

EPOCHS = 6


class Broken(KeyboardInterrupt):
    """Ends a life in its middle. (What SIGKILL does to real processes is tried in tests/test_faults.py.)"""


def at(epoch: int) -> Callable[[Event], None]:
    """Breaks off once so many epochs are trained."""

    def look(event: Event) -> None:
        if isinstance(event, Step) and event.stage == "training" and event.done == epoch:
            raise Broken

    return look


def small(world: Any) -> Any:
    """Three batches an epoch, and a state kept after every second of them."""
    world.job["train"] |= {"epochs": EPOCHS, "checkpoint": {"steps": 2, "seconds": None}}
    for file in world.files.values():
        file["first_wait"] = file["wait"] = 5
    return world.write()
