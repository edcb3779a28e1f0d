"""A stage for learning roles: they run in threads over the in-memory network, and what they send is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch

from parties.driver import drive
from parties.network.memory import MemoryNetwork
from parties.network.transport import Transport
from parties.pool import Pool
from vsplit.protocol import Bytes, Note, Role

Sent = list[tuple[str, str, bytes]]


class Recorded:
    """A transport that keeps a copy of all that its party sends."""

    def __init__(self, name: str, inner: Transport, sent: Sent) -> None:
        self._name, self._inner, self._sent = name, inner, sent

    def send(self, to: str, parts: Sequence[memoryview]) -> None:
        self._sent.append((self._name, to, b"".join(parts)))
        self._inner.send(to, parts)

    def receive(self, sender: str, limit: int) -> Bytes:
        return self._inner.receive(sender, limit)

    def finish(self) -> list[Any]:
        return self._inner.finish()

    def stop(self, word: str) -> None:
        self._inner.stop(word)


class Stage:
    """Runs roles to their end. `results` has each party's result or the exception that ended it."""

    def __init__(self) -> None:
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
            transport = Recorded(name, network.endpoint(name), self.sent)
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
def stage() -> Stage:
    """A fresh stage."""
    return Stage()


@pytest.fixture
def new_stage() -> Callable[[], Stage]:
    """For tests that need several stages."""
    return Stage


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
