"""Networks of parties for the tests: the same roles over memory and over mutual TLS on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from parties.network.driver import Traffic, drive
from parties.network.identity import PrivateIdentity
from parties.network.memory import MemoryNetwork
from parties.network.peer_connections import PartyListener, dial
from parties.network.route import Address
from parties.network.transport import Transport
from parties.network.worker_pool import Pool
from parties.run import preparation
from tests.parties.world import no_report, signals_as_before, three, world  # noqa: F401  fixtures of all tests below
from vsplit.protocol import Role, VsplitError

WAIT = 10.0


def nobody_waits(_names: object, _left: float) -> None:
    """A `waiting` callback that shows nothing."""


class Outcome:
    """What became of each party: its result, or the exception that ended it."""

    def __init__(self) -> None:
        self.results: dict[str, Any] = {}
        self.errors: dict[str, BaseException] = {}
        self.farewells: dict[str, list[VsplitError]] = {}
        self.traffic: dict[str, Traffic] = {}

    def all(self) -> dict[str, Any]:
        """The results, if no party failed."""
        for error in self.errors.values():
            raise error
        return self.results


Open = Callable[[str], Transport]


def run_parties(roles: Mapping[str, Role[Any]], open_transport: Open) -> Outcome:
    """Run every role in a thread of its own until all have ended."""
    outcome = Outcome()

    def live(name: str, role: Role[Any]) -> None:
        traffic = outcome.traffic[name] = Traffic()
        try:
            transport = open_transport(name)
        except VsplitError as error:
            outcome.errors[name] = error
            return
        try:
            outcome.results[name] = drive(role, transport, Pool(), traffic=traffic)
            outcome.farewells[name] = transport.finish()
        except Exception as error:
            outcome.errors[name] = error
            transport.stop(error.reason_code if isinstance(error, VsplitError) else "error")

    threads = [threading.Thread(target=live, args=item, daemon=True) for item in roles.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a party hangs"
    return outcome


class Networks:
    """Opens transports for parties of which the first name is the label party."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def run(self, roles: Mapping[str, Role[Any]]) -> Outcome:
        """Run the roles over a fresh network."""
        return run_parties(roles, self.opener(list(roles)))

    def opener(self, names: list[str]) -> Open:
        """A function that opens the transport of one of `names`; to be called in that party's thread."""
        if self.kind == "memory":
            network = MemoryNetwork(names)
            return network.endpoint
        keys = {name: PrivateIdentity.generate() for name in names}
        label, *features = names
        listener = PartyListener(
            keys[label], Address("127.0.0.1", 0), {name: keys[name].public for name in features}, WAIT
        )
        address = Address("127.0.0.1", listener.port)

        def open_transport(name: str) -> Transport:
            if name == label:
                return listener.gather(nobody_waits)
            return dial(keys[name], label, keys[label].public, address, wait=WAIT, waiting=nobody_waits)

        return open_transport


@pytest.fixture(params=["memory", "tls"])
def networks(request: pytest.FixtureRequest) -> Networks:
    """Each test that asks for this runs over memory and over TLS."""
    return Networks(request.param)


@pytest.fixture
def one_builds_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parties are processes, each with a random state of torch's of its own; as threads they must take turns."""
    turn = threading.Lock()
    seed, build = preparation.runtime.seed, preparation.build_optimizer

    def seed_in_turn(number: int) -> None:
        turn.acquire()
        seed(number)

    def build_and_pass(plan: Any, parameters: Any) -> Any:
        try:
            return build(plan, parameters)
        finally:
            turn.release()

    monkeypatch.setattr(preparation.runtime, "seed", seed_in_turn)
    monkeypatch.setattr(preparation, "build_optimizer", build_and_pass)
