"""From embeddings to their sum, and what the owner of the private key can find out about the summands."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest

from vsplit.paillier import arithmetic, cipher, noise
from vsplit.paillier.fixed_point import FixedPoint
from vsplit.paillier.keys import PrivateKey, PublicKey
from vsplit.paillier.noise import Kind, Noise
from vsplit.paillier.packing import Packing
from vsplit.protocol import Bytes, Floats, ProtocolError

SHAPE = (16, 10)
COUNT = 160


def layout(parties: int, *, stochastic: bool = False) -> Packing:
    return Packing(FixedPoint(8.0, 16, parties, stochastic), 2048)


def embedding(seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


def fresh(public: PublicKey, kind: Kind, count: int, seed: object) -> Noise:
    secrets = noise.draw_secrets(public, kind, count, random.Random(repr(seed)).randbytes)
    if kind == "full":
        return Noise(noise.full_noise(public, secrets))
    return Noise(noise.short_noise(noise.noise_table(public), secrets))


@dataclass
class Chain:
    """What crosses: the content of every hop, and the total."""

    hops: list[Bytes]
    total: Bytes


def chain(
    public: PublicKey, values: list[Floats], seed: object, kind: Kind = "short", *, stochastic: bool = False
) -> Chain:
    """Every party adds its own; the last hop is the total."""
    packing = layout(len(values), stochastic=stochastic)
    crossed: list[Bytes] = []
    for party, each in enumerate(values):
        units = packing.fixed.encode(each, random.Random(party).randbytes).units
        plain = packing.pack(units)
        own = cipher.encrypt(public, plain, fresh(public, kind, len(plain), (seed, party)).take())
        crossed.append(cipher.add(public, crossed[-1], own) if crossed else own)
    return Chain(crossed[:-1], crossed[-1])


def read(private: PrivateKey, total: Bytes, parties: int) -> Floats:
    packing = layout(parties)
    cipher.check_ciphertexts(private.public_key, total, packing.plaintexts(COUNT), "lab")
    totals = packing.unpack(cipher.decrypt(private, total), COUNT, "lab")
    return packing.fixed.decode(totals, SHAPE, "lab")


def randomisers(private: PrivateKey, ciphertexts: Bytes) -> list[int]:
    """The n-th roots of the noise modulo n: all that the private key shows of a ciphertext besides the plaintext."""
    n, p, q = private.public_key.n, int(private.p), int(private.q)
    root = pow(n, -1, (p - 1) * (q - 1))
    # Modulo n the factor (1 + n)^m is 1, so what is left of the ciphertext is r^n.
    return [pow(int(number) % n, root, n) for number in arithmetic.numbers(ciphertexts)]


@pytest.mark.parametrize(
    ("parties", "kind", "stochastic"), [(2, "short", False), (5, "short", True), (2, "full", False)]
)
def test_the_sum_is_within_the_bound(
    public: PublicKey, private: PrivateKey, parties: int, kind: Kind, stochastic: bool
) -> None:
    values = [embedding(seed) * 4 for seed in range(parties)]  # some are out of range
    total = chain(public, values, "sum", kind, stochastic=stochastic).total
    wanted = np.sum(np.clip(np.array(values, dtype=np.float64), -8, 8), axis=0)
    bound = layout(parties, stochastic=stochastic).fixed.error_bound
    assert np.abs(read(private, total, parties) - wanted).max() <= bound


def test_summands_that_differ_and_sum_alike_look_alike(public: PublicKey, private: PrivateKey) -> None:
    one, two, three = (layout(3).fixed.encode(embedding(seed)).units for seed in range(3))
    shift = np.arange(COUNT) - COUNT // 2
    moved = [one + shift, two - 2 * shift, three + shift]
    fixed = layout(3).fixed
    values = [fixed.decode(each + 2 * fixed.top, SHAPE, "test") for each in (one, two, three)]
    other = [fixed.decode(each + 2 * fixed.top, SHAPE, "test") for each in moved]
    first, second = chain(public, values, "first"), chain(public, other, "second")
    # Equal: all that can be decrypted, and every length.
    assert (cipher.decrypt(private, first.total) == cipher.decrypt(private, second.total)).all()
    assert [hop.shape for hop in first.hops] == [hop.shape for hop in second.hops]
    # Fresh: all randomisers, in both runs and over the batch.
    recovered = randomisers(private, first.total) + randomisers(private, second.total)
    assert len(set(recovered)) == 2 * layout(3).plaintexts(COUNT)
    # The randomiser of a total is the product of all parties' own, which the messages do not enter.
    same_noise = chain(public, other, "first")
    assert randomisers(private, same_noise.total) == randomisers(private, first.total)
    # So the total is the same number, whatever the summands: it cannot say more than the sum.
    assert (same_noise.total == first.total).all()


def test_with_a_hop_in_the_open_the_same_key_finds_the_single_embedding(public: PublicKey, private: PrivateKey) -> None:
    values = [embedding(seed) for seed in range(2)]
    opened = cipher.decrypt(private, chain(public, values, "open").hops[0])
    with pytest.raises(ProtocolError, match="exactly one summand of each"):
        layout(2).unpack(opened, COUNT, "lab")
    # Read as what it is, the sum of one, it is the first party's embedding up to rounding.
    packing = layout(2)
    bits = np.unpackbits(opened, axis=1, bitorder="little")[:, : packing.slots * packing.width]
    units = bits.reshape(-1, packing.width).astype(np.int64) @ (1 << np.arange(packing.width))
    found = (units[:COUNT] - packing.fixed.top) * packing.fixed.step
    assert np.abs(found.reshape(SHAPE) - values[0]).max() <= packing.fixed.step


def test_an_encryption_of_zero_in_anothers_place_is_found_when_the_sum_is_read(
    public: PublicKey, private: PrivateKey
) -> None:
    packing = layout(2)
    values = [embedding(seed) for seed in range(2)]
    plain = packing.pack(packing.fixed.encode(values[1]).units)
    own = cipher.encrypt(public, plain, fresh(public, "short", len(plain), "own").take())
    zeros = fresh(public, "short", len(plain), "zeros").take()
    with pytest.raises(ProtocolError, match="exactly one summand of each"):
        read(private, cipher.add(public, zeros, own), 2)


@pytest.mark.parametrize("change", ["bit", "swapped", "cut", "repeated", "twice", "zero", "other batch"])
def test_a_total_that_was_tampered_with_is_never_read(public: PublicKey, private: PrivateKey, change: str) -> None:
    values = [embedding(seed) for seed in range(2)]
    total = chain(public, values, "tampered").total.copy()
    spoiled = {
        "bit": lambda: total ^ np.eye(*total.shape, 77, dtype=np.uint8),
        "swapped": lambda: total[::-1],  # the second has slots that are not used; the first fills all
        "cut": lambda: total[:-1],
        "repeated": lambda: np.concatenate([total, total[:1]]),
        "twice": lambda: cipher.add(public, total, total),
        "zero": lambda: np.zeros_like(total),
        "other batch": lambda: cipher.add(public, total, chain(public, values, "other").hops[0]),
    }[change]()
    with pytest.raises(ProtocolError) as caught:
        read(private, spoiled, 2)
    assert caught.value.peer == "lab"
