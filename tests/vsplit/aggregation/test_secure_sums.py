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

from vsplit.aggregation import paillier_sum, receiver_for
from vsplit.aggregation.secure_sum import fixed_point_of
from vsplit.learn.messages import Gradient, Verdict
from vsplit.paillier.keys import PrivateKey, generate
from vsplit.protocol import ConfigError, Message, ProtocolError, VsplitError

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
    monkeypatch.setattr(paillier_sum, "generate", lambda bits, _random_bytes: private_key())


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


def another_split(made: Any) -> None:
    """As large as the others', with two records in each other's place."""
    train = made.split.train.copy()
    train[[0, 1]] = train[[1, 0]]
    made.told_split["pays"] = replace(made.split, train=train)


def another_count(made: Any) -> None:
    """Another number of rows for some record."""
    made.told_counts["pays"] = b"other"


def another_run(made: Any) -> None:
    """A name that differs in its last bit, and as it may be of another alignment, with other records."""
    made.told_run["pays"] = b"a run of sixteeo"


def another_step(made: Any) -> None:
    """A later begin."""
    made.states["pays"].progress.kept_epoch = 0


@both
@pytest.mark.parametrize("tell", [another_split, another_count, another_run, another_step])
def test_a_label_party_that_tells_one_party_another_beginning_gets_no_sum(
    federation: Any, stage: Any, aggregate: str, tell: Callable[[Any], None]
) -> None:
    """Sums of embeddings of different records, of the label party's choice, would give single embeddings away."""
    made = federation(aggregate, secure_sum=SETTINGS[aggregate])
    tell(made)
    stage.play_on(made.roles())
    assert named_before_a_step(stage, made, 0)


def larger_gradient(message: Message) -> Message:
    if isinstance(message, Gradient) and message.step == 2:
        return Gradient(step=2, checkpoint=False, values=message.values * 2)
    return message


def zero_gradient(message: Message) -> Message:
    if isinstance(message, Gradient) and message.step == 2:
        return Gradient(step=2, checkpoint=False, values=0 * message.values)
    return message


def checkpoint_for_one(message: Message) -> Message:
    if isinstance(message, Gradient) and message.step == 2:
        return Gradient(step=2, checkpoint=True, values=message.values)
    return message


def another_verdict(message: Message) -> Message:
    if isinstance(message, Verdict):
        return Verdict(epoch=message.epoch, keep=not message.keep, stop=message.stop)
    return message


@both
@pytest.mark.parametrize(
    ("change", "step"), [(larger_gradient, 3), (zero_gradient, 3), (checkpoint_for_one, 3), (another_verdict, 4)]
)
def test_a_label_party_that_tells_one_party_something_else_gets_no_further_sum(
    federation: Any, stage: Any, aggregate: str, change: Callable[[Message], Message], step: int
) -> None:
    """With a gradient for one party alone it could bring that party's embedding to where it knows it."""
    made = federation(aggregate, secure_sum=SETTINGS[aggregate], batch_size=16)
    stage.play_on(made.roles(lambda _sender, to, message: change(message) if to == "pays" else message))
    assert named_before_a_step(stage, made, step)


def named_before_a_step(stage: Any, made: Any, step: int) -> bool:
    """Whether all ended by an error, one of them about what was sent, before the bank had done more steps than these."""
    assert all(isinstance(result, VsplitError) for result in stage.results.values())
    assert any(isinstance(result, ProtocolError) for result in stage.results.values())
    return bool(made.label.step <= step)


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
        receiver_for(made.plan.cut, "bank", ("bills",), random_bytes=random.Random(0).randbytes)
    with pytest.raises(ConfigError, match="feature parties"):
        fixed_point_of(made.plan.cut, ("bills",))
