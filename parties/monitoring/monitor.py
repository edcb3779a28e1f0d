"""Distributes the events of a party to its screen, its log, and its metrics."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from parties.config.log_target import LogTarget
from parties.config.party import Party
from parties.config.party_names import PartyNames
from parties.monitoring.events import Event, Show
from parties.monitoring.logs import Logbook, failure_of, logging_to
from parties.monitoring.metrics import Metrics, serving
from parties.network.driver import Cause, Traffic

if TYPE_CHECKING:  # An overlap needs no torch.
    from vsplit.learn.feature import FeatureState
    from vsplit.learn.label import LabelState


class Monitor:
    """Passes each event on to screen, log and metrics. `traffic` counts what crosses.

    It observes the links too, which call it from a thread of their own.
    """

    def __init__(self, names: PartyNames, job: str, run_folder: Path, show: Show) -> None:
        self.traffic = Traffic()
        self.logbook = Logbook(names, job, run_folder)
        self.metrics = Metrics(names, job, self.traffic)
        self._show = show

    def show(self, event: Event) -> None:
        """An event for the screen."""
        self.logbook.show(event)
        self.metrics.show(event)
        self._show(event)

    def waited(self, cause: Cause, peer: str, seconds: float) -> None:
        """A role waited; see `parties.network.driver.Waited`."""
        self.metrics.waited(cause, peer, seconds)

    def training(self, state: FeatureState | LabelState, rows: int, batch_size: int) -> None:
        """A training of `rows` training rows begins or resumes, from `state`."""
        self.logbook.training(state.step, rows)
        self.metrics.training(state, rows, batch_size)

    @contextlib.contextmanager
    def storing(self, step: int) -> Iterator[None]:
        """Inside, the checkpoint of this step is written."""
        began = time.perf_counter()
        yield
        self.logbook.stored(step, time.perf_counter() - began)
        self.metrics.stored(step)

    def connected(self) -> None:
        """All parties are connected."""
        self.metrics.connected()

    def disconnected(self) -> None:
        """The session is closed, so that no message will cross any more."""
        self.metrics.disconnected()

    def lost(self, peer: str, why: str) -> None:
        """A link broke, and is being restored."""
        self.logbook.lost(peer, why)
        self.metrics.lost(peer)

    def back(self, peer: str) -> None:
        """A lost link is restored."""
        self.logbook.back(peer)
        self.metrics.back(peer)

    def resent(self, peer: str, messages: int, size: int) -> None:
        """Messages of `size` bytes in total were sent again over a restored link."""
        self.logbook.resent(peer, messages, size)
        self.metrics.resent(peer, messages, size)


@contextlib.contextmanager
def monitoring(party: Party, show: Show) -> Iterator[Monitor]:
    """Open the log and the endpoint that the party file asks for, until the party has ended.

    Raises ConfigError where one of them cannot be opened.
    """
    monitor = Monitor(PartyNames.of(party.job, party.name), party.job.job, party.output, show)
    with contextlib.ExitStack() as open_:
        open_.enter_context(logging_to(LogTarget.of(party)))
        monitor.logbook.begin()
        try:
            if party.settings.metrics is not None:
                open_.enter_context(serving(party.settings.metrics, party.file, monitor.metrics))
            yield monitor
        except BaseException as error:
            monitor.logbook.failed(failure_of(error))
            raise
