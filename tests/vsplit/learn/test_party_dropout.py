"""Party dropout: equal to one process that applies the same masks, and nothing else crosses for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vsplit.aggregation.interface import SecureSum
from vsplit.learn.batches import epoch_batches
from vsplit.learn.feature import feature_role
from vsplit.learn.label import label_role
from vsplit.learn.messages import Gradient
from vsplit.learn.party_dropout import DropoutReceiver, present
from vsplit.learn.plan import Plan
from vsplit.learn.training import build_optimizer
from vsplit.protocol import ConfigError, Role

PARTIES = ("bills", "pays", "shops")


def masks(seed: int, probability: float, parties: int, epoch: int, number: int, rows: int) -> npt.NDArray[np.float32]:
    """By SPEC.md, section 12.2, one record after another."""
    drawn = np.random.default_rng([seed, 2, epoch, number]).random(parties * rows).reshape(parties, rows)
    used = np.ones((parties, rows), np.float32)
    for row in range(rows):
        if any(drawn[party, row] >= probability for party in range(parties)):
            for party in range(parties):
                if drawn[party, row] < probability:
                    used[party, row] = 0
    return used


def roles(made: Any) -> dict[str, Role[Any]]:
    """The training alone; a single feature party has nobody to agree on seals with."""
    return {
        "bank": label_role(made.parties, made.label, made.side, made.split, made.plan),
        **{
            name: feature_role("bank", made.states[name], made.stores[name], made.split, made.plan)
            for name in made.parties
        },
    }


def pooled(made: Any) -> dict[str, torch.Tensor]:
    """The same network trained in one process on pooled data, under the same masks."""
    plan: Plan = made.plan
    bottoms = {name: state.bottom for name, state in made.states.items()}
    stores = dict(made.stores)
    if made.label.bottom is not None:
        bottoms["bank"], stores["bank"] = made.label.bottom, made.side.store
    modules = nn.ModuleDict({**bottoms, "the_top": made.label.top})
    optimizer = build_optimizer(plan, modules.parameters())
    for epoch in range(plan.epochs):
        for number, rows in enumerate(epoch_batches(made.split.train, plan.batch_size, plan.seed, epoch)):
            used = masks(plan.seed, plan.party_dropout, len(made.parties), epoch, number, len(rows))
            embeddings = {name: bottoms[name](stores[name].take(rows)) for name in plan.contributors}
            for name, mask in zip(made.parties, used, strict=True):
                embeddings[name] = embeddings[name] * torch.from_numpy(mask)[:, None]
            ordered = [embeddings[name] for name in plan.contributors]
            if plan.aggregate == "concat":
                joined = torch.cat(ordered, 1)
            else:
                joined = ordered[0]
                for one in ordered[1:]:
                    joined = joined + one
            made.side.target.loss(made.label.top(joined), made.side.target.of(rows)).backward()
            optimizer.step()
            optimizer.zero_grad()
    weights: dict[str, torch.Tensor] = made.weights()
    return weights


@pytest.mark.parametrize("bank_has_features", [True, False])
@pytest.mark.parametrize("aggregate", ["concat", "sum"])
@pytest.mark.parametrize("parties", [PARTIES[:1], PARTIES[:2], PARTIES], ids=len)
def test_training_equals_the_pooled_network_with_the_same_masks_bit_for_bit(
    federation: Any, stage: Any, aggregate: str, bank_has_features: bool, parties: tuple[str, ...]
) -> None:
    def made() -> Any:
        return federation(aggregate, parties, bank_has_features=bank_has_features, party_dropout=0.4, epochs=3, seed=7)

    expected, joint = pooled(made()), made()
    stage.play(roles(joint))
    for name, tensor in joint.weights().items():
        assert torch.equal(tensor, expected[name]), name


def test_it_changes_the_training_where_there_are_two_feature_parties_and_not_with_one(
    federation: Any, new_stage: Callable[[], Any]
) -> None:
    for parties, alike in ((PARTIES[:1], True), (PARTIES[:2], False)):
        weights = []
        for probability in (0.0, 0.5):
            made = federation("concat", parties, party_dropout=probability)
            new_stage().play(roles(made))
            weights.append(made.weights())
        assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items()) is alike


@settings(max_examples=60)
@given(parties=st.integers(1, 6), rows=st.integers(1, 50), seed=st.integers(0, 2**32), probability=st.floats(0, 0.99))
def test_each_record_has_at_least_one_feature_party(parties: int, rows: int, seed: int, probability: float) -> None:
    plan = Plan(task="binary", contributors=("a",), party_dropout=probability, seed=seed)
    used = present(plan, parties, 3, 1, rows)
    assert used.any(axis=0).all()
    assert np.array_equal(used.astype(np.float32), masks(seed, probability, parties, 3, 1, rows))
    if probability == 0 or parties == 1:
        assert used.all()


def test_embeddings_are_left_out_as_often_as_the_plan_says_and_anew_in_each_batch() -> None:
    plan = Plan(task="binary", contributors=("a",), party_dropout=0.2)
    used = present(plan, 3, 0, 0, 20_000)
    assert (~used).mean() == pytest.approx(0.2 - 0.2**3, abs=0.005)
    assert not np.array_equal(used, present(plan, 3, 0, 1, 20_000))
    assert not np.array_equal(used, present(plan, 3, 1, 0, 20_000))


def test_the_gradient_at_an_embedding_that_was_left_out_is_zero(federation: Any, stage: Any) -> None:
    made = federation("concat", party_dropout=0.5, epochs=1)
    sent: dict[str, list[npt.NDArray[np.float32]]] = {"bills": [], "pays": []}

    def note(_sender: str, to: str, message: Any) -> Any:
        if isinstance(message, Gradient):
            sent[to].append(message.values)
        return message

    stage.play(made.roles(note))
    for number, gradients in enumerate(zip(sent["bills"], sent["pays"], strict=True)):
        used = present(made.plan, 2, 0, number, len(gradients[0]))
        for values, mask in zip(gradients, used, strict=True):
            assert (values[~mask] == 0).all()
            assert (values[mask] != 0).any()


def test_kinds_sizes_and_sequence_are_those_of_a_training_without_it(
    federation: Any, new_stage: Callable[[], Any]
) -> None:
    seen = []
    for probability in (0.0, 0.5):
        stage = new_stage()
        stage.play(federation("sum", party_dropout=probability).roles())
        seen.append(sorted((sender, to, len(data)) for sender, to, data in stage.sent))
    assert seen[0] == seen[1]


def test_a_training_that_is_resumed_leaves_out_the_same(federation: Any, new_stage: Callable[[], Any]) -> None:
    straight = federation("concat", party_dropout=0.4, epochs=4)
    new_stage().play(straight.roles())
    broken = federation("concat", party_dropout=0.4, epochs=2)
    new_stage().play(broken.roles())
    broken.plan = straight.plan
    new_stage().play(broken.roles())
    for name, tensor in straight.weights().items():
        assert torch.equal(tensor, broken.weights()[name]), name


@pytest.mark.parametrize("aggregate", ["masked_sum", "paillier_sum"])
def test_it_is_refused_with_a_secure_sum(aggregate: Any) -> None:
    with pytest.raises(ConfigError, match=f"with {aggregate} the label party has only their sum"):
        Plan(task="binary", contributors=("a", "b"), aggregate=aggregate, secure_sum=SecureSum(), party_dropout=0.1)
    Plan(task="binary", contributors=("a", "b"), aggregate=aggregate, secure_sum=SecureSum())


@pytest.mark.parametrize("probability", [-0.1, 1.0, float("nan")])
def test_a_number_that_is_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(ConfigError, match="probability"):
        Plan(task="binary", contributors=("a",), party_dropout=probability)


def test_a_receiver_of_sums_has_nothing_to_leave_out() -> None:
    class Sums:
        groups = (("bills", "pays"),)

    with pytest.raises(ValueError, match="each feature party"):
        DropoutReceiver(Sums(), Plan(task="binary", contributors=("a",)))  # type: ignore[arg-type]
