"""A host with several addresses, of which some swallow every packet and some refuse."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from parties.network.peer_connections import free_port
from parties.network.tcp_connect import open_connection


@pytest.fixture
def swallowing() -> Iterator[int]:
    """A port whose queue is full, so that the system drops whatever comes to it."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            plain = stack.enter_context(socket.socket())
            plain.setblocking(False)
            plain.connect_ex(port.getsockname())
        time.sleep(0.1)
        yield port.getsockname()[1]


def resolve(monkeypatch: pytest.MonkeyPatch, *found: tuple[socket.AddressFamily, str, int]) -> None:
    """From now on any name has these addresses."""

    def getaddrinfo(*_arguments: Any, **_named: Any) -> list[Any]:
        return [
            (family, socket.SOCK_STREAM, 6, "", (host, port) if family == socket.AF_INET else (host, port, 0, 0))
            for family, host, port in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


V4, V6 = socket.AF_INET, socket.AF_INET6


def test_an_address_that_swallows_packets_does_not_eat_the_attempt(
    swallowing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        good = server.getsockname()[1]
        resolve(monkeypatch, (V4, "127.0.0.1", swallowing), (V4, "127.0.0.1", swallowing), (V4, "127.0.0.1", good))
        with open_connection("clinic.example", 9440, 20.0) as plain:
            assert plain.getpeername()[1] == good
            assert plain.getblocking()


def test_families_take_turns(swallowing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        good = server.getsockname()[1]
        resolve(monkeypatch, *[(V6, "::ffff:127.0.0.1", swallowing)] * 100, (V4, "127.0.0.1", good))
        with open_connection("clinic.example", 9440, 10.0) as plain:
            assert plain.getpeername() == ("127.0.0.1", good)


def test_an_address_that_refuses_leads_to_the_next_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        good = server.getsockname()[1]
        resolve(monkeypatch, *[(V4, "127.0.0.1", free_port("127.0.0.1"))] * 200, (V4, "127.0.0.1", good))
        open_connection("clinic.example", 9440, 20.0).close()  # with 0.25 s for each it would take 50 s


def test_none_answers_in_time(swallowing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, (V4, "127.0.0.1", swallowing), (V4, "127.0.0.1", swallowing))
    with pytest.raises(TimeoutError, match="timed out"):
        open_connection("clinic.example", 9440, 0.6)


def test_all_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, *[(V4, "127.0.0.1", free_port("127.0.0.1"))] * 2)
    with pytest.raises(ConnectionRefusedError) as caught:
        open_connection("clinic.example", 9440, 5.0)
    assert caught.value.strerror == "Connection refused"


def test_no_descriptor_stays_open(swallowing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as probe:
        resolve(monkeypatch, (V4, "127.0.0.1", swallowing), (V4, "127.0.0.1", server.getsockname()[1]))
        with open_connection("clinic.example", 9440, 5.0) as plain:
            assert plain.fileno() <= probe.fileno() + 4
