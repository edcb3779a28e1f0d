"""Masked sums: exact, alike for equal sums, and every interference is named before anything is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from parties.network import codec
from vsplit.aggregation.attempt import AttemptNonce, AttemptNonces
from vsplit.aggregation.masked_sum import MaskedEmbedding
from vsplit.protocol import DataError, Message, ProtocolError
from vsplit.sealing import FreshKeys

Change = Callable[[str, str, Any], Any]
THREE = ("bills", "pays", "shops")


def masked_in(sent: list[tuple[str, str, bytes]]) -> list[tuple[str, MaskedEmbedding]]:
    found = []
    for sender, _, data in sent:
        if b"MaskedEmbedding" in data[:40]:
            room = codec.buffer(len(data))
            room[:] = np.frombuffer(data, np.uint8)
            found.append((sender, codec.decode(room, MaskedEmbedding)))
    return found


def test_the_sum_that_arrives_is_exactly_that_of_the_rounded_embeddings(federation: Any, stage: Any) -> None:
    made = federation("masked_sum", epochs=1)
    stage.play(made.roles())
    sent = masked_in(stage.sent)
    last = dict(sent)
    rows = made.split.test
    arrived = sum(message.values.astype(np.uint64) for message in last.values()) % 2**32
    step, top = 8.0 / (2**15 - 1), 2**15 - 1
    rounded = []
    for name in made.parties:
        with torch.no_grad():
            embedding = made.states[name].bottom.eval()(made.stores[name].take(rows)).double().numpy()
        rounded.append(np.rint(np.clip(embedding, -8, 8) / step).astype(np.int64) + top)
    assert np.array_equal(arrived.astype(np.int64), sum(rounded))


def test_what_each_party_sends_looks_random_and_is_never_masked_alike(federation: Any, new_stage: Any) -> None:
    """The same weights and rows in two attempts: the sums are equal, and no message is."""
    values: list[dict[tuple[Any, ...], np.ndarray[Any, Any]]] = []
    for _ in range(2):
        stage = new_stage()
        stage.play(federation("masked_sum", epochs=1, lr=1e-30).roles())
        values.append({(sender, one.epoch, one.part, one.number): one.values for sender, one in masked_in(stage.sent)})
    first, second = values
    assert first.keys() == second.keys()
    for key, array in first.items():
        assert np.mean(array == second[key]) < 0.05
        assert 0.3 < np.mean(array) / 2**32 < 0.7
        partner = ("pays" if key[0] == "bills" else "bills", *key[1:])
        assert np.array_equal(array + first[partner], second[key] + second[partner])


def test_clipped_values_are_counted_locally_and_not_sent(federation: Any, stage: Any) -> None:
    made = federation("masked_sum", secure_sum={"range": 0.05})
    stage.play(made.roles())
    for name in made.parties:
        state = made.states[name]
        assert 0 < state.clipped < state.given
        assert any("clipped" in note.text for party, note in stage.notes if party == name)
    assert not any(b"clip" in data for _, _, data in stage.sent)


def test_an_embedding_that_is_not_finite_is_never_rounded(federation: Any, stage: Any) -> None:
    made = federation("masked_sum")
    with torch.no_grad():
        next(made.states["pays"].bottom.parameters()).fill_(float("nan"))
    stage.play_on(made.roles())
    assert isinstance(stage.results["pays"], DataError)
    assert made.label.step == 0


# --- interference -----------------------------------------------------------------------------------------------------


def play(stage: Any, made: Any, change: Change) -> dict[str, Any]:
    before = made.weights()
    stage.play_on(made.roles(change))
    after = made.weights()
    assert all(torch.equal(before[name], after[name]) for name in before), "something was trained on"
    results: dict[str, Any] = stage.results
    return results


def test_a_mask_key_that_the_relay_replaces_is_found_by_name(federation: Any, stage: Any) -> None:
    def change(sender: str, to: str, message: Message) -> Message:
        if (sender, to) == ("bank", "pays") and isinstance(message, FreshKeys):
            keys = message.keys.copy()
            keys[0, 0] ^= 1
            return FreshKeys(keys=keys)
        return message

    error = play(stage, federation("masked_sum"), change)["pays"]
    assert isinstance(error, ProtocolError) and error.peer == "bank"
    assert "passed on from bills" in str(error)


def test_mask_keys_that_the_relay_swaps_are_found_by_name(federation: Any, stage: Any) -> None:
    def change(sender: str, to: str, message: Message) -> Message:
        if (sender, to) == ("bank", "shops") and isinstance(message, FreshKeys):
            return FreshKeys(keys=message.keys[::-1])
        return message

    error = play(stage, federation("masked_sum", THREE), change)["shops"]
    assert isinstance(error, ProtocolError) and error.peer == "bank"


def test_a_label_party_that_repeats_an_earlier_attempt_is_found_by_name(federation: Any, stage: Any) -> None:
    def change(sender: str, _to: str, message: Message) -> Message:
        if sender == "bank" and isinstance(message, AttemptNonces):
            return AttemptNonces(nonces=np.zeros_like(message.nonces))
        return message

    results = play(stage, federation("masked_sum"), change)
    for name in ("bills", "pays"):
        assert isinstance(results[name], ProtocolError) and results[name].peer == "bank"
        assert "random bytes" in str(results[name])


def test_parties_that_were_told_different_nonces_give_no_sum(federation: Any, stage: Any) -> None:
    """Each finds its own nonce, so it goes on; but their masks do not cancel, and this is noticed."""

    def change(sender: str, to: str, message: Message) -> Message:
        if (sender, to) == ("bank", "pays") and isinstance(message, AttemptNonces):
            nonces = message.nonces.copy()
            nonces[1, 0] ^= 1
            return AttemptNonces(nonces=nonces)
        return message

    error = play(stage, federation("masked_sum"), change)["bank"]
    assert isinstance(error, ProtocolError)
    assert "bills and pays" in str(error)


def wrong_place(message: MaskedEmbedding) -> MaskedEmbedding:
    return msgspec.structs.replace(message, number=message.number + 1)


def wrong_epoch(message: MaskedEmbedding) -> MaskedEmbedding:
    return msgspec.structs.replace(message, epoch=message.epoch + 1)


def wrong_part(message: MaskedEmbedding) -> MaskedEmbedding:
    return msgspec.structs.replace(message, part=1)


def truncated(message: MaskedEmbedding) -> MaskedEmbedding:
    return msgspec.structs.replace(message, values=message.values[:-1])


def narrow(message: MaskedEmbedding) -> MaskedEmbedding:
    return msgspec.structs.replace(message, values=message.values[:, :-1])


def tampered(message: MaskedEmbedding) -> MaskedEmbedding:
    values = message.values.copy()
    values[0, 0] += np.uint32(1 << 20)
    return msgspec.structs.replace(message, values=values)


@pytest.mark.parametrize("spoil", [wrong_place, wrong_epoch, wrong_part, truncated, narrow, tampered])
def test_a_masked_embedding_that_is_not_the_one_due_is_refused_by_name(
    federation: Any, stage: Any, spoil: Callable[[MaskedEmbedding], MaskedEmbedding]
) -> None:
    def change(sender: str, _to: str, message: Message) -> Message:
        return spoil(message) if sender == "pays" and isinstance(message, MaskedEmbedding) else message

    error = play(stage, federation("masked_sum"), change)["bank"]
    assert isinstance(error, ProtocolError)
    assert "pays" in error.peer and "pays" in str(error)


def test_an_embedding_that_is_repeated_is_refused(federation: Any, stage: Any) -> None:
    seen: list[Message] = []

    def change(sender: str, _to: str, message: Message) -> Message:
        if sender == "pays" and isinstance(message, MaskedEmbedding):
            seen.append(message)
            return seen[0]
        return message

    made = federation("masked_sum")
    stage.play_on(made.roles(change))
    error = stage.results["bank"]
    assert isinstance(error, ProtocolError) and error.peer == "pays"
    assert made.label.step == 1  # the first was its own


def test_a_party_that_is_lost_ends_the_batch_for_all(federation: Any, stage: Any) -> None:
    class LostError(Exception):
        pass

    def change(sender: str, _to: str, message: Message) -> Message:
        if sender == "pays" and isinstance(message, MaskedEmbedding):
            raise LostError
        return message

    results = play(stage, federation("masked_sum"), change)
    assert isinstance(results["pays"], LostError)
    assert isinstance(results["bank"], Exception) and isinstance(results["bills"], Exception)


def test_a_plan_without_the_settings_of_a_secure_sum_is_no_plan(federation: Any, stage: Any) -> None:
    made = federation("masked_sum")
    made.plan = replace(made.plan, secure_sum=None)
    stage.play_on(made.roles())
    assert any(isinstance(result, ValueError) for result in stage.results.values())


def test_nonces_are_of_one_length() -> None:
    with pytest.raises(ValueError, match="shape"):
        AttemptNonce(nonce=np.zeros(15, np.uint8))
