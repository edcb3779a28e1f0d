"""The joint training equals the same network trained in one process with pooled data, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vsplit.aggregation.plain import join
from vsplit.learn.batches import Split, epoch_batches, from_parts, split_by_date, split_by_seed, to_parts
from vsplit.learn.feature import FeatureState, feature_role
from vsplit.learn.groups import Groups
from vsplit.learn.label import LabelSide, LabelState, label_role
from vsplit.learn.models import InputShape, Store, build_bottom, build_top, tabular
from vsplit.learn.plan import Plan
from vsplit.learn.training import build_optimizer, make_target
from vsplit.protocol import Role

ROWS = 700


class World:
    """The data of all parties, and identical models for the split and the pooled training."""

    def __init__(self, plan: Plan) -> None:
        rng = np.random.default_rng(3)
        self.plan = plan
        self.stores = {}
        for index, name in enumerate(plan.contributors):
            numeric = rng.standard_normal((ROWS, 5 + index)).astype(np.float32)
            codes = rng.integers(0, 4, (ROWS, index % 2), dtype=np.int64)
            self.stores[name] = (numeric, codes)
        signal = sum(numeric[:, 0] for numeric, _ in self.stores.values())
        if plan.task == "binary":
            labels = (signal > 0).astype(np.float32)
        elif plan.task == "multiclass":
            labels = np.digitize(signal, [-1.0, 1.0])
        else:
            labels = signal.astype(np.float32)
        self.split = split_by_seed(ROWS, (0.7, 0.1, 0.2), plan.seed)
        self.target = make_target(plan, labels, self.split.train)

    def store(self, name: str) -> Store:
        numeric, codes = self.stores[name]
        return Store(numeric, codes if codes.shape[1] else None)

    def models(self) -> tuple[dict[str, nn.Module], nn.Module]:
        torch.manual_seed(11)
        bottoms = {}
        for name, (numeric, codes) in self.stores.items():
            shape = InputShape(numeric.shape[1], (4,) * codes.shape[1])
            bottoms[name] = build_bottom(tabular([8]), shape, self.plan.width)
        return bottoms, build_top(self.plan, self.target.outputs)

    def pooled(self, epochs: int) -> dict[str, torch.Tensor]:
        bottoms, top = self.models()
        modules = nn.ModuleDict({**bottoms, "the_top": top})
        optimizer = build_optimizer(self.plan, modules.parameters())
        stores = {name: self.store(name) for name in bottoms}
        for epoch in range(epochs):
            for rows in epoch_batches(self.split.train, self.plan.batch_size, self.plan.seed, epoch):
                embeddings = [bottoms[name](stores[name].take(rows)) for name in self.plan.contributors]
                loss = self.target.loss(top(join(self.plan.aggregate, embeddings)), self.target.of(rows))
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        return dict(modules.state_dict())

    def joint(self, stage: Any) -> dict[str, torch.Tensor]:
        bottoms, top = self.models()
        label, *features = ["clinic", *[name for name in bottoms if name != "clinic"]]
        own = [*(bottoms[label].parameters() if label in bottoms else []), *top.parameters()]
        state = LabelState(bottoms.get(label), top, build_optimizer(self.plan, own))
        side = LabelSide(label, self.store(label) if label in bottoms else None, self.target)
        roles: dict[str, Role[Any]] = {label: label_role(features, state, side, self.split, self.plan)}
        for name in features:
            feature = FeatureState(bottoms[name], build_optimizer(self.plan, bottoms[name].parameters()))
            roles[name] = feature_role(label, feature, self.store(name), self.split, self.plan)
        stage.play(roles)
        return dict(nn.ModuleDict({**bottoms, "the_top": top}).state_dict())


TWO = ("clinic", "lab")
THREE = ("lab", "clinic", "vendor")
WITHOUT_OWN_FEATURES = ("lab", "vendor")


@pytest.mark.parametrize("contributors", [TWO, THREE, WITHOUT_OWN_FEATURES], ids="-".join)
@pytest.mark.parametrize("aggregate", ["concat", "sum"])
def test_one_epoch_equals_the_pooled_network_bit_for_bit(
    contributors: tuple[str, ...], aggregate: Any, stage: Any
) -> None:
    plan = Plan(
        task="binary",
        contributors=contributors,
        aggregate=aggregate,
        width=6,
        top_hidden=(8,),
        epochs=1,
        batch_size=64,
        lr=0.01,
    )
    compare(World(plan), stage)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_three_epochs_of_every_task_and_optimiser_equal_the_pooled_network(
    task: Any, optimizer: Any, stage: Any
) -> None:
    plan = Plan(
        task=task,
        contributors=THREE,
        width=6,
        top_hidden=(8, 4),
        epochs=3,
        batch_size=50,
        optimizer=optimizer,
        lr=0.01,
        weight_decay=0.01,
        momentum=0.9 if optimizer == "sgd" else 0.0,
        balanced=task != "regression",
        seed=5,
    )
    compare(World(plan), stage)


def test_with_a_split_by_date_the_feature_parties_train_on_the_same_rows(stage: Any) -> None:
    plan = Plan(task="binary", contributors=TWO, width=6, epochs=2, batch_size=64, lr=0.01)
    world = World(plan)
    split = split_by_date(np.random.default_rng(4).permutation(ROWS).astype(np.int64), (0.7, 0.1, 0.2))
    world.split = from_parts(to_parts(split, ROWS))  # what the feature parties make of the message
    pooled = world.pooled(2)
    world.split = split  # what the label party trains by
    joint = world.joint(stage)
    for name, tensor in pooled.items():
        assert torch.equal(tensor, joint[name]), name


@pytest.mark.parametrize("by", ["seed", "date"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_with_many_rows_for_one_person_the_feature_parties_train_on_the_joined_table(
    task: Any, by: str, stage: Any
) -> None:
    """The pooled side holds the join, each person's values on each of the person's rows; the parties hold them once."""
    plan = Plan(
        task=task, contributors=THREE, width=6, epochs=2, batch_size=64, lr=0.01, balanced=task == "binary", seed=2
    )
    world = Visits(plan, by)
    assert set(world.groups.person[world.split.train]).isdisjoint(world.groups.person[world.split.test])
    compare(world, stage)


class Visits(World):
    """The clinic's rows are visits; the others hold each person once."""

    def __init__(self, plan: Plan, by: str) -> None:
        super().__init__(plan)
        rng = np.random.default_rng(8)
        counts = rng.integers(1, 7, 200)
        counts[0] += ROWS - counts.sum()
        self.groups = Groups(counts)
        self.joining = True
        for name in ("lab", "vendor"):
            self.stores[name] = tuple(values[: len(counts)][self.groups.person] for values in self.stores[name])
        if by == "seed":
            persons = split_by_seed(len(counts), (0.7, 0.1, 0.2), plan.seed, counts)
        else:
            latest = self.groups.latest(rng.integers(0, 365, ROWS))
            persons = from_parts(to_parts(split_by_date(latest, (0.7, 0.1, 0.2), counts), len(counts)))
        self.split = self.groups.split_rows(persons)
        self.target = make_target(plan, self.target.values.numpy(), self.split.train)

    def joint(self, stage: Any) -> dict[str, torch.Tensor]:
        self.joining = False
        return super().joint(stage)

    def store(self, name: str) -> Store:
        if self.joining or name == "clinic":
            return super().store(name)
        numeric, codes = (values[self.groups.starts] for values in self.stores[name])
        return Store(numeric, codes if codes.shape[1] else None, places=self.groups.person)


def compare(world: World, stage: Any) -> None:
    pooled = world.pooled(world.plan.epochs)
    joint = world.joint(stage)
    assert pooled.keys() == joint.keys()
    for name, tensor in pooled.items():
        assert torch.equal(tensor, joint[name]), name


def test_the_comparison_can_fail(stage: Any) -> None:
    plan = Plan(task="binary", contributors=TWO, width=6, epochs=1, batch_size=64, lr=0.01)
    world = World(plan)
    joint = world.joint(stage)
    world.split = Split(world.split.train[::-1].copy(), world.split.validation, world.split.test)
    pooled = world.pooled(1)
    assert any(not torch.equal(tensor, joint[name]) for name, tensor in pooled.items())
