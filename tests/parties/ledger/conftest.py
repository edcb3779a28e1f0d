"""Two parties with ledgers that talk over memory, and files that tests may tamper with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest

from parties.checkpoints.resuming import confirm_stored_feature, confirm_stored_label
from parties.ledger.heads import (
    HeadPair,
    agree_on_key_feature,
    agree_on_key_label,
    exchange_heads_feature,
    exchange_heads_label,
)
from parties.ledger.ledger import Ledger
from parties.ledger.opening import About
from parties.network.driver import drive
from parties.network.identity import PrivateIdentity
from parties.network.memory import MemoryNetwork
from parties.network.worker_pool import Pool
from vsplit.protocol import Array, Bytes, Message, Role, Send, receive

JOB = bytes(range(32))
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Verdictlet(Message, frozen=True, kw_only=True, eq=False):
    """A message with so few contents that a plain hash of it would give them away."""

    reveals: ClassVar[str] = "one bit"

    yes: bool


class Parcel(Message, frozen=True, kw_only=True, eq=False):
    """A message of any size."""

    reveals: ClassVar[str] = "the test's own bytes"

    data: Annotated[Bytes, Array("uint8", (None,))]


class Pairs:
    """A label party `clinic` and feature parties, each with a key and a ledger in `folder`."""

    Verdictlet, Parcel = Verdictlet, Parcel

    def __init__(self, folder: Path, features: Sequence[str] = ("lab",)) -> None:
        self.folder = folder
        self.features = tuple(features)
        self.names = ("clinic", *features)
        self.keys = {name: PrivateIdentity.generate() for name in self.names}
        self.session = 0
        self.resend: set[str] = set()
        """Who makes its link anew in each session, after the first round."""

    def path(self, name: str) -> Path:
        """The ledger of this party."""
        return self.folder / f"{name}.jsonl"

    def about(self, name: str) -> About:
        """What this party's ledger says of itself."""
        identities = {one: key.public.line for one, key in self.keys.items()}
        role: Any = "label" if name == "clinic" else "feature"
        return About(name, role, "test", JOB, identities, self.keys[name].sign)

    def open(self, name: str) -> Ledger:
        """This party's ledger, new or gone on with; its clock ticks by a second."""
        ticks = iter(BEGAN + timedelta(seconds=number) for number in range(10**6))
        return Ledger.open(self.path(name), self.about(name), lambda: next(ticks))

    def session_name(self) -> bytes:
        """The name of the session that goes on."""
        return self.session.to_bytes(16, "big")

    def talk(
        self, rounds: int = 3, *, end: bool = True, heads: bool = True, yes: Sequence[bool] = (True, False)
    ) -> None:
        """One session of all parties: keys, some rounds of messages with heads after each, and the end.

        Unless it has an end nothing is final, as where all parties are killed. Without rounds it began no run.
        """
        self.session += 1
        network = MemoryNetwork(self.names)
        failures: list[BaseException] = []

        def live(name: str) -> None:
            ledger, transport = self.open(name), network.endpoint(name)
            ledger.begin_session(self.session_name())

            def run(role: Role[Any]) -> Any:
                return drive(role, transport, Pool(), ledger=ledger)

            try:
                self._agree(name, ledger, run)
                for number in range(rounds):
                    run(_label(self.features, number, yes) if name == "clinic" else _feature(number))
                    if number == 0 and name in self.resend:
                        ledger.resent(self.features[0] if name == "clinic" else "clinic", 1, 2, 500)
                    if heads:
                        self.exchange(name, ledger, run, final=end and number == rounds - 1)
                if end and heads and rounds:
                    run(
                        confirm_stored_label(self.features, "final")
                        if name == "clinic"
                        else confirm_stored_feature("clinic", "final")
                    )
                transport.finish()
                if end:
                    ledger.end_session("finished")
                ledger.close()
            except BaseException as error:
                failures.append(error)
                transport.stop("error")

        threads = [threading.Thread(target=live, args=(name,), daemon=True) for name in self.names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a party hangs"
        for failure in failures:
            raise failure

    def _agree(self, name: str, ledger: Ledger, run: Callable[[Role[Any]], Any]) -> None:
        binding = ledger.signer.binding
        if name == "clinic":
            for peer, (own, theirs) in run(agree_on_key_label(self.features, _entropy)).items():
                ledger.set_key(peer, binding.pair_key(name, peer, own, theirs))
        else:
            theirs, own = run(agree_on_key_feature("clinic", _entropy))
            ledger.set_key("clinic", binding.pair_key("clinic", name, theirs, own))

    def exchange(self, name: str, ledger: Ledger, run: Callable[[Role[Any]], Any], *, final: bool = False) -> None:
        """Heads, signed and kept by both sides."""
        heads: dict[str, HeadPair]
        if name == "clinic":
            states = {peer: ledger.state_with(peer) for peer in self.features}
            heads = run(exchange_heads_label(ledger.signer, states, self.features, final=final))
        else:
            role = exchange_heads_feature(ledger.signer, ledger.state_with("clinic"), "clinic", final=final)
            heads = {"clinic": run(role)}
        ledger.append_heads(heads)


def _entropy(count: int) -> bytes:
    return np.random.default_rng().bytes(count)


def _label(features: Sequence[str], number: int, yes: Sequence[bool]) -> Role[None]:
    for party in features:
        parcel = yield from receive(party, Parcel, 1 << 20)
        assert len(parcel.data) == number * 1000
    for party in features:
        for one in yes:
            yield Send(party, Verdictlet(yes=one))


def _feature(number: int) -> Role[None]:
    yield Send("clinic", Parcel(data=np.full(number * 1000, 7, np.uint8)))
    yield from receive("clinic", Verdictlet, 100)
    yield from receive("clinic", Verdictlet, 100)


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    """A clinic and a lab that have not talked yet."""
    return Pairs(tmp_path)


@pytest.fixture
def make_pairs(tmp_path: Path) -> Iterator[Callable[..., Pairs]]:
    """Makes worlds of more parties."""
    yield lambda *features: Pairs(tmp_path, features)


@pytest.fixture(scope="session")
def pairs_class() -> type[Pairs]:
    """The class, for worlds that several tests share."""
    return Pairs
