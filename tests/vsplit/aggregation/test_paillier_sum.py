"""Encrypted sums: what the label party can find with its private key, and every interference with the chain."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from parties.network import codec
from vsplit.aggregation import paillier_sum
from vsplit.aggregation.interface import Batch
from vsplit.aggregation.paillier_sum import EncryptedSum, PaillierKey, PaillierReceiver, PaillierSender, layout_of
from vsplit.aggregation.secure_sum import Member
from vsplit.paillier.cipher import decrypt
from vsplit.paillier.keys import PrivateKey, generate
from vsplit.protocol import Bytes, Message, ProtocolError, Role, receive
from vsplit.sealing import Place, Sealed, pass_on

Change = Callable[[str, str, Any], Any]
THREE = ("bills", "pays", "shops")
BATCH = Batch(step=0, epoch=0, part=0, number=0, rows=32)


@cache
def private_key(seed: str = "bank") -> PrivateKey:
    return generate(2048, random.Random(seed).randbytes)


@pytest.fixture(autouse=True)
def _keys_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paillier_sum, "generate", lambda bits, _random_bytes: private_key())


def decoded(data: bytes, kind: type[Any]) -> Any:
    room = codec.buffer(len(data))
    room[:] = np.frombuffer(data, np.uint8)
    return codec.decode(room, kind)


# --- the result -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parties", [THREE[:2], THREE], ids=len)
@pytest.mark.parametrize("noise", ["short", "full"])
def test_the_result_is_bit_for_bit_that_of_a_masked_sum(
    federation: Any, new_stage: Any, parties: Any, noise: str
) -> None:
    """Both add the same whole numbers, so that two quite different ciphers check each other."""
    settings = {"key_bits": 2048, "noise": noise}
    weights = {}
    for aggregate in ("masked_sum", "paillier_sum"):
        made = federation(aggregate, parties, secure_sum=settings, epochs=1)
        results = new_stage().play(made.roles())
        weights[aggregate] = made.weights() | {"test": torch.from_numpy(results["bank"].test)}
    for name, tensor in weights["masked_sum"].items():
        assert torch.equal(tensor, weights["paillier_sum"][name]), name


def test_rounding_at_random_trains_as_well(federation: Any, stage: Any) -> None:
    made = federation("paillier_sum", secure_sum={"key_bits": 2048, "noise": "short", "rounding": "stochastic"})
    stage.play(made.roles())
    assert made.label.progress.epoch == 2


# --- what the label party can find ------------------------------------------------------------------------------------


class OpenSeal:
    """A seal taken off: what it would seal stands in the open."""

    def __init__(self, peer: str) -> None:
        self.peer = peer

    def seal(self, _place: Place, content: Bytes) -> Sealed:
        return Sealed(sequence=0, box=np.concatenate([content.reshape(-1), np.zeros(16, np.uint8)]))

    def open(self, _place: Place, message: Sealed) -> Bytes:
        return message.box[:-16]


def transcript(made: Any, stage: Any, values: dict[str, Any], *, sealed: bool) -> tuple[list[Sealed], EncryptedSum]:
    """What the label party sees of one batch in which each party gives its `values`: the hops, and the total."""
    plan, parties = made.plan, made.parties

    def feature(name: str) -> Role[None]:
        if sealed:
            seals = yield from made.exchange_keys(name)
        else:
            seals = {other: OpenSeal(other) for other in parties}
        member = Member(name, "bank", parties, seals, random.SystemRandom().randbytes, run_name=b"", shared=b"")
        sender = PaillierSender(member, plan.cut)
        yield from sender.begin(b"")
        yield from sender.send_embedding(BATCH, values[name])

    def label() -> Role[Any]:
        if sealed:
            yield from made.relay_key_exchange()
        receiver = PaillierReceiver(parties, plan.cut, random.SystemRandom().randbytes)
        yield from receiver.begin()
        return (yield from receiver.take(BATCH))

    results = stage.play({"bank": label(), **{name: feature(name) for name in parties}})
    assert np.allclose(results["bank"][0], sum(values.values()), atol=1e-3)
    hops = [decoded(data, Sealed) for _, to, data in stage.sent if to == "bank" and b"Sealed" in data[:40]]
    (total,) = [decoded(data, EncryptedSum) for _, _, data in stage.sent if b"EncryptedSum" in data[:40]]
    return hops, total


def randomisers(ciphertexts: Bytes) -> list[int]:
    """The random part of each ciphertext, which the private key recovers (Paillier, section 4)."""
    key = private_key()
    n = key.public_key.n
    inverse = pow(n, -1, (key.p - 1) * (key.q - 1))
    return [pow(int.from_bytes(row.tobytes(), "little") % n, inverse, n) for row in ciphertexts]


def two_worlds(made: Any) -> list[dict[str, Any]]:
    """Embeddings that differ at every party and have the same sum; multiples of a step, so that they are exact."""
    rng, step = np.random.default_rng(0), np.float64(8.0 / (2**15 - 1))
    shape = (BATCH.rows, made.plan.width)
    first = {name: rng.integers(-9000, 9000, shape) for name in made.parties}
    shift = rng.integers(1, 9000, shape)
    second = first | {made.parties[0]: first[made.parties[0]] + shift, made.parties[1]: first[made.parties[1]] - shift}
    return [{name: (codes * step).astype(np.float32) for name, codes in world.items()} for world in (first, second)]


def paillier(federation: Any, parties: Any = THREE) -> Any:
    return federation("paillier_sum", parties, secure_sum={"key_bits": 2048, "noise": "short"})


def test_what_the_label_party_can_decrypt_is_equal_for_equal_sums(federation: Any, new_stage: Any) -> None:
    made = paillier(federation)
    seen = [transcript(made, new_stage(), world, sealed=True) for world in two_worlds(made)]
    (hops, total), (other_hops, other_total) = seen
    plaintexts = decrypt(private_key(), total.ciphertexts)
    assert np.array_equal(plaintexts, decrypt(private_key(), other_total.ciphertexts))
    recovered = randomisers(total.ciphertexts) + randomisers(other_total.ciphertexts)
    assert len(set(recovered)) == len(recovered)
    assert [len(hop.box) for hop in hops] == [len(hop.box) for hop in other_hops]
    assert [hop.sequence for hop in hops] == [hop.sequence for hop in other_hops]


def test_with_the_seal_taken_off_the_same_transcript_shows_the_single_embedding(
    federation: Any, new_stage: Any
) -> None:
    made = paillier(federation)
    found = []
    for world in two_worlds(made):
        hops, _ = transcript(made, new_stage(), world, sealed=False)
        first = hops[0].box[:-16].reshape(-1, 512)
        packing = layout_of(made.plan.cut, made.parties).packing
        bits = np.unpackbits(decrypt(private_key(), first), axis=1, bitorder="little")[
            :, : packing.slots * packing.width
        ]
        slots = bits.reshape(-1, packing.width) @ (1 << np.arange(packing.width))
        codes = slots[: world["bills"].size] - (2**15 - 1)
        assert np.allclose(codes.reshape(world["bills"].shape) * 8.0 / (2**15 - 1), world["bills"], atol=1e-6)
        found.append(codes)
    assert not np.array_equal(*found)


def test_a_sealed_hop_holds_nothing_that_the_private_key_opens(federation: Any, stage: Any) -> None:
    made = paillier(federation)
    hops, _ = transcript(made, stage, two_worlds(made)[0], sealed=True)
    packing = layout_of(made.plan.cut, made.parties).packing
    for hop in hops:
        read = decrypt(private_key(), hop.box[:-16].reshape(-1, 512))
        with pytest.raises(ProtocolError):
            packing.unpack(read, BATCH.rows * made.plan.width, "bank")


# --- interference -----------------------------------------------------------------------------------------------------


def play(stage: Any, made: Any, change: Change, trained: int = 0) -> dict[str, Any]:
    before = made.weights()
    stage.play_on(made.roles(change))
    after = made.weights()
    assert made.label.step == trained
    if not trained:
        assert all(torch.equal(before[name], after[name]) for name in before), "something was trained on"
    results: dict[str, Any] = stage.results
    return results


def relayed(spoil: Callable[[Sealed], Any], to: str = "pays") -> Change:
    def change(sender: str, receiver: str, message: Message) -> Any:
        return spoil(message) if (sender, receiver) == ("bank", to) and isinstance(message, Sealed) else message

    return change


def flipped(hop: Sealed) -> Sealed:
    box = hop.box.copy()
    box[5] ^= 1
    return Sealed(sequence=hop.sequence, box=box)


def zeros_in_its_place(hop: Sealed) -> Sealed:
    """What would isolate the next party's embedding: encryptions of zero, 1 modulo n squared."""
    ones = np.zeros((len(hop.box) // 512, 512), np.uint8)
    ones[:, 0] = 1
    return Sealed(sequence=hop.sequence, box=np.concatenate([ones.reshape(-1), hop.box[-16:]]))


def truncated(hop: Sealed) -> Sealed:
    return Sealed(sequence=hop.sequence, box=hop.box[:-8])


def renumbered(hop: Sealed) -> Sealed:
    return Sealed(sequence=hop.sequence + 1, box=hop.box)


@pytest.mark.parametrize("spoil", [flipped, zeros_in_its_place, truncated, renumbered])
@pytest.mark.parametrize("to", ["pays", "shops"])
def test_a_hop_that_the_relay_replaces_is_found_by_name(
    federation: Any, stage: Any, spoil: Callable[[Sealed], Any], to: str
) -> None:
    error = play(stage, paillier(federation), relayed(spoil, to))[to]
    assert isinstance(error, ProtocolError) and error.peer == "bank"
    before = {"pays": "bills", "shops": "pays"}[to]
    assert f"A sealed message of {before} that bank passed on" in str(error)


def test_hops_that_the_relay_swaps_between_receivers_are_found(federation: Any, stage: Any) -> None:
    kept: list[Sealed] = []

    def change(sender: str, to: str, message: Message) -> Any:
        if sender == "bank" and isinstance(message, Sealed):
            kept.append(message)
            if to == "shops":
                return kept[0]
        return message

    error = play(stage, paillier(federation), change)["shops"]
    assert isinstance(error, ProtocolError)
    assert "of pays that bank passed on cannot be opened" in str(error)


def test_a_hop_that_the_relay_repeats_is_found(federation: Any, stage: Any) -> None:
    kept: list[Sealed] = []

    def repeat(hop: Sealed) -> Sealed:
        kept.append(hop)
        return kept[0]

    error = play(stage, paillier(federation), relayed(repeat), trained=1)["pays"]
    assert isinstance(error, ProtocolError) and "number 0 where number 1 was due" in str(error)


def test_a_hop_that_the_relay_drops_is_found(federation: Any, stage: Any) -> None:
    """Validation rows come one batch after another, so the relay can leave one out and hand on the next."""
    made = paillier(federation, THREE[:2])

    def relay() -> Role[None]:
        yield from made.relay_key_exchange()
        yield from PaillierReceiver(made.parties, made.plan.cut, random.Random("bank").randbytes).begin()
        yield from receive("bills", Sealed, 100_000)
        yield from pass_on("bills", "pays", 100_000)

    stage.play_on({"bank": relay(), "bills": link(made, "bills", 2), "pays": link(made, "pays", 1)})
    error = stage.results["pays"]
    assert isinstance(error, ProtocolError) and error.peer == "bank"
    assert "of bills that bank passed on is number 1 where number 0 was due" in str(error)


def link(made: Any, name: str, batches: int, rows: int = BATCH.rows) -> Role[None]:
    """A feature party that gives so many batches and waits for nothing in return."""
    seals = yield from made.exchange_keys(name)
    member = Member(name, "bank", made.parties, seals, random.Random(name).randbytes, run_name=b"", shared=b"")
    sender = PaillierSender(member, made.plan.cut)
    yield from sender.begin(b"")
    for number in range(batches):
        batch = Batch(step=0, epoch=0, part=0, number=number, rows=rows)
        yield from sender.send_embedding(batch, np.zeros((rows, made.plan.width), np.float32))


def test_parties_that_were_sent_different_keys_do_not_go_on(federation: Any, stage: Any) -> None:
    other = np.frombuffer(private_key("other").public_key.n.to_bytes(256, "little"), np.uint8)

    def change(sender: str, to: str, message: Message) -> Any:
        return PaillierKey(modulus=other) if to == "pays" and isinstance(message, PaillierKey) else message

    error = play(stage, paillier(federation), change)["pays"]
    assert isinstance(error, ProtocolError) and "cannot be opened" in str(error)


@pytest.mark.parametrize(
    "spoil", [lambda n: n + 1, lambda n: n >> 1, lambda n: 3**1291], ids=["even", "short", "power"]
)
def test_a_key_that_is_none_is_refused_by_name(federation: Any, stage: Any, spoil: Callable[[int], int]) -> None:
    modulus = spoil(private_key().public_key.n).to_bytes(257, "little")[:256]

    def change(_sender: str, to: str, message: Message) -> Any:
        if to == "bills" and isinstance(message, PaillierKey):
            return PaillierKey(modulus=np.frombuffer(modulus, np.uint8))
        return message

    error = play(stage, paillier(federation), change)["bills"]
    assert isinstance(error, ProtocolError) and error.peer == "bank"


def with_row(message: EncryptedSum, number: int) -> EncryptedSum:
    rows = message.ciphertexts.copy()
    rows[0] = np.frombuffer(number.to_bytes(512, "little"), np.uint8)
    return msgspec.structs.replace(message, ciphertexts=rows)


def wrong_totals() -> Iterator[tuple[str, Callable[[EncryptedSum], EncryptedSum]]]:
    n = private_key().public_key.n
    yield "zero", lambda message: with_row(message, 0)
    yield "square", lambda message: with_row(message, n * n)
    yield "factor", lambda message: with_row(message, n)
    yield "prime", lambda message: with_row(message, private_key().p)
    yield "bare", lambda message: with_row(message, 1)
    yield "another number", lambda message: with_row(message, 12345)
    yield "flipped", lambda message: with_row(message, int.from_bytes(message.ciphertexts[0].tobytes(), "little") ^ 2)
    yield "truncated", lambda message: msgspec.structs.replace(message, ciphertexts=message.ciphertexts[:-1])
    yield "narrow", lambda message: msgspec.structs.replace(message, ciphertexts=message.ciphertexts[:, :-1])
    yield "reordered", lambda message: msgspec.structs.replace(message, ciphertexts=message.ciphertexts[::-1])
    yield "place", lambda message: msgspec.structs.replace(message, number=1)
    yield "epoch", lambda message: msgspec.structs.replace(message, epoch=1)


@pytest.mark.parametrize("name", [name for name, _ in wrong_totals()])
def test_a_total_that_is_none_is_refused_by_name(federation: Any, stage: Any, name: str) -> None:
    spoil = dict(wrong_totals())[name]

    def change(_sender: str, _to: str, message: Message) -> Any:
        return spoil(message) if isinstance(message, EncryptedSum) else message

    error = play(stage, paillier(federation), change)["bank"]
    assert isinstance(error, ProtocolError) and error.peer == "shops"
    assert "shops" in str(error)


def test_a_total_that_is_repeated_is_refused(federation: Any, stage: Any) -> None:
    kept: list[EncryptedSum] = []

    def change(_sender: str, _to: str, message: Message) -> Any:
        if isinstance(message, EncryptedSum):
            kept.append(message)
            return kept[0]
        return message

    error = play(stage, paillier(federation), change, trained=1)["bank"]
    assert isinstance(error, ProtocolError) and error.peer == "shops"


@pytest.mark.parametrize("rows", [31, 33])
def test_a_party_that_seals_another_number_of_ciphertexts_is_named(federation: Any, stage: Any, rows: int) -> None:
    """It follows the protocol of another batch: too few rows, or too many."""
    made = federation("paillier_sum", THREE[:2], secure_sum={"key_bits": 2048, "noise": "short"}, width=113)

    def label() -> Role[Any]:
        yield from made.relay_key_exchange()
        receiver = PaillierReceiver(made.parties, made.plan.cut, random.Random("bank").randbytes)
        yield from receiver.begin()
        return (yield from receiver.take(BATCH))

    stage.play_on({"bank": label(), "bills": link(made, "bills", 1, rows), "pays": link(made, "pays", 1)})
    error = stage.results["pays"]
    assert isinstance(error, ProtocolError) and error.peer == "bills"
