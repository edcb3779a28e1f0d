"""The record of embeddings, and the tops for subsets of the feature parties that are trained on it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load
from sklearn.metrics import roc_auc_score

from vsplit.aggregation.plain import Embedding, PlainReceiver, PlainSender
from vsplit.learn.batches import epoch_batches, split_by_seed
from vsplit.learn.checkpoint import from_bytes
from vsplit.learn.embedding_record import EmbeddingRecord, RecordingReceiver
from vsplit.learn.feature import FeatureState, feature_role
from vsplit.learn.label import LabelSide, LabelState, Predictions, label_role
from vsplit.learn.messages import Verdict
from vsplit.learn.models import InputShape, Store, build_bottom, build_top, tabular
from vsplit.learn.plan import Plan
from vsplit.learn.scoring import LabelPart, embed, score_feature, score_label, scoring_cut
from vsplit.learn.subset_models import SubsetModel, check_subset, subsets, train_subset_model
from vsplit.learn.training import build_optimizer, make_target
from vsplit.protocol import ConfigError, Note, Role

EARLY = {"patience": 2, "epochs": 12, "lr": 0.3}


def recorded(federation: Any, aggregate: str = "concat", **changes: Any) -> Any:
    """A federation whose bank records what arrives."""
    made = federation(aggregate, **changes)
    rows = sum(len(part) for part in (made.split.train, made.split.validation, made.split.test))
    made.label.record = EmbeddingRecord(len(made.parties), rows, made.plan.width)
    return made


def finish(role: Role[Any]) -> Any:
    """Run a role that sends and receives nothing."""
    try:
        while True:
            assert isinstance(next(role), Note)
    except StopIteration as end:
        return end.value


def model_of(made: Any, parties: tuple[str, ...], seed: bytes = b"private") -> SubsetModel:
    model: SubsetModel = finish(train_subset_model(parties, made.label, made.side, made.split, made.plan, seed))
    return model


# --- the record -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"epochs": 3}, EARLY], ids=["last_epoch", "early_stopping"])
@pytest.mark.parametrize("aggregate", ["concat", "sum"])
def test_it_has_what_crossed_in_the_kept_epoch_and_at_the_end(
    federation: Any, stage: Any, aggregate: str, changes: dict[str, Any]
) -> None:
    made = recorded(federation, aggregate, **changes)
    crossed: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in made.parties}
    verdicts = []

    def note(sender: str, to: str, message: Any) -> Any:
        if isinstance(message, Embedding):
            crossed[sender].append(message.values)
        if isinstance(message, Verdict) and to == "bills":
            verdicts.append(message)
        return message

    stage.play(made.roles(note))
    kept = made.label.progress.kept_epoch
    if made.plan.patience:
        assert kept == max(verdict.epoch for verdict in verdicts if verdict.keep) < verdicts[-1].epoch
    order = epoch_batches(made.split.train, made.plan.batch_size, made.plan.seed, kept)
    each_epoch = len(order) + 1  # the validation rows are one batch, and the test rows as well
    for place, name in enumerate(made.parties):
        found = made.label.record.kept[place]
        for number, rows in enumerate(order):
            assert torch.equal(
                found[torch.from_numpy(rows)], torch.from_numpy(crossed[name][kept * each_epoch + number])
            )
        for part, values in zip((made.split.validation, made.split.test), crossed[name][-2:], strict=True):
            assert torch.equal(found[torch.from_numpy(part)], torch.from_numpy(values))
            exact = embed(made.states[name].bottom, made.stores[name])
            assert torch.allclose(found[torch.from_numpy(part)], exact[torch.from_numpy(part)], atol=1e-6)


def test_recording_changes_nothing(federation: Any, new_stage: Callable[[], Any]) -> None:
    weights = []
    for make in (federation, lambda aggregate: recorded(federation, aggregate)):
        made = make("concat")
        stage = new_stage()
        stage.play(made.roles())
        weights.append((made.weights(), sorted((one, two, len(data)) for one, two, data in stage.sent)))
    assert weights[0][1] == weights[1][1]
    for name, tensor in weights[0][0].items():
        assert torch.equal(tensor, weights[1][0][name]), name


@pytest.mark.parametrize("changes", [{"epochs": 2}, EARLY], ids=["last_epoch", "early_stopping"])
def test_at_every_step_it_is_resumed_with_the_training(
    federation: Any, new_stage: Callable[[], Any], changes: dict[str, Any]
) -> None:
    stage, straight = new_stage(), recorded(federation, due=lambda _step: True, party_dropout=0.2, **changes)
    stage.play(straight.roles())
    wanted = straight.label.record.kept
    for kept in stage.kept.values():
        again = recorded(federation, party_dropout=0.2, **changes)
        for name, state in {"bank": again.label, **again.states}.items():
            from_bytes(state, kept[name])
        new_stage().play(again.roles())
        assert torch.equal(again.label.record.kept, wanted)


def test_a_state_without_a_record_is_no_state_of_a_training_that_has_one(
    federation: Any, new_stage: Callable[[], Any]
) -> None:
    stage, plain = new_stage(), federation("concat", due=lambda _step: True)
    stage.play(plain.roles())
    kept = stage.kept[1]["bank"]
    assert not any(name.startswith("record") for name in load(kept))
    with pytest.raises(ValueError, match="lacks"):
        from_bytes(recorded(federation).label, kept)


def test_a_sum_has_no_embeddings_to_record(federation: Any) -> None:
    made = federation("concat")

    class Sums(PlainReceiver):
        def __init__(self) -> None:
            super().__init__("bank", made.parties, made.plan.cut)
            self.groups = [tuple(made.parties)]

    with pytest.raises(ValueError, match="each feature party"):
        RecordingReceiver(Sums(), EmbeddingRecord(2, 3, 4), made.label.progress, made.split, made.plan)


# --- the subsets ------------------------------------------------------------------------------------------------------


def test_every_subset_is_possible_with_open_embeddings_and_only_none_or_all_with_sums() -> None:
    parties = ("bills", "pays", "shops")
    every = subsets(parties, "concat")
    assert every[0] == () and every[-1] == parties and len(set(every)) == 8
    assert all(each in every for each in combinations(parties, 2))
    for aggregate in ("masked_sum", "paillier_sum"):
        assert subsets(parties, aggregate) == [(), parties]  # type: ignore[arg-type]


def test_a_subset_of_a_sum_or_with_a_stranger_is_refused() -> None:
    check_subset(["pays"], ["bills", "pays"], "sum")
    check_subset([], ["bills", "pays"], "masked_sum")
    check_subset(["pays", "bills"], ["bills", "pays"], "masked_sum")
    with pytest.raises(ConfigError, match="difference of two sums"):
        check_subset(["pays"], ["bills", "pays"], "paillier_sum")
    with pytest.raises(ConfigError, match="shops took no part"):
        check_subset(["shops"], ["bills", "pays"], "concat")


def test_no_model_is_trained_for_a_subset_of_a_sum(federation: Any) -> None:
    made = federation("masked_sum", secure_sum={})
    with pytest.raises(ConfigError, match="difference of two sums"):
        model_of(made, ("pays",))


# --- the tops ---------------------------------------------------------------------------------------------------------


PARTIES = ("bills", "pays", "shops")


@pytest.fixture(params=["concat", "sum"])
def made(request: Any, federation: Any, stage: Any) -> Any:
    """A training with party dropout that is over, and what the bank recorded of it."""
    found = recorded(federation, request.param, feature_parties=PARTIES, epochs=20, party_dropout=0.2, patience=6)
    stage.play(found.roles())
    return found


def test_a_model_scores_with_its_parties_as_it_predicted(made: Any, new_stage: Callable[[], Any]) -> None:
    for parties in subsets(PARTIES, made.plan.aggregate):
        model = model_of(made, parties)
        assert model.parties == parties
        part = LabelPart(model.bottom, model.top, made.side.target)
        receiver = PlainReceiver("bank", parties, scoring_cut(made.plan.cut))
        rows = made.split.test
        own = Store(made.side.store.take(rows).numeric.numpy())
        roles: dict[str, Role[Any]] = {"bank": score_label(parties, part, own, receiver, len(rows))}
        for name in parties:
            sender = PlainSender("bank")
            roles[name] = score_feature("bank", made.states[name].bottom, made.stores[name], rows, sender, b"model")
        found = new_stage().play(roles)["bank"]
        assert np.abs(found - model.predictions.test).max() < 1e-6


def test_everything_else_stays_as_it_is(made: Any) -> None:
    before, record = made.weights(), made.label.record.kept.clone()
    generator = torch.get_rng_state()
    model_of(made, ("pays",))
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.equal(made.label.record.kept, record)
    assert all(torch.equal(tensor, made.weights()[name]) for name, tensor in before.items())


def test_a_model_follows_from_its_seed_and_its_parties_alone(made: Any) -> None:
    first = model_of(made, ("bills", "shops"))
    torch.manual_seed(99)
    model_of(made, ("pays",))
    again, other = model_of(made, ("shops", "bills")), model_of(made, ("bills", "shops"), b"another")
    assert again.parties == first.parties == ("bills", "shops")
    assert np.array_equal(first.predictions.test, again.predictions.test)
    assert not np.array_equal(first.predictions.test, other.predictions.test)


def test_the_weights_with_the_lowest_validation_loss_count(made: Any) -> None:
    model, target, rows = model_of(made, ("pays",)), made.side.target, made.split.validation
    embeddings = {"bank": embed(model.bottom, made.side.store), "pays": made.label.record.kept[1]}  # type: ignore[arg-type]
    ordered = [embeddings[name] for name in made.plan.contributors if name in embeddings]
    joined = torch.cat(ordered, 1) if made.plan.aggregate == "concat" else ordered[0] + ordered[1]
    with torch.no_grad():
        outputs = model.top(joined[torch.from_numpy(rows)])
    assert np.allclose(target.predictions(outputs), model.predictions.validation, atol=1e-6)


def test_a_label_party_without_features_has_models_of_its_feature_parties_alone(federation: Any, stage: Any) -> None:
    made = recorded(federation, "concat", bank_has_features=False)
    stage.play(made.roles())
    assert model_of(made, ("pays",)).predictions.test.shape == (len(made.split.test),)
    with pytest.raises(ValueError, match="nothing to train on"):
        model_of(made, ())


def test_a_regression_has_them_in_the_unit_of_its_label(federation: Any, stage: Any) -> None:
    made = recorded(federation, "sum", task="regression", epochs=8)
    stage.play(made.roles())
    model = model_of(made, ("bills",))
    with torch.no_grad():
        joined = embed(model.bottom, made.side.store) + made.label.record.kept[0]  # type: ignore[arg-type]
        outputs = model.top(joined)[torch.from_numpy(made.split.test), 0].double().numpy()
    wanted = outputs * made.side.target.scale + made.side.target.centre
    assert np.abs(model.predictions.test - wanted).max() < 1e-5


def test_without_a_record_there_is_no_model_of_feature_parties(federation: Any, stage: Any) -> None:
    made = federation("concat")
    stage.play(made.roles())
    with pytest.raises(ValueError, match="no embeddings were recorded"):
        model_of(made, ("pays",))


# --- what they are good for -------------------------------------------------------------------------------------------


class Trained:
    """A bank and two feature parties with 4,000 rows; `bills` says little that `pays` does not say better."""

    def __init__(self, parties: tuple[str, ...], party_dropout: float = 0.0) -> None:
        rng = np.random.default_rng(0)
        rows = 4000
        tables = {name: rng.standard_normal((rows, 4)).astype(np.float32) for name in ("bank", "bills", "pays")}
        tables["bills"][:, 0] = tables["pays"][:, 0] + rng.standard_normal(rows)
        z = 0.7 * tables["bank"][:, 0] + 2 * tables["pays"][:, 0] + 0.5 * tables["bills"][:, 1] ** 2
        self.labels = (z + rng.standard_normal(rows) > 0.5).astype(np.float32)
        self.split = split_by_seed(rows, (0.6, 0.2, 0.2), 0)
        self.plan = Plan(
            task="binary", contributors=("bank", *parties), width=8, top_hidden=(16,), epochs=12, batch_size=128,
            lr=0.003, patience=4, party_dropout=party_dropout,
        )  # fmt: skip
        torch.manual_seed(2)
        bottoms = {name: build_bottom(tabular([16]), InputShape(4), 8) for name in self.plan.contributors}
        top = build_top(self.plan, 1)
        own = bottoms.pop("bank")
        self.side = LabelSide("bank", Store(tables["bank"]), make_target(self.plan, self.labels, self.split.train))
        weights = [*own.parameters(), *top.parameters()]
        self.label = LabelState(own, top, build_optimizer(self.plan, weights))
        self.label.record = EmbeddingRecord(len(parties), rows, 8)
        self.roles: dict[str, Role[Any]] = {"bank": label_role(parties, self.label, self.side, self.split, self.plan)}
        for name, bottom in bottoms.items():
            state = FeatureState(bottom, build_optimizer(self.plan, bottom.parameters()))
            self.roles[name] = feature_role("bank", state, Store(tables[name]), self.split, self.plan)

    def auc(self, predictions: Predictions) -> float:
        return float(roc_auc_score(self.labels[self.split.test], predictions.test))


def test_they_come_near_to_models_that_were_trained_for_their_parties(new_stage: Callable[[], Any]) -> None:
    joint = Trained(("bills", "pays"), party_dropout=0.2)
    every = joint.auc(new_stage().play(joint.roles)["bank"])
    alone = Trained(())
    least = alone.auc(new_stage().play(alone.roles)["bank"])
    for parties in (("bills",), ("pays",)):
        own = Trained(parties)
        wanted = own.auc(new_stage().play(own.roles)["bank"])
        found = joint.auc(model_of(joint, parties).predictions)
        assert found > wanted - 0.02
        assert found > least + 0.02
    without = Trained(("bills", "pays"))
    assert every > without.auc(new_stage().play(without.roles)["bank"]) - 0.01
