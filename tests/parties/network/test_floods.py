"""Too much, too fast, too slow: strangers at the door of a running session, and a listed party that comes over and over."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.faults_parts.strangers import client_hello
from parties.network import listener as listener_module
from parties.network.frames import Type
from parties.network.listener import MOST_PENDING

SAFETY = 60.0

pytestmark = pytest.mark.alone  # what others do to the machine would be part of the flood


@pytest.fixture
def crowd() -> Iterator[Any]:
    """Opens connections that are closed at the end."""
    with contextlib.ExitStack() as stack:

        def join(port: int) -> socket.socket:
            plain = stack.enter_context(socket.socket())
            plain.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                plain.connect(("127.0.0.1", port))
            return plain

        yield join


def exchange(transport: Any, peer: str, rounds: int) -> None:
    for number in range(rounds):
        transport.send(peer, [memoryview(number.to_bytes(4, "big") * 2000)])
        assert transport.receive(peer, 1 << 14)[:4].tobytes() == number.to_bytes(4, "big")


def port_of(transport: Any) -> int:
    port: int = transport._reconnector._listener._port.getsockname()[1]
    return port


def until(condition: Any) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + SAFETY
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def pair(star: Any) -> tuple[Any, Any]:
    listener = star.listen("lab")
    gathering = star.gather(listener)
    lab = star.dial("lab", listener.port)
    return gathering.result(SAFETY), lab


def test_strangers_that_hold_their_connections_cost_a_bounded_amount_and_no_thread(star: Any, crowd: Any) -> None:
    clinic, lab = pair(star)
    door = clinic._reconnector._listener
    threads = threading.active_count()
    idle = [crowd(port_of(clinic)) for _ in range(MOST_PENDING + 100)]
    sides = [star.later(exchange, clinic, "lab", 200), star.later(exchange, lab, "clinic", 200)]
    most = 0
    while door.refused < 50:
        most = max(most, len(door._pending))
        assert threading.active_count() <= threads + len(sides)
        time.sleep(0.02)
    for side in sides:
        side.result(SAFETY)
    assert most <= MOST_PENDING
    assert star.seen["clinic"].losses == star.seen["lab"].losses == []
    assert len(idle) > MOST_PENDING


def test_a_party_comes_back_through_a_crowd(star: Any, crowd: Any, proxies: Any) -> None:
    clinic, lab, proxy = star.clinic_and_labs(proxies, "lab")
    coming = True

    def renew() -> None:
        while coming:
            plain = crowd(port_of(clinic))
            with contextlib.suppress(OSError):
                plain.send(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a handshake
            time.sleep(0.02)

    flood = star.later(renew)
    try:
        sides = [star.later(exchange, clinic, "lab", 100), star.later(exchange, lab, "clinic", 100)]
        proxy.cut()
        for side in sides:
            side.result(SAFETY)
    finally:
        coming = False
    flood.result(SAFETY)
    until(lambda: star.seen["clinic"].returns == ["lab"])


def test_connections_are_taken_as_they_come_and_handshakes_begun_at_a_bounded_rate(
    star: Any, crowd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "_RATE", 10.0)
    clinic, _lab = pair(star)
    door = clinic._reconnector._listener
    time.sleep(0.3)
    began = time.monotonic()
    for _ in range(60):
        plain = crowd(port_of(clinic))
        with contextlib.suppress(OSError):
            plain.send(client_hello())
    until(lambda: sum(one.stream is not None for one in door._pending) >= 16)
    assert len(door._pending) + door.refused == 60
    # The first batch goes at once, and each further one when its time has come.
    assert time.monotonic() - began >= 8 / 10.0


def test_a_first_frame_byte_by_byte_ends_with_the_time_for_it(
    star: Any, crowd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "HANDSHAKE_SECONDS", 1.0)
    clinic, lab = pair(star)
    slow = star.puppet("lab", port_of(clinic))
    slow.writer.session = clinic.session
    frame = slow.writer.control(Type.RESUME, 0)
    ended = False
    for byte in frame * 10:
        try:
            slow.stream.sendall(bytes([byte]))
        except OSError:
            ended = True
            break
        time.sleep(0.05)
    assert ended
    lab.send("clinic", [memoryview(b"one")])
    assert clinic.receive("lab", 100).tobytes() == b"one"
    assert clinic.retries["lab"] == 0


def test_of_a_party_that_comes_over_and_over_only_the_latest_is_kept(star: Any) -> None:
    clinic, lab = pair(star)
    door = clinic._reconnector._listener
    with clinic._lock:  # nobody fetches them meanwhile
        puppets = [star.puppet("lab", port_of(clinic)) for _ in range(5)]
        for puppet in puppets:
            puppet.writer.session = clinic.session
            puppet.raw_head(Type.RESUME, 0, 0, 0, b"another session!")
        until(lambda: not door._pending and len(door._arrivals) == 1)
    for puppet in puppets:
        with contextlib.suppress(EOFError, ConnectionError):
            assert puppet.hear() == (Type.STOP, b"again")
    lab.send("clinic", [memoryview(b"one")])
    assert clinic.receive("lab", 100).tobytes() == b"one"


def test_a_party_that_resumes_without_end_ends_nothing(star: Any) -> None:
    clinic, puppet = star.clinic_and_puppet()
    puppet.message(b"one")
    for _ in range(8):
        again = star.puppet("lab", port_of(clinic))
        again.writer = puppet.writer
        again.say(Type.RESUME)
        assert again.hear() == (Type.RESUME, b"")
    again.message(b"two")
    assert clinic.receive("lab", 100).tobytes() == b"one"
    assert clinic.receive("lab", 100).tobytes() == b"two"
    assert clinic.retries["lab"] == 8


def test_messages_that_came_before_do_not_keep_the_others_waiting(star: Any) -> None:
    clinic, bank, puppet = star.clinic_bank_and_puppet()
    puppet.message(bytes(1 << 20))
    assert len(clinic.receive("lab", 1 << 21)) == 1 << 20
    flooding = True

    def flood() -> None:
        while flooding:
            puppet.writer.sequence = 0
            puppet.message(bytes(1 << 20))

    flow = star.later(flood)
    try:
        for _ in range(5):
            bank.send("clinic", [memoryview(b"one")])
            assert clinic.receive("bank", 100).tobytes() == b"one"
    finally:
        flooding = False
    flow.result(SAFETY)
    assert not clinic._links["lab"].receive_queue.messages
