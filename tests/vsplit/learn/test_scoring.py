"""Scores of a trained model: equal to one process, the same wherever a record is, and what crosses for them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vsplit.aggregation import paillier_sum, receiver_for, sender_for
from vsplit.aggregation.plain import Embedding, join
from vsplit.aggregation.secure_sum import Member
from vsplit.learn.models import InputShape, Store, build_bottom, build_top, tabular
from vsplit.learn.plan import Plan
from vsplit.learn.scoring import BLOCK, LabelPart, embed, score_feature, score_label, scoring_cut
from vsplit.learn.traffic import expected_scoring
from vsplit.learn.training import Target
from vsplit.paillier.keys import PrivateKey, generate
from vsplit.protocol import DataError, ProtocolError, Role, Send, VsplitError

ROOT = Path(__file__).parents[3]
FEATURES = 7
AGGREGATES = ["concat", "sum", "masked_sum", "paillier_sum"]
SECURE = {"range": 32.0, "bits": 24}


@cache
def private_key() -> PrivateKey:
    return generate(2048, random.Random("bank").randbytes)


@pytest.fixture(autouse=True)
def _keys_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paillier_sum, "generate", lambda bits, _random_bytes: private_key())


class Scene:
    """A trained model of a bank and its feature parties, and records to score."""

    def __init__(
        self,
        made: Any,
        records: int,
        *,
        data: int = 1,
        task: Any = "binary",
        counts: npt.NDArray[np.int64] | None = None,
        outputs: int = 1,
    ) -> None:
        self.made, self.records = made, records
        self.owner = None if counts is None else np.repeat(np.arange(records), counts)
        rng = np.random.default_rng(data)
        plan: Plan = made.plan
        torch.manual_seed(3)
        self.bottoms = {
            name: build_bottom(tabular([9]), InputShape(FEATURES, (4,)), plan.width) for name in plan.contributors
        }
        self.tables = {}
        for name in plan.contributors:
            rows = records if name != "bank" or counts is None else int(counts.sum())
            numeric = rng.standard_normal((rows, FEATURES)).astype(np.float32)
            self.tables[name] = (numeric, rng.integers(0, 4, (rows, 1)))
        self.top = build_top(plan, outputs)
        with torch.no_grad():  # as of a trained model, whose scores differ
            for module in (*self.bottoms.values(), self.top):
                for parameter in module.parameters():
                    parameter.mul_(2.0)
        self.target = Target(task, torch.empty(0), classes=outputs, centre=3.0, scale=2.0)

    def roles(self, order: dict[str, Any] | None = None, **changes: Any) -> dict[str, Role[Any]]:
        """Every party's whole part, the agreement on seals included; `order` are each party's positions to score."""
        cut = scoring_cut(self.made.plan.cut)
        order = order or {}
        secure = self.made.plan.secure_sum is not None
        models = changes.get("models", {})

        def label() -> Role[Any]:
            if secure:
                yield from self.made.relay_key_exchange()
            receiver = receiver_for(cut, "bank", self.made.parties, random_bytes=random.Random("bank").randbytes)
            bottom = self.bottoms.get("bank")
            owner, records = self.owner, changes.get("records", self.records)
            store = None
            if bottom is not None:
                numeric, codes = self.tables["bank"]
                rows = order.get("bank", np.arange(len(numeric)))
                store = Store(numeric[rows], codes[rows])
                owner = None if owner is None else owner[rows]
                records = order.get("records", records)
            part = LabelPart(bottom, self.top, self.target)
            return (yield from score_label(self.made.parties, part, store, receiver, records, owner))

        def feature(name: str) -> Role[Any]:
            seals = (yield from self.made.exchange_keys(name)) if secure else {}
            member = Member(name, "bank", self.made.parties, seals, random.Random(name).randbytes, b"run", b"")
            positions = order.get("features", np.arange(self.records))
            model = models.get(name, b"model")
            sender = sender_for(cut, member)
            return (
                yield from score_feature(
                    "bank", self.bottoms[name], Store(*self.tables[name]), positions, sender, model
                )
            )

        return {"bank": label(), **{name: feature(name) for name in self.made.parties}}

    def in_one_process(self) -> npt.NDArray[np.float64]:
        """The same network over the joined table, in one pass and in double precision."""
        embeddings = {}
        for name, bottom in self.bottoms.items():
            numeric, codes = self.tables[name]
            with torch.no_grad():
                embeddings[name] = bottom(Store(numeric, codes).take(np.arange(len(numeric)))).double()
            if self.owner is not None and name != "bank":
                embeddings[name] = embeddings[name][torch.from_numpy(self.owner)]
        with torch.no_grad():
            output = self.top.double()(
                join(self.made.plan.aggregate, [embeddings[n] for n in self.made.plan.contributors])
            )
        self.top.float()
        raw = output.numpy()
        if self.target.task == "multiclass":
            exponents = np.exp(raw - raw.max(1, keepdims=True))
            scores: npt.NDArray[np.float64] = exponents / exponents.sum(1, keepdims=True)
            return scores
        if self.target.task == "regression":
            scaled: npt.NDArray[np.float64] = raw[:, 0] * 2.0 + 3.0
            return scaled
        probabilities: npt.NDArray[np.float64] = 1 / (1 + np.exp(-raw[:, 0]))
        return probabilities


def changes_for(aggregate: str) -> dict[str, Any]:
    extra = {"key_bits": 2048, "noise": "short"} if aggregate == "paillier_sum" else {}
    return {"secure_sum": SECURE | extra} if aggregate in ("masked_sum", "paillier_sum") else {}


def shapes(sent: list[tuple[str, str, bytes]]) -> list[tuple[str, str, str, int]]:
    """Sender, receiver, kind and size of each message, in each sender's order."""
    found = []
    for source, to, data in sent:
        length = int.from_bytes(data[:4], "little")
        found.append((source, to, msgspec.msgpack.decode(data[4 : 4 + length])[0], len(data)))
    return sorted(found, key=lambda each: each[0])


# --- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("many", [False, True], ids=["one_row", "many_rows"])
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_the_scores_are_those_of_one_process(federation: Any, stage: Any, aggregate: str, many: bool) -> None:
    counts = np.random.default_rng(2).integers(1, 4, 500) if many else None
    scene = Scene(federation(aggregate, **changes_for(aggregate)), 500, counts=counts)
    found = stage.play(scene.roles())["bank"]
    wanted = scene.in_one_process()
    assert found.shape == wanted.shape and found.std() > 0.01
    assert np.abs(found - wanted).max() < (1e-6 if aggregate in ("concat", "sum") else 1e-5)


@pytest.mark.parametrize(("task", "outputs"), [("multiclass", 3), ("regression", 1)])
def test_scores_mean_what_predictions_mean(federation: Any, stage: Any, task: str, outputs: int) -> None:
    scene = Scene(federation("concat"), 70, task=task, outputs=outputs)
    found = stage.play(scene.roles())["bank"]
    assert found.shape == ((70, 3) if task == "multiclass" else (70,))
    assert np.abs(found - scene.in_one_process()).max() < 1e-5


def test_a_label_party_without_features_scores_from_the_embeddings_alone(federation: Any, stage: Any) -> None:
    scene = Scene(federation("sum", bank_has_features=False), 500)
    assert np.abs(stage.play(scene.roles())["bank"] - scene.in_one_process()).max() < 1e-6


@pytest.mark.parametrize("aggregate", ["concat", "sum", "masked_sum"])
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(records=st.integers(1, 900), taken=st.integers(1, 900), seed=st.integers(0, 2**16))
def test_a_record_has_the_same_score_wherever_it_is_and_whoever_is_with_it(
    federation: Any, new_stage: Callable[[], Any], aggregate: str, records: int, taken: int, seed: int
) -> None:
    """Bit for bit: any of the records, in any order, some of them twice."""
    scene = Scene(federation(aggregate, **changes_for(aggregate)), records, data=seed)
    whole = new_stage().play(scene.roles())["bank"]
    order = np.random.default_rng(seed).integers(0, records, taken)
    again = new_stage().play(scene.roles({"bank": order, "features": order, "records": taken}))["bank"]
    assert np.array_equal(again, whole[order])


@pytest.mark.parametrize("width", [1, 2, 16, 31])
@pytest.mark.parametrize("hidden", [[1], [5], [64], [33, 100]], ids=str)
@pytest.mark.parametrize("features", [1, 23, 200])
def test_an_embedding_does_not_depend_on_its_place_in_a_block(features: int, hidden: list[int], width: int) -> None:
    torch.manual_seed(0)
    bottom = build_bottom(tabular(hidden), InputShape(features), width)
    numeric = np.random.default_rng(0).standard_normal((2 * BLOCK + 77, features)).astype(np.float32)
    whole = embed(bottom, Store(numeric))
    order = np.random.default_rng(1).permutation(len(numeric))
    assert torch.equal(embed(bottom, Store(numeric[order])), whole[torch.from_numpy(order)])
    assert torch.equal(embed(bottom, Store(numeric[order[:3]])), whole[torch.from_numpy(order[:3])])


CODE = """
import numpy as np, torch
from vsplit.learn.models import InputShape, Store, TabularBottom
from vsplit.learn.scoring import BLOCK, embed
torch.set_num_threads(1)
order = np.random.default_rng(1).permutation(2 * BLOCK + 77)
for features in (1, 7, 23, 200):
    for hidden in ([], [5], [64], [33, 100]):
        for width in (1, 2, 16, 31):
            bottom = TabularBottom(InputShape(features), hidden, width)
            numeric = np.random.default_rng(0).standard_normal((len(order), features)).astype(np.float32)
            whole = embed(bottom, Store(numeric))[torch.from_numpy(order)]
            assert torch.equal(embed(bottom, Store(numeric[order])), whole), (features, hidden, width)
"""


@pytest.mark.parametrize("instructions", ["AVX2", "COMPATIBLE"])
def test_it_does_not_on_other_processors_either(instructions: str) -> None:
    """MKL computes as it would there; other libraries take no notice."""
    environment = os.environ | {"MKL_CBWR": instructions}
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_rows_of_a_person_may_be_in_any_order(federation: Any, new_stage: Callable[[], Any]) -> None:
    counts = np.random.default_rng(5).integers(1, 6, 490)
    scene = Scene(federation("concat"), 490, counts=counts)
    whole = new_stage().play(scene.roles())["bank"]
    order = np.random.default_rng(6).permutation(len(whole))
    assert np.array_equal(new_stage().play(scene.roles({"bank": order}))["bank"], whole[order])


# --- what crosses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_kinds_sizes_and_sequence_do_not_depend_on_features(
    federation: Any, new_stage: Callable[[], Any], aggregate: str
) -> None:
    seen = []
    for data in range(3):
        stage = new_stage()
        stage.play(Scene(federation(aggregate, **changes_for(aggregate)), 500, data=data).roles())
        seen.append(shapes(stage.sent))
    assert seen[0] == seen[1] == seen[2]
    if aggregate in ("concat", "sum"):
        assert {sender for sender, *_ in seen[0]} == {"bills", "pays"}  # the label party sends nothing


def test_the_number_of_rows_of_a_person_does_not_cross(federation: Any, new_stage: Callable[[], Any]) -> None:
    seen = []
    for counts in (None, np.full(500, 4)):
        stage = new_stage()
        stage.play(Scene(federation("concat"), 500, counts=counts).roles())
        seen.append(shapes(stage.sent))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("records", [1, BLOCK, BLOCK + 1, 700])
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_expected_traffic_is_what_crosses(federation: Any, stage: Any, aggregate: str, records: int) -> None:
    scene = Scene(federation(aggregate, **changes_for(aggregate)), records)
    stage.play(scene.roles())
    seals = {"FreshKeys", "KeyProofs"}  # of the session, and not of the scoring
    really: dict[tuple[str, str, str], list[int]] = {}
    for sender, to, kind, size in shapes(stage.sent):
        if kind not in seals:
            really.setdefault((sender, to, kind), []).append(size)
    flows = expected_scoring(scene.made.plan, "bank", records)
    assert {(flow.sender, flow.receiver, flow.kind.__name__) for flow in flows} == really.keys()
    for flow in flows:
        sizes = really[flow.sender, flow.receiver, flow.kind.__name__]
        assert len(sizes) == flow.messages
        assert sum(sizes) == pytest.approx(flow.bytes, rel=0.25, abs=100)


def test_expected_traffic_of_a_subset_counts_those_that_take_part(federation: Any) -> None:
    flows = expected_scoring(federation("concat").plan, "bank", 10, ["pays"])
    assert [flow.sender for flow in flows] == ["pays"]


# --- what does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aggregate", ["masked_sum", "paillier_sum"])
def test_no_sum_comes_about_for_two_models(federation: Any, stage: Any, aggregate: str) -> None:
    scene = Scene(federation(aggregate, **changes_for(aggregate)), 500)
    stage.play_on(scene.roles(models={"pays": b"another"}))
    assert any(isinstance(result, ProtocolError) for result in stage.results.values())
    assert not isinstance(stage.results["bank"], np.ndarray)


def test_another_number_of_records_is_refused_by_name(federation: Any, stage: Any) -> None:
    scene = Scene(federation("concat"), 500)
    stage.play_on(scene.roles({"bank": np.arange(499), "records": 499}))
    assert isinstance(stage.results["bank"], ProtocolError)
    assert stage.results["bank"].peer == "bills"


def test_an_embedding_of_another_block_is_refused_by_name(federation: Any, stage: Any) -> None:
    scene = Scene(federation("sum"), 500)

    def lying() -> Role[None]:
        yield Send("bank", Embedding(step=1, values=np.zeros((BLOCK, scene.made.plan.width), np.float32)))

    stage.play_on({**scene.roles(), "bills": lying()})
    assert isinstance(stage.results["bank"], ProtocolError) and stage.results["bank"].peer == "bills"


def test_features_that_overflow_are_the_feature_partys_own_error(federation: Any, stage: Any) -> None:
    scene = Scene(federation("concat"), 20)
    scene.tables["pays"][0][3] = 3e38
    stage.play_on(scene.roles())
    assert isinstance(stage.results["pays"], DataError)
    assert "not a finite number" in str(stage.results["pays"])
    assert isinstance(stage.results["bank"], VsplitError)


def test_there_is_a_record_to_score_and_each_row_has_one(federation: Any) -> None:
    scene = Scene(federation("concat"), 5)
    for role in (scene.roles(records=0)["bank"], scene.roles({"features": np.arange(0)})["bills"]):
        with pytest.raises(ValueError, match="a record or more"):
            next(role)
    with pytest.raises(ValueError, match="4 rows to score, and features of 5"):
        next(scene.roles(records=4)["bank"])
    scene = Scene(federation("concat"), 5, counts=np.full(5, 2))
    with pytest.raises(ValueError, match="belongs to one of 4"):
        next(scene.roles(records=4)["bank"])
