"""What tests of several packages share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from parties.network.transport import Transport
from vsplit.protocol import Bytes

# No test waits on the clock for its verdict: an example may be slow on a machine that does other things as well.
settings.register_profile("vsplit", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vsplit")


class Recorder:
    """A transport around another one, which hands a copy of all that its party sends to `keep(receiver, bytes)`."""

    def __init__(self, inner: Transport, keep: Callable[[str, bytes], None]) -> None:
        self._inner, self._keep = inner, keep

    def send(self, to: str, parts: Sequence[memoryview]) -> None:
        self._keep(to, b"".join(parts))
        self._inner.send(to, parts)

    def receive(self, sender: str, limit: int) -> Bytes:
        return self._inner.receive(sender, limit)

    def finish(self) -> list[Any]:
        return self._inner.finish()

    def stop(self, word: str) -> None:
        self._inner.stop(word)


@pytest.fixture(scope="session")
def recorder() -> type[Recorder]:
    """The class, since test files do not import each other."""
    return Recorder


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    """Reads a file of outside vectors."""
    folder = Path(__file__).parent / "vectors"
    return lambda name: json.loads((folder / name).read_text())
