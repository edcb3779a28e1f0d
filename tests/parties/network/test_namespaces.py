"""Two parties in network namespaces of their own, with the kernel's own bad weather between them.

The clinic is in one namespace and the lab in another. A thread enters a namespace, and the threads that it starts are in it
too; so both parties live in this process. Where the machine does not let this user make namespaces, or its kernel has no
`netem`, the tests say so and are skipped; and where it has Debian's user-mode-linux instead, they run in that.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import cache
from typing import Any

import pytest

from parties.network import heartbeat
from tests.parties.network.namespaces import HERE, Wire, why_no_namespaces, why_no_netem
from tests.parties.network.usermode import UnsupportedProcessorError, run_inside, why_no_kernel

SAFETY = 90.0

pytestmark = pytest.mark.alone  # the weather is made by the kernel, and where this one cannot, by one that is begun

needs_netem = cache(why_no_netem)


@pytest.fixture
def wire() -> Iterator[Wire]:
    if why := why_no_namespaces():
        pytest.skip(why)
    made = Wire()
    made.open()
    yield made
    made.close()


@pytest.fixture
def bad_wire(wire: Wire) -> Wire:
    """One on which there can be weather."""
    if why := needs_netem():
        pytest.skip(why)
    return wire


def exchange(transport: Any, peer: str, rounds: int) -> None:
    for number in range(rounds):
        data = number.to_bytes(4, "big") * 20_000
        transport.send(peer, [memoryview(data)])
        assert transport.receive(peer, 1 << 17).tobytes() == data


def meet(star: Any, wire: Wire) -> tuple[Any, Any, int]:
    """The clinic's transport, the lab's, and the clinic's port."""

    def listen() -> Any:
        return star.listen("lab", wait=60.0, host=HERE)

    def gather(listener: Any) -> Any:
        transport = listener.gather(star.waiting)
        star._stack.callback(transport.stop, "interrupted")
        return transport

    listener = wire.inside(wire.here, listen)
    gathering = star.later(wire.inside, wire.here, gather, listener)
    lab = star.later(wire.inside, wire.there, star.dial, "lab", listener.port, 60.0, HERE).result(SAFETY)
    clinic = gathering.result(SAFETY)
    return clinic, lab, listener.port


def end(star: Any, sides: list[Future[Any]], *transports: Any) -> None:
    """All that was begun ends well."""
    for side in sides:
        side.result(SAFETY)
    farewells = [star.later(transport.finish) for transport in transports]
    assert [farewell.result(SAFETY) for farewell in farewells] == [[] for _ in transports]


def begin(star: Any, wire: Wire, clinic: Any, lab: Any, rounds: int) -> list[Future[Any]]:
    """Both parties exchange messages, each in its namespace, where it dials again as well."""
    return [
        star.later(wire.inside, wire.here, exchange, clinic, "lab", rounds),
        star.later(wire.inside, wire.there, exchange, lab, "clinic", rounds),
    ]


def test_a_plug_that_is_pulled_and_put_back(star: Any, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "SILENT", 1.0)
    clinic, lab, _ = meet(star, wire)
    wire.plug("down")
    sides = begin(star, wire, clinic, lab, 20)
    until = time.monotonic() + SAFETY
    while not (star.seen["clinic"].losses and star.seen["lab"].losses):
        assert time.monotonic() < until
        time.sleep(0.05)
    wire.plug("up")
    end(star, sides, clinic, lab)
    assert lab.retries["clinic"] >= 1


@pytest.mark.parametrize(
    "netem",
    [
        ("delay", "40ms", "20ms", "loss", "3%"),
        ("delay", "20ms", "10ms", "reorder", "25%", "duplicate", "5%", "corrupt", "1%"),
        ("rate", "20mbit", "delay", "10ms"),
    ],
)
def test_bad_weather(star: Any, bad_wire: Wire, netem: tuple[str, ...]) -> None:
    clinic, lab, _ = meet(star, bad_wire)
    bad_wire.weather(*netem)
    end(star, begin(star, bad_wire, clinic, lab, 10), clinic, lab)


def test_weather_that_lets_nothing_through_for_a_while(
    star: Any, bad_wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "SILENT", 1.0)
    clinic, lab, _ = meet(star, bad_wire)
    bad_wire.weather("loss", "100%")
    sides = begin(star, bad_wire, clinic, lab, 10)
    until = time.monotonic() + SAFETY
    while not star.seen["lab"].losses:
        assert time.monotonic() < until
        time.sleep(0.05)
    bad_wire.weather()
    end(star, sides, clinic, lab)
    assert lab.retries["clinic"] >= 1


# That kernel needs 20 s on one machine and minutes on another; each of the tests inside has its own limit.
@pytest.mark.timeout(SAFETY * 5)
def test_all_weather_in_a_kernel_that_has_it() -> None:
    if not needs_netem():
        pytest.skip("this kernel has netem itself, so the tests before this one have run")
    if why := why_no_kernel():
        pytest.skip(f"{needs_netem()}, and {why}")
    tests = [__file__, "-k", "test_bad_weather or test_weather"]
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", *tests]
    environment = {"OMP_NUM_THREADS": "1", "HOME": os.environ.get("HOME", "/")}
    try:
        code, said = run_inside(command, SAFETY * 4, environment=environment)
    except UnsupportedProcessorError as error:
        pytest.skip(f"{needs_netem()}, and {error}")
    assert code == 0, said
    assert "4 passed" in said, said
