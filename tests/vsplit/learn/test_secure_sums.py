"""What both kinds of secure sum promise alike."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import pytest
import torch

from vsplit.learn import chain
from vsplit.learn.secure_sum import fixed_point_of
from vsplit.learn.ways import taking_for
from vsplit.paillier.keys import PrivateKey, generate
from vsplit.protocol import ConfigError

SETTINGS: dict[str, dict[str, Any]] = {
    "masked_sum": {"bits": 24, "range": 4.0},
    "paillier_sum": {"bits": 24, "range": 4.0, "key_bits": 2048, "noise": "short"},
}
both = pytest.mark.parametrize("aggregate", sorted(SETTINGS))


@cache
def private_key() -> PrivateKey:
    return generate(2048, random.Random("bank").randbytes)


@pytest.fixture(autouse=True)
def _keys_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "generate", lambda bits, _random_bytes: private_key())


def shapes(sent: list[tuple[str, str, bytes]], sender: str) -> list[tuple[str, str, int]]:
    """Receiver, kind and size of each message of one party, in order."""
    found = []
    for source, to, data in sent:
        if source == sender:
            length = int.from_bytes(data[:4], "little")
            found.append((to, msgspec.msgpack.decode(data[4 : 4 + length])[0], len(data)))
    return found


@both
def test_kinds_sizes_and_sequence_do_not_depend_on_features_or_labels(
    federation: Any, new_stage: Callable[[], Any], aggregate: str
) -> None:
    seen = []
    for data in range(3):
        stage = new_stage()
        made = federation(aggregate, ("bills", "pays", "shops"), data=data, secure_sum=SETTINGS[aggregate])
        stage.play(made.roles())
        seen.append([shapes(stage.sent, name) for name in ("bank", *made.parties)])
    assert seen[0] == seen[1] == seen[2]
    to_features = {kind for to, kind, _ in seen[0][0]}
    agreed = {"FreshKeys", "KeyProofs", "AttemptNonces", "Gradient", "Verdict"}
    assert to_features == agreed | ({"PaillierKey", "Sealed"} if aggregate == "paillier_sum" else set())
    from_features = {kind for sender in seen[0][1:] for _, kind, _ in sender}
    given = {"Sealed", "EncryptedSum"} if aggregate == "paillier_sum" else {"MaskedEmbedding"}
    assert from_features == {"FreshKeys", "KeyProofs", "AttemptNonce"} | given


@both
@pytest.mark.parametrize("bank_has_features", [True, False])
def test_the_result_is_that_of_an_open_sum_but_for_quantisation(
    federation: Any, new_stage: Callable[[], Any], aggregate: str, bank_has_features: bool
) -> None:
    parties = ("bills", "pays") if bank_has_features else ("bills", "pays", "shops", "rents")
    weights = {}
    for each in ("sum", aggregate):
        made = federation(each, parties, bank_has_features=bank_has_features, secure_sum=SETTINGS[aggregate])
        results = new_stage().play(made.roles())
        weights[each] = made.weights() | {"test": torch.from_numpy(results["bank"].test)}
    for name, tensor in weights["sum"].items():
        assert torch.allclose(tensor, weights[aggregate][name], atol=2e-4), name


@both
def test_a_training_that_is_taken_up_again_goes_on_where_it_stood(
    federation: Any, new_stage: Callable[[], Any], aggregate: str
) -> None:
    """A second session has seals, an attempt and masks or keys of its own, and the same whole numbers to add."""
    straight = federation(aggregate, epochs=4, secure_sum=SETTINGS[aggregate])
    new_stage().play(straight.roles())
    broken = federation(aggregate, epochs=2, secure_sum=SETTINGS[aggregate])
    new_stage().play(broken.roles())
    broken.plan = replace(broken.plan, epochs=4)
    new_stage().play(broken.roles())
    again = broken.weights()
    for name, tensor in straight.weights().items():
        assert torch.equal(tensor, again[name]), name
    assert [state.given for state in broken.states.values()] > [state.given for state in straight.states.values()]


@both
def test_early_stopping_ends_all_parties_alike(federation: Any, stage: Any, aggregate: str) -> None:
    made = federation(aggregate, epochs=60, patience=2, lr=0.1, secure_sum=SETTINGS[aggregate])
    stage.play(made.roles())
    assert made.label.progress.stopped
    assert {state.progress.kept_epoch for state in made.states.values()} == {made.label.progress.kept_epoch}


@both
def test_a_sum_of_one_is_none(federation: Any, aggregate: str) -> None:
    made = federation(aggregate, secure_sum=SETTINGS[aggregate])
    with pytest.raises(ConfigError, match="feature parties"):
        taking_for(made.plan, "bank", ("bills",), random_bytes=random.Random(0).randbytes)
    with pytest.raises(ConfigError, match="feature parties"):
        fixed_point_of(made.plan, ("bills",))
