"""Runs the roles of an alignment in one thread, in a fixed order, and records what crosses."""

import json
import random
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from psi import Alignment, align_feature, align_label
from vsplit.protocol import Collect, Deadlock, Message, Note, ProtocolError, Receive, Role, Send, Work, array_fields

Tamper = Callable[[str, str, Message], list[Message]]

LABEL = "clinic"
SECRET = bytes(range(32))


@dataclass
class Session:
    """What happened: each party's result, each message as (sender, receiver, message), each note."""

    tamper: Tamper
    results: dict[str, Any] = field(default_factory=dict)
    transcript: list[tuple[str, str, Message]] = field(default_factory=list)
    notes: list[tuple[str, Note]] = field(default_factory=list)

    def shape(self) -> list[tuple[Any, ...]]:
        """The transcript without its contents: kinds, ways, array shapes, announced sizes."""
        return [
            (
                sender,
                to,
                type(message).__name__,
                getattr(message, "records", None),
                *(getattr(message, name).shape for name in array_fields(type(message))),
            )
            for sender, to, message in self.transcript
        ]

    def sent(self, sender: str, to: str, kind: type[Message], name: str) -> np.ndarray:
        """The array field `name` of all messages of this kind on this way, joined."""
        return np.concatenate(
            [getattr(m, name) for s, t, m in self.transcript if (s, t) == (sender, to) and type(m) is kind]
        )


def play(roles: Mapping[str, Role[Any]], tamper: Tamper = lambda _sender, _to, message: [message]) -> Session:
    """Step each role as far as it goes, in turn, until all have ended; what a role raises is raised here.

    `tamper` stands for a hostile sender: it says which messages go instead of the one that the role sent.
    """
    session = Session(tamper)
    queues: dict[tuple[str, str], deque[Message]] = defaultdict(deque)
    waiting: dict[str, Any] = {name: next(role) for name, role in roles.items()}
    try:
        while waiting:
            moved = False
            for name in list(waiting):
                moved |= _advance(name, roles[name], waiting, queues, session)
            if not moved:
                raise Deadlock("all", f"every one of {sorted(waiting)} waits")
    finally:
        for role in roles.values():
            role.close()
    assert not any(queues.values()), "a message was never read"
    return session


def _advance(name, role, waiting, queues, session) -> bool:
    moved = False
    while True:
        effect = waiting[name]
        if isinstance(effect, Receive) and not queues[effect.sender, name]:
            return moved
        moved = True
        try:
            waiting[name] = role.send(_answer(name, effect, queues, session))
        except StopIteration as end:
            session.results[name] = end.value
            del waiting[name]
            return True


def _answer(name, effect, queues, session) -> Any:
    match effect:
        case Send(to, message):
            for went in session.tamper(name, to, message):
                session.transcript.append((name, to, went))
                queues[name, to].append(went)
        case Receive(sender, kind, limit):
            message = queues[sender, name].popleft()
            size = sum(getattr(message, array).nbytes for array in array_fields(type(message)))
            if type(message) is not kind or size > limit:
                raise ProtocolError(sender, f"{sender} sent a {type(message).__name__}, {kind.__name__} was due")
            return message
        case Work(function, pieces, later):
            if later:
                return (function, pieces)
            return [function(*piece) for piece in pieces]
        case Collect((function, pieces)):
            return [function(*piece) for piece in pieces]
        case Note():
            session.notes.append((name, effect))
    return None


def seeded(seed: object) -> Callable[[int], bytes]:
    """Entropy for a test: the same for the same seed."""
    return random.Random(repr(seed)).randbytes


def align(label_keys, *feature_keys, secret=SECRET, seed=0, max_records=10**6, min_records=1, **hostile) -> Session:
    """An alignment of the label party with one feature party for each list: lab0, lab1, ..."""
    names = [f"lab{number}" for number in range(len(feature_keys))]
    bounds = {"max_records": max_records, "min_records": min_records}
    roles: dict[str, Role[Alignment]] = {
        LABEL: align_label(names, label_keys, order_secret=secret, random_bytes=seeded((seed, LABEL)), **bounds)
    }
    for name, keys in zip(names, feature_keys, strict=True):
        roles[name] = align_feature(LABEL, keys, random_bytes=seeded((seed, name)), **bounds)
    return play(roles, **hostile)


@pytest.fixture(name="align", scope="session")
def align_fixture():
    return align


@pytest.fixture(name="play", scope="session")
def play_fixture():
    return play


@pytest.fixture(name="seeded", scope="session")
def seeded_fixture():
    return seeded


@pytest.fixture(scope="session")
def vectors():
    """Reads a file of outside vectors."""
    folder = Path(__file__).parent.parent / "vectors"
    return lambda name: json.loads((folder / name).read_text())
