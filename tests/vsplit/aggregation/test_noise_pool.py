"""The stock of noise: made ahead, never given out twice, and each piece from entropy of its own."""

from __future__ import annotations

import copy
import os
import pickle
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from phe.paillier import PaillierPublicKey

from parties.network.driver import drive
from parties.network.memory import MemoryNetwork
from parties.network.worker_pool import Pool
from vsplit.aggregation.noise_pool import PIECE, NoisePool, pieces_of
from vsplit.paillier import noise
from vsplit.paillier.cipher import decrypt
from vsplit.paillier.keys import PrivateKey, generate
from vsplit.paillier.noise import secret_bytes
from vsplit.protocol import Collect, ProtocolError, Role, Work


@cache
def private_key() -> PrivateKey:
    return generate(2048, random.Random("stock").randbytes)


def run(role: Role[Any]) -> Any:
    return drive(role, MemoryNetwork(["a"]).endpoint("a"), Pool())


@pytest.mark.parametrize("kind", ["short", "full"])
@pytest.mark.parametrize("ahead", [0, 3, 40])
def test_noise_is_never_given_out_twice(kind: Any, ahead: int) -> None:
    stock = NoisePool(private_key().public_key, "bank", kind, ahead, os.urandom)

    def party() -> Role[list[Any]]:
        taken = []
        yield from stock.prepare()
        for count in (2, 0, 9, 1):
            taken.append((yield from stock.take(count)).take())
            yield from stock.prepare()
        return taken

    taken = run(party())
    assert [len(rows) for rows in taken] == [2, 0, 9, 1]
    rows = np.concatenate(taken)
    assert len({row.tobytes() for row in rows}) == 12
    assert not decrypt(private_key(), rows).any()  # noise is an encryption of zero


def test_entropy_is_drawn_once_for_each_ciphertext() -> None:
    drawn: list[int] = []

    def entropy(count: int) -> bytes:
        drawn.append(count)
        return os.urandom(count)

    key = private_key().public_key
    stock = NoisePool(key, "bank", "short", 5, entropy)

    def party() -> Role[None]:
        yield from stock.prepare()
        yield from stock.prepare()  # what is under way is not made again
        yield from stock.take(7)

    run(party())
    assert sum(drawn) == 7 * secret_bytes(key, "short")


def test_noise_is_made_while_the_party_waits() -> None:
    """To prepare is to start work and not to wait for it; to take what is there is no work at all."""
    stock = NoisePool(private_key().public_key, "bank", "short", 4, os.urandom)
    (started,) = stock.prepare()
    assert isinstance(started, Work) and started.later
    stock = NoisePool(private_key().public_key, "bank", "short", 4, os.urandom)
    run(stock.prepare())
    effects = answered(stock.take(4), lambda _effect: [np.zeros((4, 512), np.uint8)])
    assert [type(effect) for effect in effects] == [Collect]
    assert answered(stock.take(0), lambda _effect: None) == []


def test_what_was_taken_is_no_longer_in_the_stock() -> None:
    stock = NoisePool(private_key().public_key, "bank", "short", 8, os.urandom)

    def party() -> Role[Any]:
        yield from stock.prepare()
        return (yield from stock.take(3)).take()

    taken = run(party())
    kept = stock._rows if stock._rows.base is None else stock._rows.base
    assert not {row.tobytes() for row in taken} & {row.tobytes() for row in kept}
    assert taken.base is None
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            attempt(stock)
    assert repr(stock) == "<NoisePool of 5 ciphertexts>"


@pytest.mark.parametrize(("kind", "made_of"), [("short", "hash"), ("full", "noise")])
def test_a_modulus_that_is_none_is_found_by_name(kind: Any, made_of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A product of many small primes passes for a key until a number shares one of them."""
    key = PaillierPublicKey(private_key().public_key.n * 3**2)
    if made_of == "hash":
        monkeypatch.setattr(noise, "expand_message_xmd", lambda *_: (3).to_bytes(300, "big"))
    stock = NoisePool(key, "bank", kind, 60, os.urandom)

    def party() -> Role[Any]:
        yield from stock.prepare()
        return (yield from stock.take(60))

    with pytest.raises(ProtocolError, match="key of bank is not the product of two large primes") as caught:
        run(party())
    assert caught.value.peer == "bank"


def answered(role: Role[Any], answer: Callable[[Any], Any]) -> list[Any]:
    """The effects of a role, each answered."""
    effects, reply = [], None
    try:
        while True:
            effect = role.send(reply)
            effects.append(effect)
            reply = answer(effect)
    except StopIteration:
        return effects


@pytest.mark.parametrize("count", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
def test_pieces_are_the_whole(count: int) -> None:
    rows = np.arange(count * 2, dtype=np.uint8).reshape(count, 2)
    pieces = pieces_of(rows)
    assert all(0 < len(piece) <= PIECE for piece in pieces)
    assert np.array_equal(np.concatenate([rows[:0], *pieces]), rows)
