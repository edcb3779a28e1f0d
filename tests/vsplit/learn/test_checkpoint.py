"""A training that was broken off at any step ends as one that was not, bit for bit."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import nn

from vsplit.aggregation import paillier_sum
from vsplit.learn.batches import split_by_seed
from vsplit.learn.checkpoint import from_bytes, to_bytes
from vsplit.learn.feature import FeatureState
from vsplit.learn.label import LabelSide, LabelState, label_role
from vsplit.learn.models import Inputs, InputShape, Store, build_bottom, build_top, tabular
from vsplit.learn.plan import Plan
from vsplit.learn.randomness import random_states, set_random_states
from vsplit.learn.training import build_optimizer, make_target
from vsplit.paillier.keys import PrivateKey, generate

SECURE: dict[str, Any] = {
    "masked_sum": {"secure_sum": {"bits": 24, "range": 0.5}},
    "paillier_sum": {"secure_sum": {"bits": 24, "range": 0.5, "key_bits": 2048, "noise": "short"}},
}


@cache
def private_key() -> PrivateKey:
    return generate(2048, random.Random("bank").randbytes)


@pytest.fixture(autouse=True)
def _keys_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paillier_sum, "generate", lambda bits, _random_bytes: private_key())


def outcome(made: Any, results: dict[str, Any]) -> dict[str, Any]:
    """All that a training leaves: weights, history, counts, predictions."""
    return made.weights() | {
        "history": torch.tensor([[one.train_loss, one.validation_loss] for one in made.label.history]),
        "validation": torch.from_numpy(results["bank"].validation),
        "test": torch.from_numpy(results["bank"].test),
        "counts": torch.tensor([[state.given, state.clipped, state.step] for state in made.states.values()]),
        "kept": torch.tensor([state.progress.kept_epoch or -1 for state in (made.label, *made.states.values())]),
    }


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def go_on(made: Any, kept: dict[str, bytes]) -> Any:
    """Make the states of a federation what they were when they were kept."""
    for name, state in {"bank": made.label, **made.states}.items():
        from_bytes(state, kept[name])
    return made


@pytest.mark.parametrize(
    ("aggregate", "changes"),
    [
        ("concat", {"optimizer": "adamw", "weight_decay": 0.01, "patience": 1, "epochs": 6, "lr": 0.3}),
        ("concat", {"optimizer": "sgd", "momentum": 0.9, "bank_has_features": False}),
        ("sum", {"optimizer": "sgd"}),
        ("masked_sum", SECURE["masked_sum"]),
        ("paillier_sum", SECURE["paillier_sum"]),
    ],
)
def test_at_every_step_a_training_goes_on_as_if_nothing_had_been(
    federation: Any, new_stage: Callable[[], Any], aggregate: str, changes: dict[str, Any]
) -> None:
    stage, straight = new_stage(), federation(aggregate, due=lambda _step: True, **changes)
    expected = outcome(straight, stage.play(straight.roles()))
    assert list(stage.kept) == list(range(1, straight.label.step + 1))
    if straight.plan.patience:  # the best epoch is not the last, so that what was remembered of it counts
        assert straight.label.progress.stopped and straight.label.progress.kept_epoch == 2
    for step, kept in stage.kept.items():
        again = go_on(federation(aggregate, **changes), kept)
        assert again.label.step == step == again.states["bills"].step
        assert_equal(expected, outcome(again, new_stage().play(again.roles())))


def test_keeping_states_changes_nothing(federation: Any, new_stage: Callable[[], Any]) -> None:
    found = []
    for due in (lambda _step: True, lambda _step: False):
        made = federation("concat", due=due)
        found.append(outcome(made, new_stage().play(made.roles())))
    assert_equal(*found)


def test_all_parties_keep_the_same_steps_when_the_label_party_says_so(
    federation: Any, new_stage: Callable[[], Any]
) -> None:
    stage, made = new_stage(), federation("sum", epochs=3, due=lambda step: step % 2 == 0)
    stage.play(made.roles())
    assert made.label.step == 6
    assert {step: sorted(kept) for step, kept in stage.kept.items()} == {
        step: ["bank", "bills", "pays"] for step in (2, 4, 6)
    }


def test_kept_states_hold_the_training_and_no_embedding_mask_or_key(
    federation: Any, new_stage: Callable[[], Any]
) -> None:
    stage, made = new_stage(), federation("masked_sum", due=lambda _step: True, **SECURE["masked_sum"])
    stage.play(made.roles())
    kept = load(stage.kept[1]["pays"])
    kinds = {name.partition(".")[0] for name in kept}
    assert kinds == {"bottom", "optimizer", "random", "best_loss"}


# --- what is drawn at random ------------------------------------------------------------------------------------------


class Restless(nn.Module):
    """Draws from every generator there is, at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, inputs: Inputs) -> torch.Tensor:
        values = torch.dropout(self.linear(inputs.numeric), 0.3, self.training)
        if self.training:
            values = values + random.gauss(0, 0.1) + float(np.random.normal(0, 0.1))
        found: torch.Tensor = self.norm(values)
        return found


def alone(kept: bytes | None = None, due: Any = lambda _step: True) -> tuple[LabelState, Any]:
    """A label party that trains alone with a restless bottom, made anew from `kept`."""
    plan = Plan(task="binary", contributors=("bank",), width=4, epochs=3, batch_size=16, lr=0.05, patience=2)
    rows = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    split = split_by_seed(60, (0.6, 0.2, 0.2), 0)
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    bottom = build_bottom(lambda _shape, _width: Restless(), InputShape(3), 4)
    top = build_top(plan, 1)
    state = LabelState(bottom, top, build_optimizer(plan, [*bottom.parameters(), *top.parameters()]))
    side = LabelSide("bank", Store(rows), make_target(plan, (rows[:, 0] > 0).astype(np.float32), split.train))
    if kept is not None:
        from_bytes(state, kept)
    return state, label_role([], state, side, split, plan, due=due)


def test_dropout_running_statistics_and_draws_of_numpy_and_python_go_on(new_stage: Callable[[], Any]) -> None:
    stage = new_stage()
    state, role = alone()
    expected = stage.play({"bank": role})["bank"]
    assert len(stage.kept) == state.step == 9
    for kept in stage.kept.values():
        again, role = alone(kept["bank"])
        assert np.array_equal(new_stage().play({"bank": role})["bank"].test, expected.test)
        assert again.history == state.history
        assert all(
            torch.equal(one, other)
            for one, other in zip(state.bottom.state_dict().values(), again.bottom.state_dict().values(), strict=True)
        )


def test_generators_go_on_where_they_stood() -> None:
    def draws() -> list[float]:
        return [
            float(torch.rand(1)), float(torch.randn(1)), np.random.normal(), np.random.random(), random.gauss(0, 1),
            random.random(),
        ]  # fmt: skip

    draws()
    np.random.normal(), random.gauss(0, 1)  # each leaves a second one waiting
    kept = random_states()
    expected = draws()
    draws()
    set_random_states(kept)
    assert draws() == expected
    with pytest.raises(ValueError, match="torch"):
        set_random_states(kept | {"torch": torch.zeros(3, dtype=torch.uint8)})
    with pytest.raises(ValueError, match="python"):
        set_random_states({name: state for name, state in kept.items() if name != "python"})


def test_weights_that_are_laid_out_otherwise_keep_their_layout() -> None:
    """The optimiser's moments of convolutions in channels-last order have that order again."""
    layer = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    plan = Plan(task="binary", contributors=("bank",))
    state = FeatureState(layer, build_optimizer(plan, layer.parameters()))
    layer(torch.ones(1, 3, 5, 5)).sum().backward()
    state.optimizer.step()
    data = to_bytes(state)
    other = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    again = FeatureState(other, build_optimizer(plan, other.parameters()))
    from_bytes(again, data)
    for one in (state, again):
        one.optimizer.zero_grad()
        one.bottom(torch.ones(1, 3, 5, 5)).sum().backward()
        one.optimizer.step()
    assert torch.equal(layer.weight, other.weight)
    assert other.weight.stride() == again.optimizer.state[other.weight]["exp_avg"].stride() == layer.weight.stride()


# --- what does not fit ------------------------------------------------------------------------------------------------


def feature_state(hidden: int = 5) -> FeatureState:
    bottom = build_bottom(tabular([hidden]), InputShape(3), 4)
    optimizer = build_optimizer(Plan(task="binary", contributors=("bank", "pays")), bottom.parameters())
    return FeatureState(bottom, optimizer)


def test_a_state_of_another_model_or_role_is_refused_and_changes_nothing() -> None:
    state, other = feature_state(), feature_state(6)
    before = [tensor.clone() for tensor in other.bottom.parameters()]
    with pytest.raises(ValueError, match=r"bottom\.layers.*\(5, 3\).*\(6, 3\)"):
        from_bytes(other, to_bytes(state))
    assert all(torch.equal(one, two) for one, two in zip(before, other.bottom.parameters(), strict=True))
    label, _ = alone()
    with pytest.raises(ValueError, match="weights"):
        from_bytes(label, to_bytes(state))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_bytes_are_refused_or_change_numbers_alone(data: st.DataObject) -> None:
    whole = to_bytes(feature_state())
    at = data.draw(st.integers(0, 4000))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(whole) - 1)) :]
    try:
        from_bytes(feature_state(), bytes(damaged), with_random=False)
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("optimizer.99.exp_avg", torch.zeros(4)),
        ("optimizer.x.exp_avg", torch.zeros(4)),
        ("optimizer.0.exp_avg", torch.zeros(4, 9)),
        ("best_loss", torch.zeros(2)),
        ("random.torch", torch.zeros(2, dtype=torch.uint8)),
        ("kept.bottom.layers.0.weight", torch.zeros(4)),
        ("bottom.layers.0.weight", torch.zeros(5, 3, dtype=torch.float64)),
    ],
)
def test_tensors_that_do_not_belong_there_are_refused(name: str, tensor: torch.Tensor) -> None:
    whole = to_bytes(feature_state())
    length = int.from_bytes(whole[:8], "little")
    head = __import__("json").loads(whole[8 : 8 + length])
    changed = save(load(whole) | {name: tensor}, metadata=head["__metadata__"])
    with pytest.raises(ValueError, match=r"."):
        from_bytes(feature_state(), changed)
