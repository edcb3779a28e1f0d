"""Small sessions of every role that speaks: the same each time, in one thread, with all that crosses kept."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gmpy2 import is_prime

from benchmarks.faults_parts.mutate import received
from parties.checkpoints.local_state import LocalState
from parties.checkpoints.resuming import (
    agree_on_start_feature,
    agree_on_start_label,
    confirm_stored_feature,
    confirm_stored_label,
)
from parties.ledger.heads import agree_on_key_feature, agree_on_key_label, exchange_heads_feature, exchange_heads_label
from parties.ledger.ledger_state import LedgerState
from parties.ledger.signing import SessionBinding, Signer
from parties.network import codec
from parties.run.handshake import handshake_as_feature, handshake_as_label
from psi import (
    Limits,
    align_feature,
    align_label,
    exchange_shapes_feature,
    exchange_shapes_label,
    key_shapes,
    overlap_feature,
    overlap_label,
    receive_row_counts,
    send_row_counts,
)
from psi.keys import KeyList
from vsplit.aggregation import noise_pool, paillier_sum, receiver_for, sender_for
from vsplit.aggregation.interface import Aggregate, SecureSum
from vsplit.aggregation.secure_sum import Member
from vsplit.learn.batches import Split, split_by_seed
from vsplit.learn.feature import FeatureState, feature_role, receive_split
from vsplit.learn.label import LabelSide, LabelState, label_role, send_split
from vsplit.learn.models import InputShape, Store, build_bottom, build_top, tabular
from vsplit.learn.plan import Plan
from vsplit.learn.training import build_optimizer, make_target
from vsplit.paillier import keys
from vsplit.paillier.cipher import decrypt
from vsplit.paillier.keys import PrivateKey, generate
from vsplit.paillier.noise import noise_table
from vsplit.protocol import Bytes, Checkpoint, Collect, Message, Note, Receive, Role, Send, Work
from vsplit.sealing import Credentials, Seal, exchange_keys, relay_key_exchange

LABEL = "clinic"
ROWS, WIDTH = 40, 3

Begin = Callable[[], Role[Any]]


@dataclass(frozen=True, slots=True)
class Scene:
    """A session: `parties` has what begins each party's role anew, with the same entropy each time."""

    name: str
    parties: Mapping[str, Begin]


@dataclass(frozen=True, slots=True)
class Arrival:
    """What one receive of a role was answered with in the undisturbed session."""

    sender: str
    kind: type[Message]
    limit: int
    data: bytes


@dataclass(slots=True)
class Recording:
    """What crossed: for each party its arrivals in order."""

    arrivals: dict[str, list[Arrival]] = field(default_factory=lambda: defaultdict(list))


def record(parties: Mapping[str, Begin]) -> Recording:
    """Run all roles to their end, in turn, in one thread."""
    recording, roles = Recording(), {name: begin() for name, begin in parties.items()}
    queues: dict[tuple[str, str], deque[bytes]] = defaultdict(deque)
    waiting: dict[str, Any] = {name: next(role) for name, role in roles.items()}
    while waiting:
        moved = [_advance(name, roles[name], waiting, queues, recording) for name in list(waiting)]
        if not any(moved):
            raise RuntimeError(f"all of {sorted(waiting)} wait for each other")
    return recording


def _advance(
    name: str, role: Role[Any], waiting: dict[str, Any], queues: Mapping[Any, deque[bytes]], recording: Recording
) -> bool:
    """Run a role as far as it goes; whether it moved at all."""
    moved = False
    while True:
        effect = waiting[name]
        if isinstance(effect, Receive):
            if not queues[effect.sender, name]:
                return moved
            data = queues[effect.sender, name].popleft()
            recording.arrivals[name].append(Arrival(effect.sender, effect.kind, effect.limit, data))
            answer = codec.decode(received(data), effect.kind)
        elif isinstance(effect, Send):
            queues[name, effect.to].append(b"".join(codec.encode(effect.message)))
            answer = None
        else:
            answer = at_home(effect)
        moved = True
        try:
            waiting[name] = role.send(answer)
        except StopIteration:
            del waiting[name]
            return moved


def at_home(effect: Any) -> Any:
    """The answer to an effect that concerns nobody else."""
    match effect:
        case Work(function, pieces, later):
            return effect if later else [function(*piece) for piece in pieces]
        case Collect(ticket):
            if isinstance(ticket, Work):
                return [ticket.function(*piece) for piece in ticket.pieces]
        case Note() | Checkpoint():
            return None
    raise TypeError(f"{type(effect).__name__} is no effect that this knows")


def scenes() -> list[Scene]:
    """All sessions."""
    digests = {"command": b"0" * 16, "job": b"1" * 16}
    both = [KeyList.of([b"own %d" % n for n in range(9)]), KeyList.of([b"own %d" % n for n in range(4, 13)])]
    shapes = key_shapes(KeyList.of([b"person-%d" % n for n in range(500)]), 1)
    counts = np.arange(1, 9, dtype=np.int64)
    held = LocalState(b"a run of sixteen", True, (7, 14))
    split = split_by_seed(ROWS, (0.6, 0.2, 0.2), 0)
    ways: tuple[Aggregate, ...] = ("concat", "masked_sum", "paillier_sum")
    return [
        Scene(
            "greeting",
            {
                LABEL: partial(handshake_as_label, LABEL, ["lab"], digests),
                "lab": partial(handshake_as_feature, "lab", LABEL, digests),
            },
        ),
        Scene(
            "keys of the ledger",
            {
                LABEL: partial(agree_on_key_label, _LABS, _entropy("ledger")),
                **{name: partial(agree_on_key_feature, LABEL, _entropy(name)) for name in _LABS},
            },
        ),
        Scene("heads of the ledger", _heads()),
        Scene(
            "where to begin",
            {
                LABEL: partial(agree_on_start_label, LABEL, _LABS, held, bytes(16)),
                **{name: partial(agree_on_start_feature, name, LABEL, [LABEL, *_LABS], held) for name in _LABS},
            },
        ),
        Scene(
            "kept by all",
            {
                LABEL: partial(confirm_stored_label, _LABS, "alignment"),
                **{name: partial(confirm_stored_feature, LABEL, "alignment") for name in _LABS},
            },
        ),
        Scene("seals", _meeting()),
        Scene("alignment", _align(both)),
        Scene("alignment of three", _align([*both, both[1]])),
        Scene("overlap of three", _overlap([*both, both[1]])),
        Scene(
            "shapes of keys",
            {
                LABEL: partial(exchange_shapes_label, {"lab": 500}, shapes),
                "lab": partial(exchange_shapes_feature, LABEL, 500, shapes),
            },
        ),
        Scene(
            "row counts",
            {
                LABEL: partial(send_row_counts, ["lab"], counts),
                "lab": partial(receive_row_counts, LABEL, len(counts), 100),
            },
        ),
        Scene(
            "split by date",
            {LABEL: partial(send_split, ["lab"], split, ROWS), "lab": partial(receive_split, LABEL, ROWS)},
        ),
        *(
            Scene(f"training by {way}", {name: partial(_training, way, name) for name in (LABEL, *_LABS)})
            for way in ways
        ),
    ]


_LABS = ["lab0", "lab1"]
_LIMITS = Limits(min_list=1, max_list=1000, min_records=1)


def _entropy(seed: str) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def _meet(name: str) -> Role[dict[str, Seal]]:
    signers = {one: Ed25519PrivateKey.from_private_bytes(random.Random(one).randbytes(32)) for one in _LABS}
    identities = {one: signer.public_key().public_bytes_raw() for one, signer in signers.items()}
    return exchange_keys(LABEL, Credentials(name, signers[name].sign, identities, b"job", b"session"), _entropy(name))


def _meeting() -> dict[str, Begin]:
    return {LABEL: partial(relay_key_exchange, _LABS), **{name: partial(_meet, name) for name in _LABS}}


@cache
def _met() -> Recording:
    return record(_meeting())


def _seals(name: str) -> dict[str, Seal]:
    """The seals of a session in which nothing went wrong."""
    role, arrivals = _meet(name), iter(_met().arrivals[name])
    answer: Any = None
    try:
        while True:
            effect = role.send(answer)
            answer = None
            if isinstance(effect, Receive):
                arrival = next(arrivals)
                answer = codec.decode(received(arrival.data), arrival.kind)
    except StopIteration as end:
        seals: dict[str, Seal] = end.value
        return seals


def _heads() -> dict[str, Begin]:
    signers = {
        name: Ed25519PrivateKey.from_private_bytes(random.Random(name).randbytes(32)) for name in (LABEL, *_LABS)
    }
    binding = SessionBinding(
        b"job", b"session", {name: signer.public_key().public_bytes_raw() for name, signer in signers.items()}
    )

    def state(name: str) -> LedgerState:
        """How far a lab and the label party are with each other, as the lab (or else the label party) has it on record."""
        there, back = (4, b"4" * 32), (5, b"5" * 32)
        return LedgerState(9, b"9" * 32, *(there + back if name != LABEL else back + there))

    label = partial(
        exchange_heads_label, Signer(LABEL, binding, signers[LABEL].sign), dict.fromkeys(_LABS, state(LABEL)), _LABS
    )
    return {LABEL: label} | {
        name: partial(exchange_heads_feature, Signer(name, binding, signers[name].sign), state(name), LABEL)
        for name in _LABS
    }


def _align(lists: list[KeyList]) -> dict[str, Begin]:
    labs = _LABS[: len(lists) - 1]

    def begin(name: str, keys: KeyList) -> Role[Any]:
        entropy = _entropy(f"psi {name}")
        if name == LABEL:
            return align_label(LABEL, labs, keys, order_secret=bytes(32), random_bytes=entropy, limits=_LIMITS)
        seals = _seals(name) if len(labs) > 1 else {}
        return align_feature(name, LABEL, labs, keys, seals=seals, random_bytes=entropy, limits=_LIMITS)

    return {name: partial(begin, name, keys) for name, keys in zip((LABEL, *labs), lists, strict=True)}


def _overlap(lists: list[KeyList]) -> dict[str, Begin]:
    def begin(name: str, keys: KeyList) -> Role[Any]:
        entropy = _entropy(f"psi {name}")
        if name == LABEL:
            return overlap_label(LABEL, _LABS, keys, random_bytes=entropy, limits=_LIMITS)
        return overlap_feature(name, LABEL, _LABS, keys, seals=_seals(name), random_bytes=entropy, limits=_LIMITS)

    return {name: partial(begin, name, keys) for name, keys in zip((LABEL, *_LABS), lists, strict=True)}


def at_hand() -> None:
    """In this process, let what takes long be that of the last time: keys, tables, tests of a modulus, and plaintexts.

    A session would make its own. All but the keys are functions of their arguments alone, so nothing else comes of it.
    """
    paillier_sum.generate = key_at_hand  # type: ignore[attr-defined,assignment]
    paillier_sum.decrypt = decrypt_at_hand  # type: ignore[attr-defined]
    keys.is_prime = lru_cache(64)(is_prime)  # type: ignore[attr-defined,assignment]
    noise_pool.noise_table = lru_cache(4)(noise_table)  # type: ignore[attr-defined]


def key_at_hand(bits: int, _random_bytes: object) -> PrivateKey:
    """In place of `paillier_sum.generate`: a key takes a second to make, and every session may have the same here."""
    return _key(bits)


def decrypt_at_hand(key: PrivateKey, ciphertexts: Bytes) -> Bytes:
    """In place of `vsplit.paillier.cipher.decrypt`: most messages of a session are the recorded ones, as they always are."""
    return _decrypted(key, ciphertexts.shape, ciphertexts.tobytes()).copy()


@lru_cache(64)
def _decrypted(key: PrivateKey, shape: tuple[int, ...], ciphertexts: bytes) -> Bytes:
    return decrypt(key, np.frombuffer(ciphertexts, np.uint8).reshape(shape))


@cache
def _key(bits: int) -> PrivateKey:
    return generate(bits, _entropy("key"))


def _training(way: Aggregate, me: str) -> Role[Any]:
    plan, split, entropy = _plan(way), _split(), _entropy(f"training {me}")
    bottom, top = _fresh_models(plan, me)
    if me != LABEL:
        seals = {} if way == "concat" else _seals(me)
        sender = sender_for(plan.cut, Member(me, LABEL, _LABS, seals, entropy, run_name=b"run", shared=b""))
        held = FeatureState(bottom, build_optimizer(plan, bottom.parameters()))
        return feature_role(LABEL, held, _store(me), split, plan, sender)
    state = LabelState(bottom, top, build_optimizer(plan, [*bottom.parameters(), *top.parameters()]))
    receiver = receiver_for(plan.cut, LABEL, _LABS, random_bytes=entropy)
    return label_role(_LABS, state, _label_side(), split, plan, receiver, lambda step: step == 1)


@cache
def _plan(way: Aggregate) -> Plan:
    secure = SecureSum(key_bits=2048, noise="short") if way == "paillier_sum" else SecureSum()
    return Plan(
        task="binary", contributors=(LABEL, *_LABS), aggregate=way, secure_sum=None if way == "concat" else secure,
        width=WIDTH, top_hidden=(4,), epochs=1, batch_size=16, lr=0.01, patience=2,
    )  # fmt: skip


@cache
def _split() -> Split:
    return split_by_seed(ROWS, (0.6, 0.2, 0.2), 0)


@cache
def _tables() -> dict[str, npt.NDArray[np.float32]]:
    rng = np.random.default_rng(3)
    return {name: rng.standard_normal((ROWS, 2)).astype(np.float32) for name in (LABEL, *_LABS)}


@cache
def _store(me: str) -> Store:
    return Store(_tables()[me])


@cache
def _label_side() -> LabelSide:
    signal: npt.NDArray[np.float32] = np.sum([table[:, 0] for table in _tables().values()], 0)
    labels = (signal > 0).astype(np.float32)
    return LabelSide(LABEL, _store(LABEL), make_target(_plan("concat"), labels, _split().train))


def _fresh_models(plan: Plan, me: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """A party's models as they are before training. Each time they are the same ones: the last role with them has ended."""
    models, weights = _models(plan, me)
    with torch.no_grad():
        for parameter, weight in zip((one for model in models for one in model.parameters()), weights, strict=True):
            parameter.copy_(weight)
            parameter.grad = None
    return models


@cache
def _models(plan: Plan, me: str) -> tuple[tuple[torch.nn.Module, torch.nn.Module], list[torch.Tensor]]:
    torch.manual_seed(plan.contributors.index(me))
    models = build_bottom(tabular([3]), InputShape(2), WIDTH), build_top(plan, 1)
    return models, [one.detach().clone() for model in models for one in model.parameters()]
