"""Predictions with each column shuffled: equal to one process, and what crosses for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from vsplit.aggregation.interface import SecureSum
from vsplit.learn.column_importance import (
    Column,
    LabelColumns,
    ShuffledColumn,
    importance_feature,
    importance_label,
)
from vsplit.learn.models import InputShape, Store, TabularBottom, Top
from vsplit.learn.plan import Plan
from vsplit.learn.scoring import BLOCK, LabelPart, scoring_cut
from vsplit.learn.training import Target
from vsplit.protocol import ConfigError, Role

COLUMNS = (Column(numeric=(0, 2)), Column(numeric=(1,)), Column(categories=(0,)))
REPEATS = 2


class Scene:
    """A bank, two feature parties and their trained models; each has three columns, which became four inputs."""

    def __init__(self, aggregate: Any, rows: int = BLOCK + 40, data: int = 0, bank_has_features: bool = True) -> None:
        rng = np.random.default_rng(data)
        names = (*(["bank"] if bank_has_features else []), "bills", "pays")
        self.rows, self.plan = rows, Plan(task="binary", contributors=names, aggregate=aggregate, width=4)
        self.stores = {
            name: Store(rng.standard_normal((rows, 3)).astype(np.float32), rng.integers(0, 5, (rows, 1)))
            for name in names
        }
        torch.manual_seed(1)
        self.bottoms = {name: TabularBottom(InputShape(3, (5,)), [6], 4) for name in names}
        self.part = LabelPart(
            self.bottoms.get("bank"), Top(self.plan.joined_width, [8], 1), Target("binary", torch.empty(0))
        )

    def roles(self) -> dict[str, Role[Any]]:
        own = LabelColumns(self.stores["bank"], COLUMNS) if "bank" in self.stores else None
        counts = {"bills": len(COLUMNS), "pays": len(COLUMNS)}
        cut = scoring_cut(self.plan.cut)
        return {
            "bank": importance_label("bank", self.part, own, counts, cut, self.rows, REPEATS, 5),
            "bills": self.feature("bills", 6),
            "pays": self.feature("pays", 7),
        }

    def feature(self, name: str, seed: int) -> Role[None]:
        bottom, store = self.bottoms[name], self.stores[name]
        return importance_feature("bank", bottom, store, COLUMNS, self.plan.aggregate, REPEATS, seed)

    def in_one_process(self, changed: str = "", column: Column | None = None, order: Any = None) -> Any:
        embeddings = []
        for name in self.plan.contributors:
            inputs = self.stores[name].take(np.arange(self.rows))
            if name == changed and column is not None:
                for place in column.numeric:
                    inputs.numeric[:, place] = inputs.numeric[order, place]
                for place in column.categories:
                    inputs.categories[:, place] = inputs.categories[order, place]
            with torch.no_grad():
                embeddings.append(self.bottoms[name](inputs))
        with torch.no_grad():
            joined = torch.cat(embeddings, 1) if self.plan.aggregate == "concat" else sum(embeddings)
            return torch.sigmoid(self.part.top(joined)[:, 0].double()).numpy()


@pytest.mark.parametrize("bank_has_features", [True, False])
@pytest.mark.parametrize("aggregate", ["concat", "sum"])
def test_the_predictions_are_those_of_one_process(aggregate: str, bank_has_features: bool, stage: Any) -> None:
    scene = Scene(aggregate, bank_has_features=bank_has_features)
    found = stage.play(scene.roles())["bank"]
    assert np.abs(found.plain - scene.in_one_process()).max() < 1e-6
    assert found.shuffled.keys() == {(name, number) for name in scene.plan.contributors for number in range(3)}
    for name, seed in (("bank", 5), ("bills", 6), ("pays", 7)):
        rng = np.random.default_rng(seed)
        for number, column in enumerate(COLUMNS if name in scene.stores else ()):
            for again in range(REPEATS):
                wanted = scene.in_one_process(name, column, rng.permutation(scene.rows))
                shuffled = found.shuffled[name, number]
                assert len(shuffled) == REPEATS
                assert np.abs(shuffled[again] - wanted).max() < 1e-6
                assert np.abs(shuffled[again] - found.plain).max() > 1e-4


def test_the_rows_of_a_person_are_joined_with_its_one_embedding(new_stage: Callable[[], Any]) -> None:
    scene = Scene("concat", rows=60)
    owner = np.random.default_rng(1).permutation(np.repeat(np.arange(60), 2))
    once = new_stage().play(scene.roles())["bank"]
    roles = scene.roles()
    bank = scene.stores["bank"].take(owner)
    own = LabelColumns(Store(bank.numeric.numpy(), bank.categories.numpy()), ())
    roles["bank"] = importance_label(
        "bank", scene.part, own, {"bills": 3, "pays": 3}, scoring_cut(scene.plan.cut), 60, REPEATS, 5, owner
    )
    found = new_stage().play(roles)["bank"]
    assert np.array_equal(found.plain, once.plain[owner])
    for key, each in found.shuffled.items():
        assert all(np.array_equal(one, other[owner]) for one, other in zip(each, once.shuffled[key], strict=True))


def test_kinds_sizes_and_sequence_do_not_depend_on_features_and_the_label_party_sends_nothing(
    new_stage: Callable[[], Any],
) -> None:
    seen = []
    for data in range(2):
        stage = new_stage()
        stage.play(Scene("concat", data=data).roles())
        seen.append(sorted((sender, to, len(each)) for sender, to, each in stage.sent))
    assert seen[0] == seen[1]
    assert {sender for sender, *_ in seen[0]} == {"bills", "pays"}
    assert len(seen[0]) == 2 * (1 + len(COLUMNS) * REPEATS) * 2  # parties, passes, blocks


def test_a_shuffled_column_takes_its_inputs_of_another_row_and_leaves_the_source_as_it_is() -> None:
    store = Scene("concat", rows=6).stores["bills"]
    order, rows = np.array([5, 4, 3, 2, 1, 0]), np.array([0, 3])
    before = store.take(rows)
    found = ShuffledColumn(store, COLUMNS[0], order).take(rows)
    other = store.take(order[rows])
    assert torch.equal(found.numeric[:, [0, 2]], other.numeric[:, [0, 2]])
    assert torch.equal(found.numeric[:, 1], before.numeric[:, 1])
    assert torch.equal(found.categories, before.categories)
    assert torch.equal(store.take(rows).numeric, before.numeric)


def test_an_image_is_shuffled_as_a_whole() -> None:
    images = np.arange(4 * 3 * 2 * 2, dtype=np.uint8).reshape(4, 3, 2, 2)
    store = Store(np.zeros((4, 1), np.float32), images=images)
    found = ShuffledColumn(store, Column(image=True), np.array([1, 0, 3, 2])).take(np.arange(4))
    assert torch.equal(found.image, store.take(np.array([1, 0, 3, 2])).image)


@pytest.mark.parametrize("aggregate", ["masked_sum", "paillier_sum"])
def test_with_a_secure_sum_columns_of_feature_parties_are_refused(aggregate: Any) -> None:
    scene = Scene("sum", rows=5)
    scene.plan = replace(scene.plan, aggregate=aggregate, secure_sum=SecureSum())
    for role in scene.roles().values():
        with pytest.raises(ConfigError, match="difference of two embeddings"):
            next(role)
