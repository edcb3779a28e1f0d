"""Sealed hops: the agreement on keys, and every way in which a relay could interfere with either."""

from __future__ import annotations

import copy
import pickle
import random
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vsplit.protocol import Message, ProtocolError, Receive, Send
from vsplit.sealing import (
    Credentials,
    FreshKeys,
    KeyProofs,
    Place,
    Seal,
    Sealed,
    exchange_keys,
    pass_on,
    relay_key_exchange,
)
from vsplit.sealing.key_exchange import _PROOF, _statement

RELAY = "clinic"
NAMES = ["a", "b", "c"]
SIGNERS = {
    name: Ed25519PrivateKey.from_private_bytes(random.Random(name).randbytes(32)) for name in [*NAMES, "stranger"]
}
PUBLIC = {name: signer.public_key().public_bytes_raw() for name, signer in SIGNERS.items()}
HERE = Place("test")

Change = Callable[[str, str, Message], Message]


def unchanged(_sender: str, _to: str, message: Message) -> Message:
    return message


def credentials(name: str, **changes: Any) -> Credentials:
    fields = {"job": b"job", "session": b"session", "identities": {each: PUBLIC[each] for each in NAMES}}
    return Credentials(me=name, sign=SIGNERS[name].sign, **(fields | changes))


def agree(
    change: Change = unchanged, names: list[str] = NAMES, mine: dict[str, Credentials] | None = None
) -> dict[str, dict[str, Seal]]:
    """All parties agree on keys by way of the relay; `change` is what happens on the way."""
    roles: dict[str, Any] = {RELAY: relay_key_exchange(names)}
    for name in names:
        roles[name] = exchange_keys(RELAY, (mine or {}).get(name, credentials(name)), random.Random(name).randbytes)
    queues: dict[tuple[str, str], deque[Message]] = defaultdict(deque)
    results: dict[str, Any] = {}
    waiting = {name: next(role) for name, role in roles.items()}
    while waiting:
        for name in list(waiting):
            effect, answer = waiting[name], None
            if isinstance(effect, Receive):
                if not queues[effect.sender, name]:
                    continue
                answer = queues[effect.sender, name].popleft()
                assert isinstance(answer, effect.kind)
            else:
                assert isinstance(effect, Send)
                queues[name, effect.to].append(change(name, effect.to, effect.message))
            try:
                waiting[name] = roles[name].send(answer)
            except StopIteration as end:
                results[name] = end.value
                del waiting[name]
    return results


def content(length: int = 100) -> np.ndarray[Any, Any]:
    return np.arange(length, dtype=np.uint8)


@pytest.fixture
def pair() -> tuple[Seal, Seal]:
    """Both ends of the way between a and b."""
    seals = agree()
    return seals["a"]["b"], seals["b"]["a"]


# --- the agreement ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3])
def test_every_two_parties_can_open_what_the_other_seals(count: int) -> None:
    names = NAMES[:count]
    identities = {name: PUBLIC[name] for name in names}
    seals = agree(names=names, mine={name: credentials(name, identities=identities) for name in names})
    for one in names:
        assert list(seals[one]) == [name for name in names if name != one]
        for other, seal in seals[one].items():
            for number in range(3):
                sealed = seal.seal(Place("test", batch=number), content(number * 50))
                opened = seals[other][one].open(Place("test", batch=number), sealed)
                assert np.array_equal(opened, content(number * 50))


def test_what_one_pair_seals_no_third_party_opens() -> None:
    seals = agree()
    with pytest.raises(ProtocolError, match="cannot be opened"):
        seals["c"]["a"].open(HERE, seals["a"]["b"].seal(HERE, content()))


@pytest.mark.parametrize(("sender", "to"), [(RELAY, "b"), ("a", RELAY)])
def test_a_fresh_key_that_is_replaced_is_found_by_its_signature(sender: str, to: str) -> None:
    def change(me: str, you: str, message: Message) -> Message:
        if (me, you) == (sender, to) and isinstance(message, FreshKeys):
            keys = message.keys.copy()
            keys[0, 3] ^= 1
            return FreshKeys(keys=keys)
        return message

    with pytest.raises(
        ProtocolError, match=r"The key for this session that clinic passed on from . does not carry"
    ) as caught:
        agree(change)
    assert caught.value.peer == RELAY


def test_a_relay_that_signs_with_a_key_of_its_own_is_found() -> None:
    """It puts its own fresh key and its own signature in the place of those of a."""
    stranger = SIGNERS["stranger"]

    def change(me: str, you: str, message: Message) -> Message:
        if (me, you) != (RELAY, "b"):
            return message
        if isinstance(message, FreshKeys):
            keys = message.keys.copy()
            keys[0] = np.frombuffer(random.Random(7).randbytes(32), np.uint8)
            return FreshKeys(keys=keys)
        assert isinstance(message, KeyProofs)
        signatures = message.signatures.copy()
        signatures[0] = np.frombuffer(stranger.sign(b"anything"), np.uint8)
        return KeyProofs(signatures=signatures)

    with pytest.raises(ProtocolError, match=r"passed on from [ab] does not carry the signature"):
        agree(change)


def test_proofs_of_one_party_do_not_serve_for_another() -> None:
    def change(_me: str, you: str, message: Message) -> Message:
        if you == "c" and isinstance(message, KeyProofs):
            return KeyProofs(signatures=message.signatures[::-1])
        return message

    with pytest.raises(ProtocolError, match="does not carry the signature"):
        agree(change)


@pytest.mark.parametrize(
    "other",
    [
        {"job": b"another job"},
        {"session": b"another session"},
        {"identities": {"a": PUBLIC["stranger"], "b": PUBLIC["b"], "c": PUBLIC["c"]}},
    ],
)
def test_parties_that_were_told_different_things_do_not_agree(other: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="for this job and session"):
        agree(mine={"b": credentials("b", **other)})


def test_a_fresh_key_of_low_order_is_refused() -> None:
    """Even where the other party has signed it: then that party is to blame."""
    mine = credentials("b", identities={name: PUBLIC[name] for name in ("a", "b")})
    role = exchange_keys(RELAY, mine, random.Random("b").randbytes)
    told = next(role)
    assert isinstance(told, Send)
    assert isinstance(told.message, FreshKeys)
    fresh, low = told.message.keys[0].tobytes(), bytes(32)
    role.send(None)
    role.send(FreshKeys(keys=np.zeros((1, 32), np.uint8)))
    role.send(None)
    proof = SIGNERS["a"].sign(_PROOF + _statement(mine, "a", "b", low, fresh))
    with pytest.raises(ProtocolError, match="a sent a fresh key of low order") as caught:
        role.send(KeyProofs(signatures=np.frombuffer(proof, np.uint8).reshape(1, -1)))
    assert caught.value.peer == "a"


@pytest.mark.parametrize("kind", [FreshKeys, KeyProofs])
@pytest.mark.parametrize(("sender", "blamed"), [("a", "a"), (RELAY, RELAY)])
def test_another_number_of_keys_or_proofs_is_refused(kind: type[Message], sender: str, blamed: str) -> None:
    def change(me: str, _you: str, message: Message) -> Message:
        if me == sender and kind is FreshKeys and isinstance(message, FreshKeys):
            return FreshKeys(keys=message.keys[:1])
        if me == sender and kind is KeyProofs and isinstance(message, KeyProofs):
            return KeyProofs(signatures=message.signatures[:1])
        return message

    with pytest.raises(ProtocolError, match="sent 1 keys or proofs where 2 were due") as caught:
        agree(change)
    assert caught.value.peer == blamed


def test_keys_are_fresh_in_every_direction_and_pair() -> None:
    seals = agree()
    boxes = [seals[one][other].seal(HERE, content()).box.tobytes() for one in NAMES for other in NAMES if one != other]
    assert len(set(boxes)) == 6


def test_credentials_name_this_party_and_whole_keys() -> None:
    for wrong in ({"identities": {"b": PUBLIC["b"]}}, {"identities": {"a": b"short"}}):
        with pytest.raises(ValueError, match="public identity of 32 bytes"):
            credentials("a", **wrong)


# --- messages ---------------------------------------------------------------------------------------------------------


def test_a_message_that_was_changed_cannot_be_opened(pair: tuple[Seal, Seal]) -> None:
    here, there = pair
    sealed = here.seal(HERE, content())
    for place in (0, 50, len(sealed.box) - 1):
        box = sealed.box.copy()
        box[place] ^= 1
        with pytest.raises(
            ProtocolError, match=r"of a that clinic passed on cannot be opened: it was changed or"
        ) as caught:
            there.open(HERE, Sealed(sequence=0, box=box))
        assert caught.value.peer == RELAY
    assert np.array_equal(there.open(HERE, sealed), content())


def test_a_message_that_was_cut_or_made_longer_cannot_be_opened(pair: tuple[Seal, Seal]) -> None:
    here, there = pair
    sealed = here.seal(HERE, content())
    for box in (sealed.box[:-1], sealed.box[:16], np.append(sealed.box, np.uint8(0))):
        with pytest.raises(ProtocolError, match="cannot be opened"):
            there.open(HERE, Sealed(sequence=0, box=box))


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ([1], "number 1 where number 0 was due"),
        ([0, 2], "number 2 where number 1 was due"),
        ([0, 0], "number 0 where number 1 was due"),
        ([0, 1, 0], "number 0 where number 2 was due"),
    ],
)
def test_messages_left_out_repeated_or_moved(pair: tuple[Seal, Seal], order: list[int], found: str) -> None:
    here, there = pair
    sealed = [here.seal(HERE, content()) for _ in range(3)]
    for number in order[:-1]:
        there.open(HERE, sealed[number])
    with pytest.raises(ProtocolError, match=f"{found}: a message was left out, repeated or moved"):
        there.open(HERE, sealed[order[-1]])


def test_a_message_with_another_number_written_on_it_cannot_be_opened(pair: tuple[Seal, Seal]) -> None:
    here, there = pair
    sealed = [here.seal(HERE, content()) for _ in range(2)]
    with pytest.raises(ProtocolError, match="cannot be opened"):
        there.open(HERE, Sealed(sequence=0, box=sealed[1].box))


@pytest.mark.parametrize(
    "other",
    [
        Place("another"),
        Place("test", b"\0"),
        Place("test", bytes(31) + b"\1"),
        Place("test", epoch=1),
        Place("test", batch=1),
    ],
)
def test_a_message_for_another_place_cannot_be_opened(pair: tuple[Seal, Seal], other: Place) -> None:
    here, there = pair
    with pytest.raises(ProtocolError, match="belongs to another position in the session"):
        there.open(HERE, here.seal(other, content()))


def test_a_message_is_not_opened_by_the_side_that_sealed_it(pair: tuple[Seal, Seal]) -> None:
    here, _ = pair
    with pytest.raises(ProtocolError, match="cannot be opened"):
        here.open(HERE, here.seal(HERE, content()))


def test_equal_contents_are_sealed_differently(pair: tuple[Seal, Seal]) -> None:
    here, _ = pair
    boxes = {here.seal(HERE, content()).box.tobytes() for _ in range(50)}
    assert len(boxes) == 50
    assert all(len(box) == 116 for box in boxes)


def test_an_end_is_neither_copied_nor_pickled(pair: tuple[Seal, Seal]) -> None:
    for again in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            again(pair[0])


def test_nothing_shows_a_secret(pair: tuple[Seal, Seal]) -> None:
    assert repr(pair[0]) == "<Seal with b through clinic>"
    assert "sign" not in repr(credentials("a"))
    assert not hasattr(pair[0], "__dict__")


def test_the_relay_hands_on_what_it_is_given(pair: tuple[Seal, Seal]) -> None:
    here, there = pair
    role = pass_on("a", "b", 100)
    asked = next(role)
    assert isinstance(asked, Receive)
    assert (asked.sender, asked.kind) == ("a", Sealed)
    assert 100 < asked.limit < 2000
    sent = role.send(here.seal(HERE, content()))
    assert isinstance(sent, Send)
    assert sent.to == "b"
    assert isinstance(sent.message, Sealed)
    assert np.array_equal(there.open(HERE, sent.message), content())


# --- a secret in common -----------------------------------------------------------------------------------------------


def test_both_ends_export_the_same_secret_and_nobody_else_does() -> None:
    seals = {name: found for name, found in agree().items() if name != RELAY}
    exported = {
        (one, other): seal.export(b"purpose") for one, others in seals.items() for other, seal in others.items()
    }
    assert all(exported[one, other] == exported[other, one] for one, other in exported)
    assert len(set(exported.values())) == 3
    assert {len(secret) for secret in exported.values()} == {32}


def test_what_is_exported_is_for_one_purpose_and_one_session() -> None:
    seal = agree()["a"]["b"]
    assert seal.export(b"one") == seal.export(b"one")
    assert seal.export(b"one") != seal.export(b"another")
    later = {name: credentials(name, session=b"another session") for name in NAMES}
    assert agree(mine=later)["a"]["b"].export(b"one") != seal.export(b"one")
