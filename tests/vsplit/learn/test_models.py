"""Bottom and top models, weights, and a user's own module."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vsplit.aggregation.plain import join
from vsplit.learn import runtime
from vsplit.learn.models import (
    Inputs,
    InputShape,
    Store,
    TabularBottom,
    build_bottom,
    build_top,
    load_weights,
    tabular,
    weights,
)
from vsplit.learn.plan import Plan
from vsplit.learn.training import make_target
from vsplit.protocol import ConfigError, DataError


def test_categories_of_different_columns_have_vectors_of_their_own() -> None:
    torch.manual_seed(0)
    bottom = build_bottom(tabular([8]), InputShape(2, (3, 4)), 5)
    store = Store(np.zeros((2, 2), np.float32), np.array([[1, 2], [2, 1]], np.int64))
    one, other = bottom(store.take(np.array([0, 1])))
    assert one.shape == (5,)
    assert not torch.equal(one, other)


def test_a_store_gives_the_rows_that_are_asked_for_and_images_between_0_and_1() -> None:
    images = np.arange(4 * 3 * 2 * 2, dtype=np.uint8).reshape(4, 3, 2, 2)
    images[2, 0, 0, 0] = 255
    store = Store(np.arange(8, dtype=np.float32).reshape(4, 2), images=images)
    inputs = store.take(np.array([2, 0]))
    assert inputs.numeric.tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert inputs.categories.shape == (2, 0)
    assert inputs.image.shape == (2, 3, 2, 2)
    assert inputs.image.max() == 1.0


def test_a_store_holds_once_what_many_rows_have_in_common() -> None:
    numeric, codes = np.arange(4, dtype=np.float32).reshape(2, 2), np.array([[1], [2]], np.int64)
    images = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    store = Store(numeric, codes, images, places=np.array([1, 1, 0, 1]))
    assert len(store) == 4
    inputs = store.take(np.array([2, 0, 3]))
    assert inputs.numeric.tolist() == [[0.0, 1.0], [2.0, 3.0], [2.0, 3.0]]
    assert inputs.categories.tolist() == [[1], [2], [2]]
    assert inputs.image.flatten().tolist() == [0.0, 1.0, 1.0]


def test_weights_go_to_safetensors_and_back() -> None:
    one, two = (build_bottom(tabular([6]), InputShape(3, (4,)), 2) for _ in range(2))
    inputs = Inputs(torch.randn(5, 3), torch.ones(5, 1, dtype=torch.int64), torch.zeros(5, 0))
    assert not torch.equal(one(inputs), two(inputs))
    load_weights(two, weights(one))
    assert torch.equal(one(inputs), two(inputs))


def test_the_top_takes_what_the_aggregation_gives() -> None:
    embeddings = [torch.randn(4, 3) for _ in range(3)]
    for aggregate in ("concat", "sum"):
        plan = Plan(task="multiclass", contributors=("a", "b", "c"), aggregate=aggregate, width=3)  # type: ignore[arg-type]
        assert build_top(plan, 5)(join(plan.aggregate, embeddings)).shape == (4, 5)


def test_a_sum_is_added_in_the_order_given() -> None:
    large, small = torch.tensor([[1e8]]), torch.tensor([[1.0]])
    assert join("sum", [large, small, -large]) != join("sum", [large, -large, small])


# --- a user's own module ----------------------------------------------------------------------------------------------


def test_a_module_that_fails_on_the_inputs_is_a_config_error() -> None:
    class Broken(nn.Module):
        def forward(self, inputs: Inputs) -> torch.Tensor:
            raise RuntimeError("no such thing")

    with pytest.raises(ConfigError, match="fails on this party's inputs"):
        build_bottom(lambda _shape, _width: Broken(), InputShape(2), 4)


def test_the_built_in_bottom_does_not_take_images() -> None:
    with pytest.raises(ConfigError, match=r"bottom: \{module"):
        build_bottom(tabular([4]), InputShape(0, (), (1, 4, 4)), 4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device, so asking for one is no error")
def test_a_device_that_is_not_there_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="device: cuda:3"):
        runtime.configure(1, "cuda:3")


# --- targets ----------------------------------------------------------------------------------------------------------


def plan(task: Any, *, balanced: bool = False) -> Plan:
    return Plan(task=task, contributors=("a",), balanced=balanced)


def test_a_regression_is_learnt_scaled_and_predicted_in_its_own_unit() -> None:
    values = np.array([100.0, 200.0, 300.0, 1e6])
    target = make_target(plan("regression"), values, np.array([0, 1, 2]))
    assert (target.centre, target.scale) == (200.0, pytest.approx(81.6497, rel=1e-5))
    assert target.predictions(torch.tensor([[0.0], [1.0]])).tolist() == [200.0, pytest.approx(281.6497)]
    assert float(target.loss(torch.tensor([[-1.224745]]), target.of(np.array([0])))) == pytest.approx(0.0, abs=1e-9)


def test_balanced_weights_make_classes_count_alike_in_training() -> None:
    labels = np.array([0, 0, 0, 1], np.float32)
    target = make_target(plan("binary", balanced=True), labels, np.arange(4))
    assert target.weights is not None
    assert target.weights.tolist() == pytest.approx([2 / 3, 2.0])


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_training_rows_with_one_label_only_are_an_error(task: str) -> None:
    with pytest.raises(DataError, match="training rows"):
        make_target(plan(task), np.array([1, 1, 0], np.float32), np.array([0, 1]))


def test_tabular_bottoms_without_numbers_or_without_categories_work() -> None:
    only_codes = TabularBottom(InputShape(0, (3,)), [], 2)
    assert only_codes(Inputs(torch.zeros(4, 0), torch.zeros(4, 1, dtype=torch.int64), torch.zeros(4, 0))).shape == (
        4,
        2,
    )


def test_large_regression_labels_that_differ_little_stay_apart() -> None:
    values = 1e9 + np.arange(10.0)  # single precision counts in steps of 64 there
    target = make_target(plan("regression"), values, np.arange(10))
    assert len(set(target.values.tolist())) == 10
    assert target.predictions(target.values[:, None]).tolist() == pytest.approx(values.tolist(), abs=1e-2)


# --- what the trial of a module finds before anybody is met -----------------------------------------------------------


class Small(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(2, width)

    def forward(self, inputs: Inputs) -> torch.Tensor:
        output: torch.Tensor = self.layer(inputs.numeric)
        return output


def test_a_module_with_nothing_to_train_is_a_config_error() -> None:
    def frozen(_shape: InputShape, width: int) -> nn.Module:
        return Small(width).requires_grad_(False)

    with pytest.raises(ConfigError, match="no trainable parameter"):
        build_bottom(frozen, InputShape(2), 4)


def test_a_module_that_changes_its_type_in_training_is_a_config_error() -> None:
    class Half(Small):
        def forward(self, inputs: Inputs) -> torch.Tensor:
            output = super().forward(inputs)
            return output.half() if self.training else output

    with pytest.raises(ConfigError, match="float16"):
        build_bottom(lambda _shape, width: Half(width), InputShape(2), 4)


def test_tied_parameters_can_be_saved_and_loaded() -> None:
    class Tied(Small):
        def __init__(self, width: int) -> None:
            super().__init__(width)
            self.again = self.layer

    one, two = (build_bottom(lambda _shape, width: Tied(width), InputShape(2), 4) for _ in range(2))
    load_weights(two, weights(one))
    assert torch.equal(two.again.weight, one.layer.weight)


def test_the_trial_changes_neither_the_module_nor_the_random_state() -> None:
    def build(_shape: InputShape, width: int) -> nn.Module:
        torch.manual_seed(5)
        return nn.Sequential(Small(width), nn.BatchNorm1d(width), nn.Dropout(0.5))

    bottom = build_bottom(build, InputShape(2), 4)
    after = torch.get_rng_state()
    untouched = build(InputShape(2), 4)
    assert torch.equal(after, torch.get_rng_state())
    for name, tensor in untouched.state_dict().items():
        assert torch.equal(tensor, bottom.state_dict()[name])


# --- seeds ------------------------------------------------------------------------------------------------------------


def test_entropy_fills_the_whole_state_of_the_generator() -> None:
    """With `torch.manual_seed` alone, two seeds that agree in 32 bits give the same weights."""
    entropy = bytes(range(256)) * 9 + bytes(runtime.STATE_BYTES - 256 * 9)
    drawn = []
    for private in (entropy, entropy, entropy[:-1] + b"x", entropy[:4] + entropy[:3:-1]):
        runtime.seed(private)
        drawn.append(torch.randn(700).tolist())
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2] and drawn[0] != drawn[3] and drawn[2] != drawn[3]
    with pytest.raises(ValueError, match="bytes"):
        runtime.seed(b"short")


def test_a_number_seeds_as_torch_does() -> None:
    runtime.seed(7)
    ours = torch.randn(5)
    torch.manual_seed(7)
    assert torch.equal(ours, torch.randn(5))
