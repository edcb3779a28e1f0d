"""The endpoint with figures: what it tells, where it stands, and that nobody is held up by it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
import urllib.request
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from parties.config.party import Party, load_party
from parties.config.party_names import PartyNames
from parties.monitoring.events import NOTE, Step
from parties.monitoring.metrics import Metrics, check_metrics, serving
from parties.network import metrics_server
from parties.network.driver import Traffic
from vsplit import __version__
from vsplit.protocol import ConfigError

CREDIT3 = Path(__file__).parents[3] / "configs/credit3"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def party(address: str | None = "127.0.0.1:0") -> Party:
    made = load_party(CREDIT3 / "bank.yaml")
    return replace(made, settings=made.settings.model_copy(update={"metrics": address}))


def metrics_of(party: Party, traffic: Traffic, **options: Any) -> Metrics:
    return Metrics(PartyNames.of(party.job, party.name), party.job.job, traffic, **options)


def serving_at(party: Party, metrics: Metrics) -> Any:
    assert party.settings.metrics is not None
    return serving(party.settings.metrics, party.file, metrics)


def check(party: Party) -> None:
    check_metrics(party.settings.metrics, party.file)


def fetch(port: int, host: str = "127.0.0.1") -> Samples:
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=20) as answer:
        return parsed(answer.read().decode())


def parsed(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def gauge(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


@dataclass
class State:
    """As much of a training's state as figures are taken from."""

    step: int = 0
    progress: Any = field(default_factory=lambda: SimpleNamespace(epoch=0, batch=0))
    history: list[Any] = field(default_factory=list)


def test_all_figures_of_a_life() -> None:
    traffic, now = Traffic(), 100.0
    watched = metrics_of(party(), traffic, clock=lambda: now)
    state = State(step=8, progress=SimpleNamespace(epoch=1, batch=2))  # taken up in the middle of the second epoch
    with serving_at(party(), watched) as port:
        first = fetch(port)
        assert ("vsplit_training_step", ()) not in first
        info = {"party": "bank", "role": "label", "job": "credit3", "version": __version__}
        assert gauge(first, "vsplit_info", **info) == 1

        watched.show(Step("training"))
        watched.show(Step(NOTE, text="worth knowing"))
        watched.training(state, rows=700, batch_size=128)  # type: ignore[arg-type]
        traffic.record("received", "billing_company", "Embedding", 1000)
        traffic.record("received", "billing_company", "Embedding", 500)
        traffic.record("sent", "payments_company", "Gradient", 70)
        watched.waited("receive", "billing_company", 1.5)
        watched.waited("receive", "billing_company", 0.25)
        watched.waited("pool", "", 0.125)
        watched.connected()
        watched.lost("payments_company")
        watched.resent("payments_company", 3, 4096)
        watched.stored(10)
        state.step, state.progress.epoch, state.progress.batch = 12, 2, 0
        state.history = [SimpleNamespace(train_loss=0.5, validation_loss=0.75)]
        now = 102.0
        found = fetch(port)
    for name, labels, value in [
        ("vsplit_stage", {"stage": "training"}, 1),
        ("vsplit_training_step", {}, 12),
        ("vsplit_training_epoch", {}, 2),
        ("vsplit_training_samples_total", {}, 700 - 2 * 128),
        ("vsplit_training_samples_per_second", {}, (700 - 2 * 128) / 2),
        ("vsplit_loss", {"part": "training"}, 0.5),
        ("vsplit_loss", {"part": "validation"}, 0.75),
        ("vsplit_messages_total", {"direction": "received", "peer": "billing_company", "kind": "Embedding"}, 2),
        ("vsplit_bytes_total", {"direction": "received", "peer": "billing_company", "kind": "Embedding"}, 1500),
        ("vsplit_bytes_total", {"direction": "sent", "peer": "payments_company", "kind": "Gradient"}, 70),
        ("vsplit_waiting_seconds_total", {"cause": "receive", "peer": "billing_company"}, 1.75),
        ("vsplit_waiting_seconds_total", {"cause": "pool", "peer": ""}, 0.125),
        ("vsplit_link_up", {"peer": "billing_company"}, 1),
        ("vsplit_link_up", {"peer": "payments_company"}, 0),
        ("vsplit_link_retries_total", {"peer": "payments_company"}, 1),
        ("vsplit_resent_messages_total", {"peer": "payments_company"}, 3),
        ("vsplit_resent_bytes_total", {"peer": "payments_company"}, 4096),
        ("vsplit_checkpoints_total", {}, 1),
        ("vsplit_checkpoint_step", {}, 10),
    ]:
        assert gauge(found, name, **labels) == value, name
    assert ("process_cpu_seconds_total", ()) in found


def test_a_feature_party_has_no_losses() -> None:
    watched = metrics_of(party(), Traffic())
    state = SimpleNamespace(step=1, progress=SimpleNamespace(epoch=0, batch=1))
    watched.training(state, rows=10, batch_size=4)  # type: ignore[arg-type]
    names = {family.name for family in watched.collect()}
    assert "vsplit_training_step" in names
    assert "vsplit_loss" not in names


def test_the_port_and_the_thread_go_with_the_life() -> None:
    with serving_at(party(), metrics_of(party(), Traffic())) as port:
        assert any(thread.name == "vsplit-metrics" for thread in threading.enumerate())
        fetch(port)
    assert not any(thread.name == "vsplit-metrics" for thread in threading.enumerate())
    with serving_at(party(f"127.0.0.1:{port}"), metrics_of(party(), Traffic())) as again:
        assert again == port


def test_a_port_in_use_is_told_by_name() -> None:
    with serving_at(party(), metrics_of(party(), Traffic())) as port:
        taken = party(f"127.0.0.1:{port}")
        with (
            pytest.raises(
                ConfigError, match=rf"the key metrics names 127\.0\.0\.1:{port}, where no port can be opened"
            ),
            serving_at(taken, metrics_of(taken, Traffic())),
        ):
            pass


def test_it_stands_at_its_address_alone() -> None:
    with (
        serving_at(party("127.0.0.2:0"), metrics_of(party(), Traffic())) as port,
        pytest.raises(ConnectionRefusedError),
        socket.create_connection(("127.0.0.1", port), 5),
    ):
        pass


def test_clients_that_say_nothing_hold_up_nobody_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One waits in the middle of its request, others before theirs; whoever asks is served beside them."""
    monkeypatch.setattr(metrics_server, "CLIENT_PATIENCE", 600.0)
    with contextlib.ExitStack() as silent:
        with serving_at(party(), metrics_of(party(), Traffic())) as port:
            for said in (b"GET /met", b"", b"", b""):
                silent.enter_context(socket.create_connection(("127.0.0.1", port), 5)).sendall(said)
            assert fetch(port)
        assert not any(thread.name == "vsplit-metrics" for thread in threading.enumerate())


def test_a_client_that_drips_its_request_has_no_longer_than_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "CLIENT_PATIENCE", 0.3)
    with (
        serving_at(party(), metrics_of(party(), Traffic())) as port,
        socket.create_connection(("127.0.0.1", port), 5) as slow,
        pytest.raises(OSError, match=r"[Bb]roken pipe|reset"),
    ):
        slow.sendall(b"GET /metrics?")
        for _ in range(1000):  # a hundred times as long as it may take
            slow.sendall(b"a")
            time.sleep(0.03)


def test_a_client_that_does_not_take_its_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "CLIENT_PATIENCE", 0.3)

    def endless(_environment: Any, start: Any) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        return [bytes(1 << 24)]

    with metrics_server.serving_http(("127.0.0.1", 0), endless, "test-page") as port:
        with socket.create_connection(("127.0.0.1", port), 5) as deaf:
            deaf.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert deaf.recv(1) == b"H"
            while sum(thread.name == "test-page" for thread in threading.enumerate()) > 1:
                time.sleep(0.01)
            taken = 1
            with contextlib.suppress(ConnectionResetError):
                while came := len(deaf.recv(1 << 16)):
                    taken += came
        assert taken < 1 << 24


def test_too_many_clients_end_the_oldest_and_have_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "CLIENT_PATIENCE", 600.0)
    with contextlib.ExitStack() as open_, serving_at(party(), metrics_of(party(), Traffic())) as port:
        clients = [
            open_.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            for _ in range(3 * metrics_server.MOST_CLIENTS)
        ]
        assert fetch(port)
        # All who came before the last few are closed, and only those few are still here.
        assert clients[0].recv(1) == b""
        assert (
            sum(thread.name == "vsplit-metrics" for thread in threading.enumerate()) <= metrics_server.MOST_CLIENTS + 1
        )


def test_a_client_that_goes_away_says_nothing_on_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    with serving_at(party(), metrics_of(party(), Traffic())) as port:
        for said in (b"GET /metrics HTTP/1.1\r\n\r\n", b"GET", b"\x16\x03\x01" + bytes(200), b"\n" * 9):
            with socket.create_connection(("127.0.0.1", port), 5) as gone:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                gone.sendall(said)
        assert fetch(port)
    assert capfd.readouterr() == ("", "")


def test_it_may_stand_at_an_address_of_six_groups() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with serving_at(party("[::1]:0"), metrics_of(party(), Traffic())) as port:
        assert fetch(port, "[::1]")


def test_without_the_library_it_is_said_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    check(party(None))
    with pytest.raises(
        ConfigError, match=r"needs the package prometheus_client: install it with pip install prometheus-client"
    ):
        check(party())


def test_figures_are_fetched_while_the_party_counts_new_kinds() -> None:
    """The party writes from its own thread while the endpoint reads."""
    traffic = Traffic()
    watched = metrics_of(party(), traffic)

    def count() -> None:
        for number in range(2000):
            traffic.record("sent", f"peer{number}", "Embedding", 1)
            watched.waited("receive", f"peer{number}", 0.1)

    thread = threading.Thread(target=count)
    thread.start()
    while thread.is_alive():
        assert list(watched.collect())
    assert (
        len([one for family in watched.collect() for one in family.samples if one.name == "vsplit_bytes_total"]) == 2000
    )
