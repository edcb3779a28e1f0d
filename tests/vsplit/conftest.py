"""A stage for learning roles: they run in threads over the in-memory network, and what they send is kept.

And a federation of a bank and two or more feature parties on made-up data, whose embeddings take any way.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from parties.network.driver import drive
from parties.network.memory import MemoryNetwork
from parties.network.worker_pool import Pool
from vsplit.aggregation import receiver_for, sender_for
from vsplit.aggregation.interface import SecureSum
from vsplit.aggregation.secure_sum import Member
from vsplit.learn.batches import Split, split_by_seed
from vsplit.learn.checkpoint import to_bytes
from vsplit.learn.feature import FeatureState, feature_role
from vsplit.learn.label import Due, LabelSide, LabelState, label_role, never
from vsplit.learn.models import InputShape, Store, build_bottom, build_top, tabular
from vsplit.learn.plan import Plan
from vsplit.learn.training import build_optimizer, make_target
from vsplit.protocol import Checkpoint, Note, Role, Send
from vsplit.sealing import Credentials, Seal, exchange_keys, relay_key_exchange

Sent = list[tuple[str, str, bytes]]


class Stage:
    """Runs roles to their end. `results` has each party's result or the exception that ended it."""

    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder
        self.results: dict[str, Any] = {}
        self.sent: Sent = []
        self.notes: list[tuple[str, Note]] = []
        self.kept: dict[int, dict[str, bytes]] = {}  # by step and party, what each would write down there

    def play(self, roles: dict[str, Role[Any]]) -> dict[str, Any]:
        """Run all roles and return their results; raises the first failure."""
        self.play_on(roles)
        for result in self.results.values():
            if isinstance(result, Exception):
                raise result
        return self.results

    def keep(self, name: str, checkpoint: Checkpoint) -> None:
        """Keep a state as bytes."""
        assert isinstance(checkpoint.state, LabelState | FeatureState)
        self.kept.setdefault(checkpoint.step, {})[name] = to_bytes(checkpoint.state)

    def play_on(self, roles: dict[str, Role[Any]]) -> None:
        """Run all roles, whatever becomes of them."""
        network = MemoryNetwork(list(roles))

        def live(name: str) -> None:
            transport = self._recorder(network.endpoint(name), lambda to, data: self.sent.append((name, to, data)))
            try:
                self.results[name] = drive(
                    roles[name],
                    transport,
                    Pool(),
                    note=lambda note: self.notes.append((name, note)),
                    checkpoint=lambda checkpoint: self.keep(name, checkpoint),
                )
                transport.finish()
            except Exception as error:
                self.results[name] = error
                transport.stop("error")

        threads = [threading.Thread(target=live, args=(name,)) for name in roles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@pytest.fixture
def stage(recorder: Any) -> Stage:
    """A fresh stage."""
    return Stage(recorder)


@pytest.fixture
def new_stage(recorder: Any) -> Callable[[], Stage]:
    """For tests that need several stages."""
    return lambda: Stage(recorder)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


ROWS = 90
LABEL_PARTY = "bank"
RUN = b"a run of sixteen"

# What becomes of a message on its way: (sender, receiver, message) to the message that arrives, None for none at all.
Change = Callable[[str, str, Any], Any]


def changed(me: str, role: Role[Any], change: Change) -> Role[Any]:
    """`role`, but what it sends passes through `change`."""
    answer: Any = None
    try:
        effect = next(role)
        while True:
            if isinstance(effect, Send):
                message = change(me, effect.to, effect.message)
                if message is not None:
                    yield Send(effect.to, message)
                answer = None
            else:
                try:
                    answer = yield effect
                except Exception as error:
                    effect = role.throw(error)
                    continue
            effect = role.send(answer)
    except StopIteration as end:
        return end.value


class Federation:
    """A bank with labels and perhaps features, and feature parties; with the same `data` their rows are the same."""

    def __init__(
        self,
        aggregate: Any,
        feature_parties: tuple[str, ...] = ("bills", "pays"),
        *,
        data: int = 5,
        bank_has_features: bool = True,
        due: Due = never,
        **changes: Any,
    ) -> None:
        settings = SecureSum(**changes.pop("secure_sum", {}))
        values: dict[str, Any] = {
            "task": "binary", "width": 4, "top_hidden": (6,), "epochs": 2, "batch_size": 32, "lr": 0.01,
            "secure_sum": None if aggregate in ("concat", "sum") else settings,
        }  # fmt: skip
        self.parties = feature_parties
        self.due = due
        contributors = (*([LABEL_PARTY] if bank_has_features else []), *feature_parties)
        self.plan = Plan(aggregate=aggregate, contributors=contributors, **(values | changes))
        rng = np.random.default_rng(data)
        self.split = split_by_seed(ROWS, (0.6, 0.2, 0.2), 0)
        self.told_split: dict[str, Split] = {}  # by party, where the bank tells one of them another split
        self.told_counts: dict[str, bytes] = {}  # likewise, a digest of the numbers of rows
        self.told_run: dict[str, bytes] = {}  # likewise, the name of the run
        tables = {name: rng.standard_normal((ROWS, 3)).astype(np.float32) for name in self.plan.contributors}
        labels = (sum(table[:, 0] for table in tables.values()) > 0).astype(np.float32)
        torch.manual_seed(7)
        bottoms = {name: build_bottom(tabular([5]), InputShape(3), self.plan.width) for name in tables}
        top = build_top(self.plan, 1)
        own = bottoms.pop(LABEL_PARTY, None)
        parameters = [*(own.parameters() if own is not None else []), *top.parameters()]
        self.label = LabelState(own, top, build_optimizer(self.plan, parameters))
        store = None if own is None else Store(tables[LABEL_PARTY])
        self.side = LabelSide(LABEL_PARTY, store, make_target(self.plan, labels, self.split.train))
        self.stores = {name: Store(tables[name]) for name in feature_parties}
        self.states = {
            name: FeatureState(bottom, build_optimizer(self.plan, bottom.parameters()))
            for name, bottom in bottoms.items()
        }
        self._signers = {
            name: Ed25519PrivateKey.from_private_bytes(random.Random(name).randbytes(32)) for name in feature_parties
        }

    def roles(self, change: Change | None = None) -> dict[str, Role[Any]]:
        """Every party's whole training, the agreement on seals included."""
        roles = {LABEL_PARTY: self._label(), **{name: self._feature(name) for name in self.parties}}
        return roles if change is None else {name: changed(name, role, change) for name, role in roles.items()}

    def weights(self) -> dict[str, torch.Tensor]:
        """All parties' weights, by party and name."""
        modules = {"top": self.label.top, LABEL_PARTY: self.label.bottom}
        modules |= {name: state.bottom for name, state in self.states.items()}
        return {
            f"{party}.{name}": tensor.clone()
            for party, module in modules.items()
            if module is not None
            for name, tensor in module.state_dict().items()
        }

    def relay_key_exchange(self) -> Role[None]:
        """The bank's part in the agreement on seals."""
        return relay_key_exchange(self.parties)

    def exchange_keys(self, name: str) -> Role[dict[str, Seal]]:
        """A feature party's part in it."""
        identities = {each: signer.public_key().public_bytes_raw() for each, signer in self._signers.items()}
        mine = Credentials(name, self._signers[name].sign, identities, b"job", b"session")
        return exchange_keys(LABEL_PARTY, mine, entropy(name))

    def _label(self) -> Role[Any]:
        yield from self.relay_key_exchange()
        receiver = receiver_for(self.plan.cut, LABEL_PARTY, self.parties, random_bytes=entropy("bank"))
        return (yield from label_role(self.parties, self.label, self.side, self.split, self.plan, receiver, self.due))

    def _feature(self, name: str) -> Role[Any]:
        seals = yield from self.exchange_keys(name)
        member = Member(
            name,
            LABEL_PARTY,
            self.parties,
            seals,
            entropy(f"{name} {id(self)}"),
            self.told_run.get(name, RUN),
            self.told_counts.get(name, b""),
        )
        sender = sender_for(self.plan.cut, member)
        split = self.told_split.get(name, self.split)
        return (yield from feature_role(LABEL_PARTY, self.states[name], self.stores[name], split, self.plan, sender))


def entropy(seed: str) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


@pytest.fixture
def federation() -> type[Federation]:
    """Makes a federation: `federation("masked_sum")`."""
    return Federation
