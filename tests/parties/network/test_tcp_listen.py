"""One port for IPv4 and IPv6, and a host that has only one of them."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from parties.network import tcp_listen
from parties.network.tcp_listen import ONLY_IPV4, has_ipv6
from vsplit.protocol import ConfigError

SAFETY = 20.0
needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@needs_ipv6
@pytest.mark.parametrize("host", ["*", "::"])
def test_one_port_takes_both_families(star: Any, host: str) -> None:
    listener = star.listen("lab", "bank", host=host)
    gathering = star.gather(listener)
    assert listener.note == ""
    lab = star.dial("lab", listener.port, host="127.0.0.1")
    bank = star.dial("bank", listener.port, host="::1")
    clinic = gathering.result(SAFETY)
    for name, party in (("lab", lab), ("bank", bank)):
        party.send("clinic", [memoryview(name.encode())])
        assert clinic.receive(name, 100).tobytes() == name.encode()


@needs_ipv6
def test_an_address_of_ipv6_is_that_alone(star: Any) -> None:
    listener = star.listen("lab", host="::1")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", listener.port), timeout=5)


@needs_ipv6
def test_a_name_that_has_addresses_of_ipv6_alone(star: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    create = socket.create_server

    def create_server(address: Any, *, family: int, **named: Any) -> socket.socket:
        assert address[0] == "clinic.example"
        if family == socket.AF_INET:
            raise socket.gaierror(socket.EAI_ADDRFAMILY, "Address family for hostname not supported")
        return create(("::1", address[1]), family=family, **named)

    monkeypatch.setattr(socket, "create_server", create_server)
    listener = star.listen("lab", host="clinic.example")
    gathering = star.gather(listener)
    star.dial("lab", listener.port, host="::1")
    gathering.result(SAFETY)


def test_a_name_that_nobody_knows(star: Any) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen at nowhere\.invalid:9440"):
        star.listen("lab", host="nowhere.invalid", port=9440)


@pytest.fixture
def no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without IPv6."""
    create = socket.create_server

    def create_server(address: Any, *, family: int = socket.AF_INET, **named: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return create(address, family=family, **named)

    monkeypatch.setattr(socket, "create_server", create_server)


@pytest.mark.usefixtures("no_ipv6")
def test_a_machine_without_ipv6_takes_ipv4_and_says_so(star: Any) -> None:
    assert not has_ipv6()
    listener = star.listen("lab", host="*")
    assert listener.note == ONLY_IPV4
    gathering = star.gather(listener)
    star.dial("lab", listener.port)
    gathering.result(SAFETY)


@pytest.mark.usefixtures("no_ipv6")
def test_a_machine_without_ipv6_and_a_file_that_asks_for_it(star: Any) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen at \[::\]:9440 .* no IPv6: write `listen: :9440`"):
        star.listen("lab", host="::", port=9440)


def test_the_queue_is_long(star: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    create = socket.create_server
    monkeypatch.setattr(
        socket, "create_server", lambda *a, **named: asked.append(named["backlog"]) or create(*a, **named)
    )
    star.listen("lab")
    assert asked == [tcp_listen.BACKLOG]
    assert tcp_listen.BACKLOG >= 4096


@needs_ipv6
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "*", "::"])
def test_a_port_in_use_is_named_at_any_address(star: Any, host: str) -> None:
    port = star.listen("lab", host="127.0.0.1").port
    with pytest.raises(ConfigError, match=f"Port {port} of this machine is in use"):
        star.listen("lab", host=host, port=port)
