"""Thousands of connections a second that prove nothing, of every kind: an honest party gets in, and back in after a cut."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parties.network.caller_mark import caller_mark
from parties.network.certificates import PROTOCOL, client_context
from parties.network.identity import PrivateIdentity
from parties.network.listener import MOST_PENDING, Listener
from parties.network.tcp_listen import open_port

STRANGERS = Path(__file__).parents[3] / "benchmarks" / "faults_parts" / "strangers.py"
SAFETY = 30.0
RATE = "2000"  # a second; four times as many in benchmarks/faults.py
WAIT = 10.0  # of the honest party; the flood lasts longer
SECONDS = "20"  # after which the flood ends by itself, if nobody ends it before


@pytest.fixture
def flood() -> Iterator[Callable[..., None]]:
    """Begins a flood in a process of its own, and returns when it is at work."""
    floods: list[subprocess.Popen[bytes]] = []

    def begin(port: int, kind: str, source: str, sources: int) -> None:
        command = [sys.executable, str(STRANGERS), str(port), "--kind", kind, "--source", source]
        command += ["--sources", str(sources), "--rate", RATE, "--seconds", SECONDS]
        floods.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        assert floods[-1].stdout is not None
        assert floods[-1].stdout.readline() == b"flooding\n"

    yield begin
    for one in floods:
        one.kill()
        one.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 without setting it up")
@pytest.mark.parametrize(
    ("kind", "source", "sources"),
    [
        ("bare", "127.0.0.2", 1),
        ("bare", "127.0.0.1", 1),  # the honest party's own address, as behind one router
        ("closed", "127.0.0.2", 1),
        ("garbage", "127.0.0.2", 1),
        ("part", "127.0.0.2", 200),
        ("drip", "127.0.0.2", 200),
        ("hello", "127.0.0.1", 1),
        ("hello", "127.0.0.2", 200),
    ],
)
def test_an_honest_party_gets_in_and_back(star: Any, flood: Any, kind: str, source: str, sources: int) -> None:
    listener = star.listen("lab", wait=WAIT)
    gathering = star.gather(listener)
    flood(listener.port, kind, source, sources)
    door = listener._listener
    while door.refused < 200:  # it is at its height
        time.sleep(0.01)
    lab = star.dial("lab", listener.port, wait=WAIT)
    clinic = gathering.result(SAFETY)
    lab.send("clinic", [memoryview(b"one")])
    assert clinic.receive("lab", 100).tobytes() == b"one"
    stream = lab._links["clinic"].stream
    stream.shutdown(2)
    lab.send("clinic", [memoryview(b"two")])
    assert clinic.receive("lab", 100).tobytes() == b"two"
    assert star.seen["clinic"].returns == ["lab"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 without setting it up")
def test_a_caller_is_not_ended_before_it_was_looked_at() -> None:
    """It and more strangers than there is room for, each from another address, wait when the port is looked at."""
    clinic, lab = PrivateIdentity.generate(), PrivateIdentity.generate()
    door = Listener(clinic, {"lab": lab.public}, open_port("127.0.0.1", 0))
    address = door._port.getsockname()
    context = client_context(lab, clinic.public)
    context.set_alpn_protocols([PROTOCOL, caller_mark(lab.public, clinic.public)])
    hello = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), hello).do_handshake()
    with contextlib.ExitStack() as stack:
        stack.callback(door.close)
        caller = stack.enter_context(socket.create_connection(address))
        caller.sendall(hello.read())
        for number in range(MOST_PENDING + 10):
            stack.enter_context(socket.create_connection(address, source_address=(f"127.0.1.{number + 1}", 0)))
        door._accept(time.monotonic())
        assert len(door._pending) == MOST_PENDING
        assert door._pending.any_ready
        assert door._pending.next_turn().source == b"lab"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 without setting it up")
@pytest.mark.parametrize("kind", ["bare", "drip", "hello"])
def test_the_thread_of_the_port_takes_a_bounded_part_of_a_processor(star: Any, flood: Any, kind: str) -> None:
    listener = star.listen("lab", wait=WAIT)
    gathering = star.gather(listener)
    star.dial("lab", listener.port, wait=WAIT)
    gathering.result(SAFETY)
    door = listener._listener
    flood(listener.port, kind, "127.0.0.2", 200)
    while door.refused < 200:
        time.sleep(0.01)
    clock = time.pthread_getcpuclockid(door._thread.ident)
    worked, began = time.clock_gettime(clock), time.monotonic()
    refused = door.refused
    while door.refused < refused + 2000:
        time.sleep(0.01)
    share = (time.clock_gettime(clock) - worked) / (time.monotonic() - began)
    assert share < 0.3  # a quarter by its rests, and what polling itself takes
