"""A stage for learning roles: they run in threads over the in-memory network, and what they send is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from parties.driver import drive
from parties.network.memory import MemoryNetwork
from parties.pool import Pool
from vsplit.protocol import Note, Role

Sent = list[tuple[str, str, bytes]]


class Stage:
    """Runs roles to their end. `results` has each party's result or the exception that ended it."""

    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder
        self.results: dict[str, Any] = {}
        self.sent: Sent = []
        self.notes: list[tuple[str, Note]] = []

    def play(self, roles: dict[str, Role[Any]]) -> dict[str, Any]:
        """Run all roles and return their results; raises the first failure."""
        self.play_on(roles)
        for result in self.results.values():
            if isinstance(result, Exception):
                raise result
        return self.results

    def play_on(self, roles: dict[str, Role[Any]]) -> None:
        """Run all roles, whatever becomes of them."""
        network = MemoryNetwork(list(roles))

        def live(name: str) -> None:
            transport = self._recorder(network.endpoint(name), lambda to, data: self.sent.append((name, to, data)))
            try:
                self.results[name] = drive(
                    roles[name], transport, Pool(), note=lambda note: self.notes.append((name, note))
                )
                transport.finish()
            except Exception as error:
                self.results[name] = error
                transport.stop("error")

        threads = [threading.Thread(target=live, args=(name,)) for name in roles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@pytest.fixture
def stage(recorder: Any) -> Stage:
    """A fresh stage."""
    return Stage(recorder)


@pytest.fixture
def new_stage(recorder: Any) -> Callable[[], Stage]:
    """For tests that need several stages."""
    return lambda: Stage(recorder)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
