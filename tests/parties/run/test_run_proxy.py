"""A run whose feature party has an HTTP proxy as its only way out, and what `vsplit check` says of the way."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from parties.command.cli import app
from parties.monitoring.events import Step
from parties.network.peer_connections import free_port
from parties.network.tcp_listen import has_ipv6
from vsplit.protocol import ConfigError, PeerAbsent

_file = importlib.util.spec_from_file_location(
    "vsplit_http_proxy", Path(__file__).parents[1] / "network" / "http_proxy.py"
)
assert _file is not None and _file.loader is not None
_module = importlib.util.module_from_spec(_file)
_file.loader.exec_module(_module)

CANARY = "CANARY7311"


@pytest.fixture
def proxy() -> Iterator[Any]:
    one = _module.HttpProxy()
    yield one
    one.close()


@pytest.fixture(autouse=True)
def no_proxy_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def check(world: Any, name: str) -> str:
    result = CliRunner().invoke(app, ["check", str(world.folder / f"{name}.yaml")])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("how", ["file", "environment"])
def test_a_run_through_a_proxy_goes_on_after_a_cut(
    world: Any, proxy: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROXY_PASSWORD", CANARY)
    monkeypatch.setenv("https_proxy", f"http://lab:{CANARY}@127.0.0.1:{proxy.port}")
    world.files["lab"]["proxy"] = (
        f"http://lab:${{PROXY_PASSWORD}}@127.0.0.1:{proxy.port}" if how == "file" else "environment"
    )
    world.job["train"]["epochs"] = 30
    cut = []

    def cut_once(event: Any) -> None:
        if isinstance(event, Step) and event.stage == "training" and event.done >= 2 and not cut:
            cut.append(event)
            proxy.cut()

    world.write().run_parties(show={"lab": cut_once}).well()
    assert cut
    assert proxy.tunnels >= 2
    assert all("Proxy-Authorization: Basic" in head for head in proxy.asked)
    for name in world.names:
        assert json.loads((world.run(name) / "run.json").read_text())["training"]["epochs"]
        for file in world.run(name).iterdir():
            assert CANARY.encode() not in file.read_bytes(), file


def test_a_label_party_that_is_not_there_is_not_reached_and_the_variable_is_named(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://lab:{CANARY}@proxy.example:3128")
    world.files["lab"]["wait"] = 1
    error = world.write().run_parties("lab").errors["lab"]
    assert isinstance(error, PeerAbsent)
    assert str(error).endswith(
        "https_proxy is set to http://proxy.example:3128, which vsplit does not use unless the party file says "
        "proxy: environment."
    )
    assert CANARY not in str(error)


def test_a_label_party_with_a_proxy_and_a_password_in_a_file_are_refused(world: Any) -> None:
    world.files["clinic"]["proxy"] = "proxy.example:3128"
    world.files["lab"]["proxy"] = f"http://lab:{CANARY}@proxy.example:3128"
    world.write()
    with pytest.raises(
        ConfigError, match="the key proxy is given, but clinic is the label party, which dials no other party"
    ):
        world.party("clinic")
    with pytest.raises(ConfigError, match="the key proxy contains a password") as caught:
        world.party("lab")
    assert CANARY not in str(caught.value)


@pytest.mark.usefixtures("signals_as_before")
def test_check_says_which_way_out(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P", CANARY)
    address = world.job["address"]
    world.files["lab"]["proxy"] = "http://lab:${P}@proxy.example:3128"
    assert f"Dials clinic at {address} through the proxy http://proxy.example:3128" in check(world.write(), "lab")
    monkeypatch.setenv("https_proxy", f"http://lab:{CANARY}@other.example:3128")
    world.files["lab"]["proxy"] = "environment"
    assert f"Dials clinic at {address} through the proxy http://other.example:3128" in check(world.write(), "lab")
    del world.files["lab"]["proxy"]
    said = check(world.write(), "lab")
    assert f"Dials clinic at {address}, and opens no port" in said
    assert "https_proxy is set to http://other.example:3128, which vsplit does not use" in said
    assert CANARY not in said


@pytest.mark.usefixtures("signals_as_before")
@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize(
    ("listen", "where"),
    [
        (":9440", "every address of this machine, IPv4 and IPv6"),
        ("*:9440", "every address of this machine, IPv4 and IPv6"),
        ("[::]:9440", "every address of this machine, IPv4 and IPv6"),
        ("0.0.0.0:9440", "every IPv4 address of this machine"),
        ("[::1]:9440", "::1"),
        (None, "127.0.0.1"),
    ],
)
def test_check_says_where_it_listens(world: Any, listen: str | None, where: str) -> None:
    world.job["address"] = "127.0.0.1:9440"
    if listen is not None:
        world.files["clinic"]["listen"] = listen
    assert f"Listens on port 9440 of {where}; the feature parties dial 127.0.0.1:9440." in check(
        world.write(), "clinic"
    )


@pytest.mark.usefixtures("no_report")
def test_a_run_with_a_host_name_and_a_port_at_every_address(world: Any) -> None:
    port = free_port("127.0.0.1")
    world.job["address"] = f"localhost:{port}"
    world.files["clinic"]["listen"] = f":{port}"
    world.write().run_parties().well()
