"""When the label party asks all parties to store their states: by steps, by time, or both."""

from __future__ import annotations

import time
from collections.abc import Callable


class CheckpointSchedule:
    """Decides for each step whether states are stored: `steps` steps or `seconds` seconds after the last time, at the first.

    None: not by that. `begin` is the number of steps that were done before.
    """

    def __init__(
        self,
        steps: int | None,
        seconds: float | None,
        *,
        begin: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steps = steps
        self._seconds = seconds
        self._clock = clock
        self._last = begin
        self._at = clock()

    def __call__(self, step: int) -> bool:
        """Whether states are stored once `step` steps are done; if so, the count starts again."""
        now = self._clock()
        by_steps = self._steps is not None and step - self._last >= self._steps
        by_time = self._seconds is not None and now - self._at >= self._seconds
        if not (by_steps or by_time):
            return False
        self._last, self._at = step, now
        return True
