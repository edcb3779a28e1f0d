"""Waiting until a link can be read or written, or until the reconnector has something to do."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Collection

from parties.network.link import Link
from parties.network.reconnector import Reconnector

_GONE = select.POLLHUP | select.POLLERR
_CLOSING = getattr(select, "POLLRDHUP", 0)  # Linux reports a close although what came before it has not been read


class LinkPoll:
    """One poll object over `links` and the `reconnector`, rebuilt where a link has another descriptor or other wants."""

    def __init__(self, links: Collection[Link], reconnector: Reconnector) -> None:
        self._links = links
        self._reconnector = reconnector
        self._watch([])

    def wait(self, seconds: float, spin: float) -> tuple[list[Link], bool]:
        """Wait for at most `seconds`, of which `spin` without sleeping.

        Returns the links that can move, and whether the reconnector has something to do. A link whose other side has closed is
        marked as broken: otherwise one that is not read now would be reported again and again.
        """
        watched = [
            (link.descriptor, _interest(link), link)
            for link in self._links
            if link.descriptor >= 0 and link.failure is None
        ]
        if watched != self._watched:
            self._watch(watched)
        if any(link.more for _, _, link in watched):
            seconds = spin = 0.0
        ready = _poll(self._poll, seconds, spin)
        moved = []
        for descriptor, events in ready:
            link = self._by_descriptor.get(descriptor)
            if link is not None:
                link.broken = link.broken or bool(events & (_GONE | _CLOSING))
                moved.append(link)
        return moved, len(moved) < len(ready)

    def _watch(self, watched: list[tuple[int, int, Link]]) -> None:
        """Poll for these from now on: descriptor, events, link."""
        self._watched = watched
        self._by_descriptor = {descriptor: link for descriptor, _, link in watched}
        self._poll = select.poll()
        self._poll.register(self._reconnector, select.POLLIN)
        for descriptor, events, _ in watched:
            self._poll.register(descriptor, events)


def _poll(watched: select.poll, seconds: float, spin: float) -> list[tuple[int, int]]:
    # An answer is often in transit already. Looking for it for a moment costs less than being put to sleep and woken;
    # other processes may use the core meanwhile.
    until = time.perf_counter() + spin
    while time.perf_counter() < until:
        if ready := watched.poll(0):
            return ready
        os.sched_yield()
    return watched.poll(seconds * 1000)


def _interest(link: Link) -> int:
    write = select.POLLOUT if link.wants_to_write else 0
    return write | (select.POLLIN if link.wants_to_read else _CLOSING)
