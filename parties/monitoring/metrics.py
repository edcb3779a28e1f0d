"""Metrics of a party for Prometheus: the progress of training, what crosses, and what the party waits for.

The endpoint is at the address that the party file names and nowhere else, in a thread of its own, while the party runs.
Labels of a series are names of parties, kinds of message and stages; never anything of a record.
Figures are read when they are asked for, so that training does nothing for them.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from parties.config.fields import split_address
from parties.config.party_names import PartyNames
from parties.monitoring.events import NOTE, Event, Step
from parties.network.driver import Cause, Traffic
from parties.network.metrics_server import serving_http
from vsplit import __version__
from vsplit.protocol import ConfigError

if TYPE_CHECKING:  # Neither torch nor a library that few ask for is loaded for this.
    from prometheus_client.metrics_core import Metric

    from vsplit.learn.feature import FeatureState
    from vsplit.learn.label import LabelState

_INSTALL = "pip install prometheus-client"


class Metrics:
    """The metrics of one party. Links may call it from a thread of their own, and so does the endpoint."""

    def __init__(
        self, names: PartyNames, job: str, traffic: Traffic, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._names = names
        self._job = job
        self._traffic = traffic
        self._clock = clock
        self._stage = ""
        self._waited: defaultdict[tuple[Cause, str], float] = defaultdict(float)
        self._links = dict.fromkeys(names.peers, 0.0)
        self._retries: Counter[str] = Counter()
        self._resent: Counter[str] = Counter()
        self._resent_bytes: Counter[str] = Counter()
        self._checkpoints = 0
        self._stored_step = 0
        self._training: _Training | None = None

    def show(self, event: Event) -> None:
        """An event of the screen."""
        if isinstance(event, Step) and event.stage != NOTE:
            self._stage = event.stage

    def waited(self, cause: Cause, peer: str, seconds: float) -> None:
        """A role waited; see `parties.network.driver.Waited`."""
        self._waited[cause, peer] += seconds

    def training(self, state: FeatureState | LabelState, rows: int, batch_size: int) -> None:
        """A training of `rows` training rows begins or resumes, from `state`."""
        self._training = _Training(state, rows, batch_size, self._clock)

    def stored(self, step: int) -> None:
        """A checkpoint was written."""
        self._checkpoints += 1
        self._stored_step = step

    def connected(self) -> None:
        """All links are up."""
        self._links = dict.fromkeys(self._links, 1.0)

    def disconnected(self) -> None:
        """No link is needed any more, so that there is nothing to report of one."""
        self._links = {}

    def lost(self, peer: str) -> None:
        """A link broke, and is being restored."""
        self._links[peer] = 0.0
        self._retries[peer] += 1

    def back(self, peer: str) -> None:
        """A lost link is restored."""
        self._links[peer] = 1.0

    def resent(self, peer: str, messages: int, size: int) -> None:
        """Messages of `size` bytes in total were sent again."""
        self._resent[peer] += messages
        self._resent_bytes[peer] += size

    def collect(self) -> Iterator[Metric]:
        """All figures as they are now, as Prometheus' client wants them."""
        names = self._names
        about = {"party": names.me, "role": names.role, "job": self._job, "version": __version__}
        yield _gauge("vsplit_info", "Who this is; always 1", about, [(tuple(about.values()), 1.0)])
        yield _gauge("vsplit_stage", "The stage that this party is in", ["stage"], [((self._stage,), 1.0)])
        if self._training is not None:
            yield from self._training.collect()
        yield from self._traffic_now()
        yield _counter(
            "vsplit_waiting_seconds",
            "Time waited, by cause (receive: for a message of the peer; send: for room in the queue to it; pool: for this "
            "party's own work)",
            ["cause", "peer"],
            list(self._waited.items()),
        )
        yield _gauge("vsplit_link_up", "Whether the link to the peer is up", ["peer"], _by_peer(self._links))
        yield _counter("vsplit_link_retries", "Times a link was lost and retried", ["peer"], _by_peer(self._retries))
        yield _counter("vsplit_resent_messages", "Messages that were sent again", ["peer"], _by_peer(self._resent))
        yield _counter("vsplit_resent_bytes", "Bytes of them", ["peer"], _by_peer(self._resent_bytes))
        yield _counter("vsplit_checkpoints", "Checkpoints written", [], [((), self._checkpoints)])
        yield _gauge("vsplit_checkpoint_step", "The step of the last checkpoint", [], [((), self._stored_step)])

    def describe(self) -> list[Metric]:
        """Nothing: the names are known only once there are figures."""
        return []

    def _traffic_now(self) -> Iterator[Metric]:
        # One call that holds the interpreter: the party adds kinds of message meanwhile.
        counts = list(self._traffic.counts.items())
        labels = ["direction", "peer", "kind"]
        yield _counter("vsplit_messages", "Messages that crossed", labels, [(key, one.messages) for key, one in counts])
        yield _counter("vsplit_bytes", "Bytes that crossed", labels, [(key, one.bytes) for key, one in counts])


class _Training:
    """The progress of a training, from its state."""

    def __init__(
        self, state: FeatureState | LabelState, rows: int, batch_size: int, clock: Callable[[], float]
    ) -> None:
        self._state = state
        self._rows = rows
        self._batch_size = batch_size
        self._clock = clock
        self._began = clock()
        self._before = self._samples()

    def collect(self) -> Iterator[Metric]:
        """Steps, samples and, at the label party, the losses of the last epoch."""
        state, samples = self._state, self._samples() - self._before
        seconds = self._clock() - self._began
        for name, help_, value in (
            ("step", "Optimiser steps done, those before a stop too", state.step),
            ("epoch", "Epochs done, those before a stop too", state.progress.epoch),
            ("samples_per_second", "Samples a second since this training began here", samples / max(seconds, 1e-9)),
        ):
            yield _gauge(f"vsplit_training_{name}", help_, [], [((), value)])
        yield _counter(
            "vsplit_training_samples", "Samples trained on since this training began here", [], [((), samples)]
        )
        history = getattr(state, "history", None)
        if history:
            last = history[-1]
            losses = [(("training",), last.train_loss), (("validation",), last.validation_loss)]
            yield _gauge("vsplit_loss", "Mean loss over the last whole epoch", ["part"], losses)

    def _samples(self) -> int:
        progress = self._state.progress
        return progress.epoch * self._rows + min(progress.batch * self._batch_size, self._rows)


@contextlib.contextmanager
def serving(address: str, party_file: Path, metrics: Metrics) -> Iterator[int]:
    """The endpoint at `address`, the key `metrics` of the party file; yields its port. Raises ConfigError where it fails."""
    check_metrics(address, party_file)
    from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app

    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)
    with contextlib.ExitStack() as open_:
        try:
            port = open_.enter_context(serving_http(split_address(address), make_wsgi_app(registry), "vsplit-metrics"))
        except OSError as error:
            raise ConfigError(
                f"In {party_file}, the key metrics names {address}, where no port can be opened "
                f"({error.strerror}): name another port of this machine, or end the program that has "
                "this one, which may be this party, started already."
            ) from None
        yield port


def check_metrics(address: str | None, party_file: Path) -> None:
    """Raise ConfigError where the party file asks for metrics and the library for them is not installed."""
    if address is None:
        return
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise ConfigError(
            f"In {party_file}, the key metrics asks for an endpoint, which needs the package prometheus_client: install it "
            f"with {_INSTALL}, or leave the key out."
        ) from None


Series = Sequence[tuple[Sequence[str], float]]


def _gauge(name: str, help_: str, labels: Sequence[str] | dict[str, str], series: Series) -> Metric:
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(name, help_, labels=list(labels))
    for key, value in series:
        family.add_metric(list(key), value)
    return family


def _counter(name: str, help_: str, labels: Sequence[str], series: Series) -> Metric:
    from prometheus_client.metrics_core import CounterMetricFamily

    family = CounterMetricFamily(name, help_, labels=list(labels))
    for key, value in series:
        family.add_metric(list(key), value)
    return family


def _by_peer(figures: dict[str, float] | Counter[str]) -> Series:
    return [((peer,), value) for peer, value in list(figures.items())]
