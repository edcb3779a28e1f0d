"""The network in memory: it knows when nobody can go on, and says who waits for what."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from parties.network.memory import MemoryNetwork
from vsplit.protocol import Deadlock, PeerLost, ProtocolError, StoppedError

ONE = [memoryview(b"one")]


def together(*calls: Callable[[], Any]) -> list[Exception | None]:
    """Run all calls at once; what each raised."""
    errors: list[Exception | None] = [None] * len(calls)

    def run(place: int) -> None:
        try:
            calls[place]()
        except Exception as error:
            errors[place] = error

    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "a party hangs"
    return errors


def test_parties_that_all_wait_are_told_who_waits_for_what() -> None:
    network = MemoryNetwork(["clinic", "lab", "bank"])
    clinic, lab, bank = (network.endpoint(name) for name in ("clinic", "lab", "bank"))
    errors = together(
        lambda: clinic.receive("lab", 10), lambda: lab.receive("clinic", 10), lambda: bank.receive("clinic", 10)
    )
    sentence = (
        "No party can continue: bank waits for a message from clinic; clinic waits for a message from lab; "
        "lab waits for a message from clinic."
    )
    for error in errors:
        assert isinstance(error, Deadlock)
        assert str(error) == sentence


def test_two_parties_that_both_wait_for_room_are_a_deadlock_too() -> None:
    network = MemoryNetwork(["clinic", "lab"], queue=5)
    clinic, lab = network.endpoint("clinic"), network.endpoint("lab")

    def fill(endpoint: Any, to: str) -> None:
        for _ in range(3):
            endpoint.send(to, ONE)

    errors = together(lambda: fill(clinic, "lab"), lambda: fill(lab, "clinic"))
    for error in errors:
        assert isinstance(error, Deadlock)
        assert "clinic waits for room to send to lab; lab waits for room to send to clinic" in str(error)


def test_the_last_one_who_waits_when_the_others_have_left_is_told_so() -> None:
    network = MemoryNetwork(["clinic", "lab", "bank"])
    clinic, bank = network.endpoint("clinic"), network.endpoint("bank")
    errors = together(lambda: clinic.receive("lab", 10), bank.finish, network.endpoint("lab").finish)
    assert isinstance(errors[0], ProtocolError)
    assert errors[0].peer == "lab"


def test_a_party_that_waits_while_another_works_is_no_deadlock() -> None:
    network = MemoryNetwork(["clinic", "lab"])
    clinic, lab = network.endpoint("clinic"), network.endpoint("lab")
    started = threading.Event()

    def work_then_send() -> None:
        started.wait(20)
        lab.send("clinic", ONE)

    def wait_for_it() -> None:
        started.set()
        assert clinic.receive("lab", 10).tobytes() == b"one"

    assert together(wait_for_it, work_then_send) == [None, None]


def test_a_party_that_is_killed_is_lost_to_all_others() -> None:
    network = MemoryNetwork(["clinic", "lab", "bank"])
    clinic, bank = network.endpoint("clinic"), network.endpoint("bank")
    errors = together(
        lambda: clinic.receive("lab", 10), lambda: bank.receive("clinic", 10), lambda: network.kill("lab")
    )
    for error in errors[:2]:
        assert isinstance(error, PeerLost)
        assert error.peer == "lab"
    with pytest.raises(PeerLost):
        clinic.send("bank", ONE)


def test_what_came_before_a_stop_is_still_handed_out() -> None:
    network = MemoryNetwork(["clinic", "lab"])
    clinic, lab = network.endpoint("clinic"), network.endpoint("lab")
    lab.send("clinic", ONE)
    lab.stop("mismatch")
    assert clinic.receive("lab", 100).tobytes() == b"one"
    with pytest.raises(
        StoppedError, match="lab stopped the session: it reports that the parties do not run the same job"
    ):
        clinic.receive("lab", 100)
