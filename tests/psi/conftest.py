"""Runs the roles of an alignment in one thread, in a fixed order, and records what crosses."""

import random
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from psi import Limits, align_feature, align_label, overlap_feature, overlap_label
from psi.keys import KeyList
from vsplit.protocol import Collect, Deadlock, Message, Note, ProtocolError, Receive, Role, Send, Work, array_fields
from vsplit.sealing import TAG, Credentials, Place, Seal, Sealed, exchange_keys, relay_key_exchange

Tamper = Callable[[str, str, Message], list[Message]]
Inside = Callable[[str, str, Place, np.ndarray], np.ndarray]

LABEL = "clinic"
SECRET = bytes(range(32))


@dataclass
class Session:
    """What happened: each party's result, each message as (sender, receiver, message), each note, and the content of
    each sealed message as (sender, receiver, place, content)."""

    tamper: Tamper
    results: dict[str, Any] = field(default_factory=dict)
    transcript: list[tuple[str, str, Message]] = field(default_factory=list)
    notes: list[tuple[str, Note]] = field(default_factory=list)
    opened: list[tuple[str, str, Place, np.ndarray]] = field(default_factory=list)

    def shape(self) -> list[tuple[Any, ...]]:
        """The transcript without its contents: kinds, ways, array shapes, announced sizes."""
        return [
            (
                sender,
                to,
                type(message).__name__,
                getattr(message, "records", None) if isinstance(getattr(message, "records", None), int) else None,
                *(getattr(message, name).shape for name in array_fields(type(message))),
            )
            for sender, to, message in self.transcript
        ]

    def sent(self, sender: str, to: str, kind: type[Message], name: str) -> np.ndarray:
        """The array field `name` of all messages of this kind on this way, joined."""
        return np.concatenate(
            [getattr(m, name) for s, t, m in self.transcript if (s, t) == (sender, to) and type(m) is kind]
        )


def play(
    roles: Mapping[str, Role[Any]],
    tamper: Tamper = lambda _sender, _to, message: [message],
    session: Session | None = None,
) -> Session:
    """Step each role as far as it goes, in turn, until all have ended; what a role raises is raised here.

    `tamper` stands for a hostile sender: it says which messages go instead of the one that the role sent.
    """
    session = session or Session(tamper)
    session.tamper = tamper
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


class Watched:
    """A seal that records what it carries, lets `inside` change it before it is sealed, and may be no seal at all."""

    def __init__(self, me: str, seal: Seal, session: Session, inside: Inside, sealed: bool) -> None:
        self.me, self.actual, self.session, self.inside, self.sealed = me, seal, session, inside, sealed

    def seal(self, place: Place, content: np.ndarray) -> Sealed:
        raw = np.ascontiguousarray(content).reshape(-1)
        raw = self.inside(self.me, self.actual.peer, place, raw)
        self.session.opened.append((self.me, self.actual.peer, place, raw))
        if self.sealed:
            return self.actual.seal(place, raw)
        return Sealed(sequence=0, box=np.concatenate([raw, np.zeros(TAG, np.uint8)]))

    def open(self, place: Place, message: Sealed) -> np.ndarray:
        return self.actual.open(place, message) if self.sealed else message.box[:-TAG]


def align(
    label_keys,
    *feature_keys,
    secret=SECRET,
    seed=0,
    limits=Limits(max_list=10**6),  # noqa: B008 - it is frozen
    feature_limits=None,
    only_overlap=False,
    inside=lambda _sender, _to, _place, content: content,
    sealed=True,
    runner=None,
    **hostile,
) -> Session:
    """An alignment of the label party with one feature party for each list: lab0, lab1, ..."""
    names = [f"lab{number}" for number in range(len(feature_keys))]
    signers = {name: Ed25519PrivateKey.from_private_bytes(seeded(name)(32)) for name in names}
    publics = {name: signer.public_key().public_bytes_raw() for name, signer in signers.items()}
    session = Session(lambda _sender, _to, message: [message])

    def label() -> Role[Any]:
        bounds = {"random_bytes": seeded((seed, LABEL)), "limits": limits}
        if len(names) > 1:
            yield from relay_key_exchange(names)
        if only_overlap:
            return (yield from overlap_label(LABEL, names, KeyList.of(label_keys), **bounds))
        return (yield from align_label(LABEL, names, KeyList.of(label_keys), order_secret=secret, **bounds))

    def feature(name: str, keys: list[bytes]) -> Role[Any]:
        bounds = {"random_bytes": seeded((seed, name)), "limits": feature_limits or limits}
        seals: dict[str, Any] = {}
        if len(names) > 1:
            mine = Credentials(name, signers[name].sign, publics, b"job", b"session")
            seals = yield from exchange_keys(LABEL, mine, seeded((seed, name, "fresh keys")))
            seals = {to: Watched(name, seal, session, inside, sealed) for to, seal in seals.items()}
        role = overlap_feature if only_overlap else align_feature
        return (yield from role(name, LABEL, names, KeyList.of(keys), seals=seals, **bounds))

    roles = {LABEL: label(), **{name: feature(name, keys) for name, keys in zip(names, feature_keys, strict=True)}}
    return (runner or play)(roles, session=session, **hostile)


@pytest.fixture(name="align", scope="session")
def align_fixture():
    return align


@pytest.fixture(name="play", scope="session")
def play_fixture():
    return play


@pytest.fixture(name="seeded", scope="session")
def seeded_fixture():
    return seeded
