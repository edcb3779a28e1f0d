"""The learning roles: early stopping, what crosses, and what a peer may not send."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from parties.network import codec
from vsplit.aggregation.plain import Embedding
from vsplit.learn.batches import Split, epoch_batches, split_by_date, split_by_seed
from vsplit.learn.feature import FeatureState, feature_role, receive_split
from vsplit.learn.label import LabelSide, LabelState, label_role, send_split
from vsplit.learn.messages import Gradient, Parts, Verdict
from vsplit.learn.models import InputShape, Store, build_bottom, build_top, tabular
from vsplit.learn.plan import Plan
from vsplit.learn.traffic import expected_traffic
from vsplit.learn.training import build_optimizer, make_target
from vsplit.protocol import DataError, Message, ProtocolError, Receive, Role, Send, receive

ROWS = 120


def plan_of(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "task": "binary", "contributors": ("clinic", "lab"), "width": 4, "top_hidden": (6,), "epochs": 3,
        "batch_size": 32, "lr": 0.01,
    }  # fmt: skip
    return Plan(**(values | changes))


class Pair:
    """A clinic with labels and a lab, on made-up data."""

    def __init__(self, plan: Plan, seed: int = 0, labels: Any = None) -> None:
        rng = np.random.default_rng(seed)
        self.plan = plan
        self.split = split_by_seed(ROWS, (0.6, 0.2, 0.2), plan.seed)
        mine, theirs = (rng.standard_normal((ROWS, 3)).astype(np.float32) for _ in range(2))
        self.labels = (mine[:, 0] + theirs[:, 0] > 0).astype(np.float32) if labels is None else labels
        torch.manual_seed(seed)
        clinic = build_bottom(tabular([5]), InputShape(3), plan.width)
        top = build_top(plan, 1)
        parameters = [*clinic.parameters(), *top.parameters()]
        self.label = LabelState(clinic, top, build_optimizer(plan, parameters))
        self.side = LabelSide("clinic", Store(mine), make_target(plan, self.labels, self.split.train))
        self.store = Store(theirs)
        bottom = build_bottom(tabular([5]), InputShape(3), plan.width)
        self.feature = FeatureState(bottom, build_optimizer(plan, bottom.parameters()))

    def roles(self) -> dict[str, Role[Any]]:
        return {
            "clinic": label_role(["lab"], self.label, self.side, self.split, self.plan),
            "lab": feature_role("clinic", self.feature, self.store, self.split, self.plan),
        }


def kinds_and_sizes(sent: list[tuple[str, str, bytes]], sender: str) -> list[tuple[str, str, int]]:
    shown = []
    for source, to, data in sent:
        if source == sender:
            kind = next(k for k in (Embedding, Gradient, Verdict, Parts) if k.__name__.encode() in data[:40])
            shown.append((to, kind.__name__, len(data)))
    return shown


# --- order ------------------------------------------------------------------------------------------------------------


def test_the_gradient_leaves_before_the_label_partys_bottom_and_optimiser_have_their_turn() -> None:
    pair = Pair(plan_of())
    weights = [weight for group in pair.label.optimizer.param_groups for weight in group["params"]]
    before = [weight.detach().clone() for weight in weights]
    role = pair.roles()["clinic"]
    assert isinstance(next(role), Receive)
    rows = epoch_batches(pair.split.train, pair.plan.batch_size, pair.plan.seed, 0)[0]
    values = pair.feature.bottom(pair.store.take(rows)).detach()
    sent = role.send(Embedding(step=0, values=values.numpy()))
    assert isinstance(sent, Send) and isinstance(sent.message, Gradient)
    assert pair.label.bottom is not None and pair.side.store is not None
    assert all(weight.grad is None for weight in pair.label.bottom.parameters())
    assert pair.label.step == 0 and all(torch.equal(now, then) for now, then in zip(weights, before, strict=True))
    # By another way: the slope of the loss as one embedding is moved a little.
    at, moved = (0, 1), 1e-2
    slope = 0.0
    for sign in (1, -1):
        other = values.clone()
        other[at] += sign * moved
        joined = torch.cat([pair.label.bottom(pair.side.store.take(rows)), other], 1)
        loss = pair.side.target.loss(pair.label.top(joined), pair.side.target.of(rows))
        slope += sign * float(loss.detach()) / (2 * moved)
    assert float(sent.message.values[at]) == pytest.approx(slope, rel=0.02, abs=1e-5)
    assert isinstance(role.send(None), Receive)
    assert pair.label.step == 1 and not any(torch.equal(now, then) for now, then in zip(weights, before, strict=True))
    role.close()


class Normalised(torch.nn.Module):
    """A bottom model that ends in a batch normalisation, whose sums depend on how a gradient lies in memory."""

    def __init__(self, inner: torch.nn.Module, width: int) -> None:
        super().__init__()
        self.inner, self.last = inner, torch.nn.BatchNorm1d(width)

    def forward(self, inputs: Any) -> torch.Tensor:
        found: torch.Tensor = self.last(self.inner(inputs))
        return found


@pytest.mark.parametrize(("width", "normalised"), [(1, False), (4, False), (4, True)])
def test_the_label_partys_own_step_is_that_of_one_pass_through_everything(width: int, normalised: bool) -> None:
    pair = Pair(plan_of(width=width))
    assert pair.label.bottom is not None and pair.side.store is not None
    if normalised:
        pair.label.bottom = Normalised(pair.label.bottom, width)
        parameters = [*pair.label.bottom.parameters(), *pair.label.top.parameters()]
        pair.label.optimizer = build_optimizer(pair.plan, parameters)
    bottom, top = deepcopy(pair.label.bottom).train(), deepcopy(pair.label.top).train()
    optimizer = build_optimizer(pair.plan, [*bottom.parameters(), *top.parameters()])
    order = epoch_batches(pair.split.train, pair.plan.batch_size, pair.plan.seed, 0)
    embeddings = [pair.feature.bottom(pair.store.take(rows)).detach() for rows in order]
    role = pair.roles()["clinic"]
    for step, (rows, theirs) in enumerate(zip(order, embeddings, strict=True)):
        assert isinstance(role.send(None), Receive)
        sent = role.send(Embedding(step=step, values=theirs.numpy().copy()))
        theirs.requires_grad_()
        loss = pair.side.target.loss(
            top(torch.cat([bottom(pair.side.store.take(rows)), theirs], 1)), pair.side.target.of(rows)
        )
        loss.backward()
        assert isinstance(sent, Send) and isinstance(sent.message, Gradient) and theirs.grad is not None
        assert np.array_equal(sent.message.values, theirs.grad.numpy())
        optimizer.step()
        optimizer.zero_grad()
    role.send(None)
    for one, two in ((bottom, pair.label.bottom), (top, pair.label.top)):
        assert all(torch.equal(mine, own) for mine, own in zip(one.parameters(), two.parameters(), strict=True))
    role.close()


class Clipped(torch.nn.Module):
    """A bottom that clips the gradient at its end in place, as torch advises against."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: Any) -> torch.Tensor:
        found: torch.Tensor = self.inner(inputs)
        if found.requires_grad:
            found.register_hook(lambda gradient: gradient.clamp_(-0.001, 0.001))  # type: ignore[no-untyped-call]
        return found


def test_a_bottom_that_writes_into_its_gradient_leaves_the_message_as_it_came() -> None:
    pair = Pair(plan_of())
    pair.feature.bottom = Clipped(pair.feature.bottom)
    role = pair.roles()["lab"]
    before = [parameter.detach().clone() for parameter in pair.feature.bottom.parameters()]
    first = next(role)
    assert isinstance(first, Send) and isinstance(first.message, Embedding)
    assert isinstance(role.send(None), Receive)
    came = np.ones_like(first.message.values)
    assert isinstance(role.send(Gradient(step=0, checkpoint=False, values=came)), Send)
    assert (came == 1).all()
    assert not torch.equal(before[0], next(iter(pair.feature.bottom.parameters())))
    role.close()


class Checkpointed(torch.nn.Module):
    """A bottom model that computes its last layer anew on the way back, with torch's reentrant checkpoints."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: Any) -> torch.Tensor:
        first, *rest = self.inner.layers
        last, middle = torch.nn.Sequential(*rest), first(inputs.numeric)
        found: torch.Tensor = checkpoint(last, middle, use_reentrant=True) if self.training else last(middle)
        return found


def test_a_bottom_model_may_use_reentrant_checkpoints(stage: Any, new_stage: Callable[[], Any]) -> None:
    plain, other = Pair(plan_of()), Pair(plan_of())
    for state in (other.label, other.feature):
        assert state.bottom is not None
        state.bottom = Checkpointed(state.bottom)
    stage.play(plain.roles())
    new_stage().play(other.roles())
    for one, two in ((plain.label.bottom, other.label.bottom), (plain.feature.bottom, other.feature.bottom)):
        assert one is not None and two is not None
        pairs = zip(one.parameters(), two.parameters(), strict=True)
        assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


# --- early stopping ---------------------------------------------------------------------------------------------------


def test_training_stops_after_its_patience_and_both_sides_keep_the_same_epoch(stage: Any) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 2, ROWS).astype(np.float32)  # nothing to learn, so validation soon gets worse
    pair = Pair(plan_of(epochs=200, patience=3, lr=0.05), labels=noise)
    results = stage.play(pair.roles())
    losses = [epoch.validation_loss for epoch in pair.label.history]
    assert pair.label.progress.stopped and pair.feature.progress.stopped
    assert len(losses) < 200
    assert pair.label.progress.kept_epoch == int(np.argmin(losses)) == len(losses) - 4
    assert pair.feature.progress.kept_epoch == pair.label.progress.kept_epoch
    outputs = pair.side.target.predictions(whole_outputs(pair, pair.split.validation))
    assert np.array_equal(outputs, results["clinic"].validation)


def whole_outputs(pair: Pair, rows: Any) -> torch.Tensor:
    assert pair.label.bottom is not None and pair.side.store is not None
    with torch.no_grad():
        embeddings = [pair.label.bottom(pair.side.store.take(rows)), pair.feature.bottom(pair.store.take(rows))]
        output: torch.Tensor = pair.label.top(torch.cat(embeddings, 1))
        return output


def test_without_early_stopping_the_last_epoch_counts(stage: Any) -> None:
    pair = Pair(plan_of(epochs=4))
    results = stage.play(pair.roles())
    assert pair.label.progress.kept_epoch == 3
    assert not pair.label.progress.stopped
    outputs = pair.side.target.predictions(whole_outputs(pair, pair.split.test))
    assert np.allclose(outputs, results["clinic"].test, atol=1e-6)


def test_a_role_made_anew_from_its_state_goes_on_at_the_next_epoch(stage: Any, new_stage: Callable[[], Any]) -> None:
    straight = Pair(plan_of(epochs=4))
    stage.play(straight.roles())
    broken = Pair(plan_of(epochs=2))
    new_stage().play(broken.roles())
    broken.plan = plan_of(epochs=4)
    new_stage().play(broken.roles())
    for name, tensor in straight.feature.bottom.state_dict().items():
        assert torch.equal(tensor, broken.feature.bottom.state_dict()[name])


def test_alone_means_the_same_role_without_feature_parties(stage: Any) -> None:
    pair = Pair(plan_of(contributors=("clinic",), epochs=5))
    results = stage.play({"clinic": label_role([], pair.label, pair.side, pair.split, pair.plan)})
    assert results["clinic"].test.shape == (len(pair.split.test),)
    assert stage.sent == []


# --- what crosses -----------------------------------------------------------------------------------------------------


def test_kinds_sizes_and_sequence_do_not_depend_on_features_or_labels(new_stage: Callable[[], Any]) -> None:
    shapes = []
    for seed in range(3):
        stage = new_stage()
        stage.play(Pair(plan_of(), seed=seed).roles())
        shapes.append((kinds_and_sizes(stage.sent, "clinic"), kinds_and_sizes(stage.sent, "lab")))
    assert shapes[0] == shapes[1] == shapes[2]


def test_the_transcript_does_depend_on_the_verdicts_as_the_specification_says(new_stage: Callable[[], Any]) -> None:
    counts = set()
    for labels in (None, np.random.default_rng(1).integers(0, 2, ROWS).astype(np.float32)):
        stage = new_stage()
        stage.play(Pair(plan_of(epochs=40, patience=4, lr=0.02), labels=labels).roles())
        counts.add(len(stage.sent))
    assert len(counts) == 2


def test_expected_traffic_counts_what_really_crosses(stage: Any) -> None:
    pair = Pair(plan_of())
    stage.play(pair.roles())
    sizes = len(pair.split.train), len(pair.split.validation), len(pair.split.test)
    for flow in expected_traffic(pair.plan, "clinic", sizes):
        really = [size for _, kind, size in kinds_and_sizes(stage.sent, flow.sender) if kind == flow.kind.__name__]
        assert len(really) == flow.messages
        assert sum(really) == pytest.approx(flow.bytes, rel=0.25)


def test_a_split_by_date_is_told_and_followed(stage: Any) -> None:
    dates = np.random.default_rng(0).permutation(ROWS).astype(np.int64)
    split = split_by_date(dates, (0.5, 0.25, 0.25))
    results = stage.play({"clinic": send_split(["lab"], split, ROWS), "lab": receive_split("clinic", ROWS)})
    told: Split = results["lab"]
    for name in ("train", "validation", "test"):
        assert np.array_equal(getattr(told, name), getattr(split, name))
    assert dates[told.train].max() < dates[told.validation].min() < dates[told.test].min()


# --- what a peer may not send -----------------------------------------------------------------------------------------


def embedding(step: int = 0, rows: int = 32, width: int = 4) -> Embedding:
    return Embedding(step=step, values=np.zeros((rows, width), np.float32))


@pytest.mark.parametrize(
    "message",
    [embedding(step=1), embedding(rows=31), embedding(width=5), Verdict(epoch=0, keep=True, stop=False)],
    ids=["step", "rows", "width", "kind"],
)
def test_a_wrong_embedding_is_refused_by_name(stage: Any, message: Message) -> None:
    def lying_lab() -> Role[None]:
        yield Send("clinic", message)
        yield from receive("clinic", Gradient, 10_000)

    pair = Pair(plan_of())
    stage.play_on({**pair.roles(), "lab": lying_lab()})
    error = stage.results["clinic"]
    assert isinstance(error, ProtocolError)
    assert error.peer == "lab"
    assert pair.label.step == 0  # nothing was trained on


@pytest.mark.parametrize("shape", [(32, 5), (31, 4)])
def test_a_gradient_of_another_shape_is_refused_by_name(stage: Any, shape: tuple[int, int]) -> None:
    def lying_clinic() -> Role[None]:
        yield from receive("lab", Embedding, 10_000)
        yield Send("lab", Gradient(step=0, checkpoint=False, values=np.zeros(shape, np.float32)))
        yield from receive("lab", Embedding, 10_000)

    pair = Pair(plan_of())
    before = [tensor.clone() for tensor in pair.feature.bottom.parameters()]
    stage.play_on({**pair.roles(), "clinic": lying_clinic()})
    error = stage.results["lab"]
    assert isinstance(error, ProtocolError) and error.peer == "clinic"
    assert all(torch.equal(a, b) for a, b in zip(before, pair.feature.bottom.parameters(), strict=True))


def test_a_verdict_on_another_epoch_is_refused(stage: Any) -> None:
    plan = plan_of(epochs=1, batch_size=ROWS)

    def lying_clinic() -> Role[None]:
        got = yield from receive("lab", Embedding, 100_000)
        yield Send("lab", Gradient(step=0, checkpoint=False, values=np.zeros_like(got.values)))
        yield from receive("lab", Embedding, 100_000)
        yield Send("lab", Verdict(epoch=5, keep=False, stop=False))
        yield from receive("lab", Embedding, 100_000)

    stage.play_on({**Pair(plan).roles(), "clinic": lying_clinic()})
    assert isinstance(stage.results["lab"], ProtocolError)
    assert "epoch 5" in str(stage.results["lab"])


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_no_message_is_ever_built_or_decoded_with_values_that_are_not_finite(poison: float) -> None:
    values = np.zeros((2, 2), np.float32)
    good = b"".join(codec.encode(Embedding(step=0, values=values)))
    values[1, 1] = poison
    with pytest.raises(ValueError, match="finite"):
        Embedding(step=0, values=values)
    data = codec.buffer(len(good))
    data[:] = np.frombuffer(good[:-16] + values.tobytes(), np.uint8)
    with pytest.raises(codec.WireError, match="finite"):
        codec.decode(data, Embedding)


def test_training_that_diverges_says_so(stage: Any) -> None:
    pair = Pair(plan_of(lr=1e30, epochs=20, optimizer="sgd"))
    stage.play_on(pair.roles())
    errors = [error for error in stage.results.values() if isinstance(error, DataError)]
    assert errors
    assert "diverged" in str(errors[0]) and "train.lr" in str(errors[0])


def test_parts_of_a_wrong_length_or_value_are_refused(stage: Any) -> None:
    def lying_clinic() -> Role[None]:
        yield Send("lab", Parts(part=np.zeros(ROWS - 1, np.uint8)))

    def clinic_without_test_rows() -> Role[None]:
        yield Send("lab", Parts(part=np.arange(ROWS, dtype=np.uint8) % 2))

    for clinic in (lying_clinic(), clinic_without_test_rows()):
        stage.play_on({"clinic": clinic, "lab": receive_split("clinic", ROWS)})
        assert isinstance(stage.results["lab"], ProtocolError)
    with pytest.raises(ValueError, match="part"):
        Parts(part=np.full(3, 3, np.uint8))
