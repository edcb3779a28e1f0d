"""The rate of a stage and its remaining time, estimated from its steps and their times."""

from __future__ import annotations

import math

_QUIET = 2.0  # seconds of a stage before an estimate is shown
_MEMORY = 15.0  # seconds after which a step has a weight of 1/e, since a stage may become slower or faster
_SEEN = 1.0  # seconds that the observed steps must have taken: two steps at the same time give no rate
_RATED = 1000  # the fewest records for which a rate is shown
_LONGEST = 360_000.0  # seconds; a stage with an estimate above 100 hours has more likely stopped


class ProgressRate:
    """The progress rate of one stage, which began with `done` of `total` at the time `now`, in seconds of any one clock."""

    def __init__(self, done: int, total: int, now: float) -> None:
        self.total = total
        self._began = self._at = now
        self._done = done
        self._moved = self._took = 0.0

    def follows(self, done: int, total: int) -> bool:
        """Whether a step of `done` of `total` can be a later step of this stage."""
        return total == self.total and done >= self._done

    def step(self, done: int, now: float) -> None:
        """A later step: `done` at the time `now`."""
        faded = math.exp((self._at - now) / _MEMORY)
        self._moved = self._moved * faded + done - self._done
        self._took = self._took * faded + now - self._at
        self._done, self._at = done, now

    def wordings(self, now: float, *, rated: bool = True) -> list[str]:
        """The rate in words, the longest wording first: `38,000/s, 23 s left`, then `23 s left`.

        Without the rate where the numbers are small or `rated` is false; without the time where it has run out or would be very
        long; empty as long as there is no estimate.
        """
        if now - self._began < _QUIET or self._took < _SEEN or not self._moved or self._done >= self.total:
            return []
        rate = self._moved / self._took
        left = (self.total - self._done) / rate - (now - self._at)
        time = f"{_time(left)} left" if 0 < left < _LONGEST else ""
        rates = [_rate(rate)] if rated and rate >= 1 and self.total >= _RATED else []
        return [one for one in dict.fromkeys((", ".join(filter(None, [*rates, time])), time)) if one]


def _rate(rate: float) -> str:
    """Records per second, with two significant digits."""
    return f"{round(rate, 1 - math.floor(math.log10(rate))):,.{1 if rate < 9.95 else 0}f}/s"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
