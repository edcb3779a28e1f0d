"""Whole transports over a network that cuts, holds, delays and throttles: the session goes on where it was."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from typing import Any

import pytest

from parties.network import heartbeat, tls
from parties.network import link as link_module
from vsplit.protocol import PeerLost

SAFETY = 60.0

pytestmark = pytest.mark.alone  # links are cut in so many hundredths of a second, and must be up again in the next
ONE = [memoryview(b"one")]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent link is dead after a second."""
    monkeypatch.setattr(heartbeat, "SILENT", 1.0)


def payload(number: int) -> bytes:
    size = random.Random(number).choice([1, 100, 5_000, 70_000, 300_000])
    return number.to_bytes(4, "big") + hashlib.sha256(number.to_bytes(4, "big")).digest() * (size // 32 + 1)


def exchange(transport: Any, peer: str, rounds: int) -> None:
    """One message there and one back, over and over; each is compared."""
    for number in range(rounds):
        transport.send(peer, [memoryview(payload(number))])
        assert transport.receive(peer, 1 << 20).tobytes() == payload(number)


def pour(transport: Any, peer: str, count: int) -> None:
    for number in range(count):
        transport.send(peer, [memoryview(payload(number))])


def drain(transport: Any, peer: str, count: int) -> None:
    for number in range(count):
        assert transport.receive(peer, 1 << 20).tobytes() == payload(number)


def until(condition: Any) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + SAFETY
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


@pytest.mark.parametrize("reset", [False, True])
def test_an_exchange_goes_on_over_cut_after_cut(star: Any, proxies: Any, reset: bool) -> None:
    clinic, lab, proxy = star.clinic_and_labs(proxies, "lab")
    sides = [star.later(exchange, clinic, "lab", 150), star.later(exchange, lab, "clinic", 150)]
    returns = star.seen["lab"].returns
    for count in range(1, 6):
        proxy.cut(reset)
        until(lambda count=count: len(returns) >= count or all(side.done() for side in sides))
    for side in sides:
        side.result(SAFETY)
    farewells = [star.later(transport.finish) for transport in (clinic, lab)]
    assert [farewell.result(SAFETY) for farewell in farewells] == [[], []]
    assert lab.retries["clinic"] >= 3
    assert len(star.seen["lab"].returns) == lab.retries["clinic"]
    assert {peer for peer, _ in star.seen["clinic"].losses} == {"lab"}


def test_a_flow_in_one_direction_is_cut_at_random_bytes(star: Any, proxies: Any) -> None:
    clinic, lab, proxy = star.clinic_and_labs(proxies, "lab")
    draw = random.Random(5)
    sides = [star.later(pour, lab, "clinic", 80), star.later(drain, clinic, "lab", 80)]
    while not all(side.done() for side in sides):
        before = proxy.connections
        proxy.budget = draw.randrange(1, 2_000_000)
        until(lambda before=before: proxy.connections > before or all(side.done() for side in sides))
    for side in sides:
        side.result(SAFETY)
    assert star.seen["lab"].again  # some of it went twice, and `drain` saw none of it twice


def test_three_parties_lose_their_links_at_different_times(star: Any, proxies: Any) -> None:
    clinic, lab, bank, proxy = star.clinic_and_labs(proxies, "lab", "bank")

    def both() -> None:
        for number in range(100):
            for name in ("lab", "bank"):
                clinic.send(name, [memoryview(payload(number))])
            for name in ("bank", "lab"):
                assert clinic.receive(name, 1 << 20).tobytes() == payload(number)

    sides = [star.later(both), *(star.later(exchange, side, "clinic", 100) for side in (lab, bank))]
    for _ in range(4):
        before = proxy.connections
        proxy.cut()
        until(lambda before=before: proxy.connections >= before + 2 or sides[0].done())
    for side in sides:
        side.result(SAFETY)
    farewells = [star.later(transport.finish) for transport in (clinic, lab, bank)]
    assert [farewell.result(SAFETY) for farewell in farewells] == [[], [], []]


def test_a_slow_and_late_network_loses_no_link(star: Any, proxies: Any) -> None:
    clinic, lab, proxy = star.clinic_and_labs(proxies, "lab")
    proxy.delay, proxy.rate = 0.02, 4_000_000
    sides = [star.later(exchange, clinic, "lab", 10), star.later(exchange, lab, "clinic", 10)]
    for side in sides:
        side.result(SAFETY)
    assert star.seen["clinic"].losses == star.seen["lab"].losses == []


def test_a_link_that_hangs_is_made_again(star: Any, proxies: Any, soon: None) -> None:
    clinic, lab, proxy = star.clinic_and_labs(proxies, "lab")
    proxy.hold()
    sides = [star.later(exchange, clinic, "lab", 20), star.later(exchange, lab, "clinic", 20)]
    for side in sides:
        side.result(SAFETY)
    losses = star.seen["clinic"].losses + star.seen["lab"].losses
    assert any("was silent for 1 s" in why for _, why in losses)
    assert star.seen["lab"].returns == ["clinic"]


def test_the_keeper_makes_the_link_again_while_both_parties_compute(star: Any, proxies: Any) -> None:
    clinic, lab, proxy = star.clinic_and_labs(proxies, "lab")
    lab.send("clinic", ONE)
    proxy.cut()
    until(lambda: star.seen["lab"].returns and star.seen["clinic"].returns)
    assert clinic.receive("lab", 100).tobytes() == b"one"


def test_people_are_told_who_is_away_since_when_and_until_when(
    star: Any, proxies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_REPORT", 0.1)
    clinic, lab, proxy = star.clinic_and_labs(proxies, "lab", wait=3600.0)
    before = time.time()
    proxy.shut()
    proxy.cut()
    waiting = star.later(clinic.receive, "lab", 100)
    until(lambda: len(star.seen["clinic"].absences) > 2 and len(star.seen["lab"].absences) > 2)
    for name, peer in (("clinic", "lab"), ("lab", "clinic")):
        absences = star.seen[name].absences
        assert {absence.peer for absence in absences} == {peer}
        assert {absence.until - absence.since for absence in absences} == {3600.0}
        assert all(before <= absence.since <= time.time() for absence in absences)
        left = [absence.left for absence in absences]
        assert left == sorted(left, reverse=True) and 3500 < left[-1] <= 3600
    proxy.shut(False)
    lab.send("clinic", ONE)
    assert waiting.result(SAFETY).tobytes() == b"one"


@pytest.mark.parametrize("doing", ["receive", "send", "compute", "finish"])
def test_a_peer_that_does_not_come_back_is_given_up_whatever_its_partner_does(
    star: Any, proxies: Any, doing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "QUEUE", 1 << 16)
    clinic, lab, proxy = star.clinic_and_labs(proxies, "lab", wait=1.0)
    proxy.shut()
    proxy.cut()
    sentence = r"and was not re-established within 1 s.* a run resumes from its last checkpoint"
    for transport, peer in ((clinic, "lab"), (lab, "clinic")):
        if doing == "receive":
            with pytest.raises(PeerLost, match=sentence):
                transport.receive(peer, 100)
        elif doing == "send":
            with pytest.raises(PeerLost, match=sentence):
                pour(transport, peer, 100)
        elif doing == "compute":
            until(lambda transport=transport, peer=peer: transport._links[peer].failure is not None)
        else:
            (failure,) = transport.finish()
            assert isinstance(failure, PeerLost)
    assert lab._reconnector.tried


def test_what_was_sent_before_the_last_word_is_delivered_after_a_cut(star: Any, proxies: Any) -> None:
    clinic, lab, proxy = star.clinic_and_labs(proxies, "lab")
    proxy.hold()
    pour(lab, "clinic", 5)
    farewell = star.later(lab.finish)
    until(lambda: lab._links["clinic"].finishing)
    proxy.cut()
    drain(clinic, "lab", 5)
    assert clinic.finish() == []
    assert farewell.result(SAFETY) == []


def test_a_party_that_has_all_it_needs_is_not_waited_for(
    star: Any, proxies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_LINGER", 0.3)
    clinic, lab, bank, proxy = star.clinic_and_labs(proxies, "lab", "bank", wait=3600.0)
    farewell = star.later(lab.finish)
    until(lambda: clinic._links["lab"].done)
    proxy.shut()
    proxy.cut()
    until(lambda: clinic._links["lab"].lost)
    assert not farewell.done()
    began = time.monotonic()
    with pytest.raises(PeerLost):
        clinic._links["bank"].fail(PeerLost("bank", "gone"))
        clinic.receive("bank", 100)
    assert clinic._links["lab"].failure is None
    assert [type(error) for error in clinic.finish()] == [PeerLost]
    assert time.monotonic() - began < SAFETY
    lab._links["clinic"].fail(PeerLost("clinic", "the test is over"))
    assert len(farewell.result(SAFETY)) == 1
    assert bank.retries == {"clinic": 0}


def test_nothing_is_dialled_after_the_end(star: Any, proxies: Any) -> None:
    clinic, lab, proxy = star.clinic_and_labs(proxies, "lab")
    farewells = [star.later(transport.finish) for transport in (clinic, lab)]
    assert [farewell.result(SAFETY) for farewell in farewells] == [[], []]
    assert proxy.connections == 1
    until(lambda: not [t for t in threading.enumerate() if t.name in ("vsplit-dialler", "vsplit-listener")])
    assert star.seen["clinic"].losses == star.seen["lab"].losses == []
