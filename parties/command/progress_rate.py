"""How fast a stage goes and how long it has still to go, from the steps that are told and the times at which they come."""

from __future__ import annotations

import math

_QUIET = 2.0  # seconds of a stage before it is judged
_MEMORY = 15.0  # seconds after which what was seen counts for 1/e only, since a stage may become slower or faster
_SEEN = 1.0  # seconds that what was seen must have taken: two steps told in one breath say nothing about a rate
_RATED = 1000  # the fewest records of which a rate is worth a place on the line
_LONGEST = 360_000.0  # seconds; what is said to take longer than 100 hours is more likely to stand still


class Pace:
    """The pace of one stage, which began with `done` of `total` at the time `now`, in seconds of any one clock."""

    def __init__(self, done: int, total: int, now: float) -> None:
        self.total = total
        self._began = self._at = now
        self._done = done
        self._moved = self._took = 0.0

    def follows(self, done: int, total: int) -> bool:
        """Whether a step of `done` of `total` can be a later one of this stage."""
        return total == self.total and done >= self._done

    def step(self, done: int, now: float) -> None:
        """A later step: `done` at the time `now`."""
        faded = math.exp((self._at - now) / _MEMORY)
        self._moved = self._moved * faded + done - self._done
        self._took = self._took * faded + now - self._at
        self._done, self._at = done, now

    def wordings(self, now: float, *, rated: bool = True) -> list[str]:
        """The pace in words, the longest wording first: `38,000/s, 23 s left`, then `23 s left`.

        There is no rate where the numbers are small or it is not wanted, no time where it should be over by now or would be
        very long, and nothing as long as there is no telling.
        """
        if now - self._began < _QUIET or self._took < _SEEN or not self._moved or self._done >= self.total:
            return []
        rate = self._moved / self._took
        left = (self.total - self._done) / rate - (now - self._at)
        time = f"{_time(left)} left" if 0 < left < _LONGEST else ""
        told = [_rate(rate)] if rated and rate >= 1 and self.total >= _RATED else []
        return [one for one in dict.fromkeys((", ".join(filter(None, [*told, time])), time)) if one]


def _rate(rate: float) -> str:
    """Records per second, with two digits that count."""
    return f"{round(rate, 1 - math.floor(math.log10(rate))):,.{1 if rate < 9.95 else 0}f}/s"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
