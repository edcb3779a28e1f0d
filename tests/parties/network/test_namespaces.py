"""Two parties in network namespaces of their own, with the kernel's own bad weather between them.

The clinic is in one namespace and the lab in another. A thread enters a namespace, and the threads that it starts are in it
too; so both parties live in this process. Where the machine does not let this user make namespaces, or its kernel has no
`netem`, the tests say so and are skipped.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from parties.network import link as link_module

SAFETY = 90.0
CLONE_NEWNET = 0x40000000
HERE, THERE = "10.203.77.1", "10.203.77.2"


def command(*words: str) -> None:
    """Run it; CalledProcessError says what went wrong."""
    subprocess.run(words, check=True, capture_output=True, text=True)


class Wire:
    """Two namespaces and a pair of virtual cards between them."""

    def __init__(self) -> None:
        self.here, self.there = (f"vsplit-{os.getpid()}-{end}" for end in "ab")

    def open(self) -> None:
        for name in (self.here, self.there):
            command("ip", "netns", "add", name)
        command("ip", "-n", self.here, "link", "add", "one", "type", "veth", "peer", "name", "two", "netns", self.there)
        for name, card, address in ((self.here, "one", HERE), (self.there, "two", THERE)):
            command("ip", "-n", name, "address", "add", f"{address}/24", "dev", card)
            command("ip", "-n", name, "link", "set", card, "up")

    def weather(self, *netem: str) -> None:
        """What `tc netem` does to all that leaves both ends; nothing: fair weather."""
        for name, card in ((self.here, "one"), (self.there, "two")):
            if netem:
                command("tc", "-n", name, "qdisc", "replace", "dev", card, "root", "netem", *netem)
            else:
                command("tc", "-n", name, "qdisc", "del", "dev", card, "root")

    def plug(self, way: str) -> None:
        """Pull the plug of the clinic's card ("down"), or put it back ("up")."""
        command("ip", "-n", self.here, "link", "set", "one", way)

    def close(self) -> None:
        for name in (self.here, self.there):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def inside(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call it in this thread, in that namespace."""
        libc = ctypes.CDLL(None, use_errno=True)
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        after = os.open(Path("/var/run/netns") / name, os.O_RDONLY)
        try:
            if libc.setns(after, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                return function(*arguments)
            finally:
                libc.setns(before, CLONE_NEWNET)
        finally:
            os.close(before)
            os.close(after)


@pytest.fixture
def wire() -> Iterator[Wire]:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can make network namespaces")
    if shutil.which("ip") is None or shutil.which("tc") is None:
        pytest.skip("this machine has no `ip` and `tc` (iproute2)")
    made = Wire()
    try:
        made.open()
        made.inside(made.here, lambda: None)
    except (subprocess.CalledProcessError, OSError) as error:
        made.close()
        pytest.skip(f"this machine does not let this user make network namespaces: {error}")
    yield made
    made.close()


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
    monkeypatch.setattr(link_module, "SILENT", 1.0)
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
def test_bad_weather(star: Any, wire: Wire, netem: tuple[str, ...]) -> None:
    clinic, lab, _ = meet(star, wire)
    try:
        wire.weather(*netem)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this kernel has no netem ({error.stderr.strip()})")
    end(star, begin(star, wire, clinic, lab, 10), clinic, lab)


def test_weather_that_lets_nothing_through_for_a_while(star: Any, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "SILENT", 1.0)
    clinic, lab, _ = meet(star, wire)
    try:
        wire.weather("loss", "100%")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this kernel has no netem ({error.stderr.strip()})")
    sides = begin(star, wire, clinic, lab, 10)
    until = time.monotonic() + SAFETY
    while not star.seen["lab"].losses:
        assert time.monotonic() < until
        time.sleep(0.05)
    wire.weather()
    end(star, sides, clinic, lab)
    assert lab.retries["clinic"] >= 1
