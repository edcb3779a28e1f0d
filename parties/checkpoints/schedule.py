"""When the label party asks all parties to keep their states: by steps, by time, or both."""

from __future__ import annotations

import time
from collections.abc import Callable


class CheckpointSchedule:
    """Says of each step whether it is time: `steps` steps or `seconds` seconds after the last time, whichever is first.

    None: not by that. The first time counts from `begin`, the steps that were done when this was made.
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
        """Whether states are kept once `step` steps are done; a yes begins the count anew."""
        now = self._clock()
        by_steps = self._steps is not None and step - self._last >= self._steps
        by_time = self._seconds is not None and now - self._at >= self._seconds
        if not (by_steps or by_time):
            return False
        self._last, self._at = step, now
        return True
