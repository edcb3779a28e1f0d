"""Lives that end well, as users live them: over mutual TLS, from files to run folders."""

from __future__ import annotations

import json
import sqlite3
import stat
import textwrap

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load_file

from parties.monitoring.events import Step
from parties.run import loading
from vsplit.protocol import DataError

BOTH = {
    "job.yaml", "party.yaml", "model.json", "bottom.safetensors", "report.html", "run.json", "ledger.jsonl",
}  # fmt: skip
OWN_MODEL = {"alone_bottom.safetensors", "alone_top.safetensors"}
LABEL_ONLY = {"order.secret", "metrics.json", "predictions.parquet", "top.safetensors"} | OWN_MODEL


def names_in(folder):
    return {file.name for file in folder.iterdir()}


def everything_in(folder):
    return b"".join(file.read_bytes() for file in folder.iterdir()).decode("latin-1")


def run_of(world, name):
    return json.loads((world.run(name) / "run.json").read_text())


def predictions_of(world, name="clinic"):
    return pd.read_parquet(world.run(name) / "predictions.parquet")


@pytest.mark.usefixtures("no_report")
def test_a_seed_beside_a_key_is_told_on_the_screen_and_in_the_run_folder(world, monkeypatch) -> None:
    world.files["lab"]["seed"] = 7
    shown = []
    monkeypatch.setattr("parties.run.results.render_report", lambda content: shown.append(content) or "<html></html>")
    outcomes = world.write().run_parties().well()
    sentence = f"The key seed in {world.folder}/lab.yaml reveals what training protects"
    assert any(line.startswith(sentence) for line in outcomes.ends["lab"].lines)
    assert any(getattr(event, "text", "").startswith(sentence) for event in outcomes.events["lab"])
    assert json.loads((world.run("lab") / "run.json").read_text())["seed"].startswith(sentence)
    (caveats,) = [content.caveats for content in shown if content.party == "lab"]
    assert caveats[0].startswith(sentence)
    assert json.loads((world.run("clinic") / "run.json").read_text())["seed"] is None
    assert not any("reveals what training" in line for line in outcomes.ends["clinic"].lines)


def test_a_whole_run_leaves_two_complete_run_folders(world):
    """Key columns with other names, rows without a label, a report on either side; and nobody's records at the other."""
    clinic = world.tables["clinic"]
    unlabelled = set(clinic.person[::10])
    clinic.loc[clinic.person.isin(unlabelled), "outcome"] = None
    world.tables["lab"]["ward"] = np.where(world.tables["lab"].t3 > 0, "CANARY-north", "CANARY-south")
    world.files["lab"]["data"]["key"] = ["pid"]
    world.write(without=["lab"])
    world.tables["lab"].rename(columns={"person": "pid"}).to_csv(world.folder / "lab.csv", index=False)
    outcomes = world.run_parties().well()

    common = world.common() - unlabelled
    assert names_in(world.run("clinic")) == BOTH | LABEL_ONLY
    assert names_in(world.run("lab")) == BOTH
    for name in world.names:
        run = run_of(world, name)
        assert run["records"]["matched"] == len(common)
        assert run["records"]["without_label"] == (len(unlabelled) if name == "clinic" else None)
        assert [run["job"], run["party"]] == ["test", name]
        assert len(run["training"]["epochs"]) == 3
        assert run["training"]["kept"] == 3
        page = (world.run(name) / "report.html").read_text()
        assert page.startswith("<!DOCTYPE html>")
        assert outcomes.ends[name].report == str(world.run(name) / "report.html")
        assert (world.run(name) / "job.yaml").read_text() == (world.folder / "job.yaml").read_text()
        assert (world.run(name) / "party.yaml").read_text() == (world.folder / f"{name}.yaml").read_text()
        assert f"{len(common)} records in common." in outcomes.ends[name].lines
    assert run_of(world, "clinic")["session"] == run_of(world, "lab")["session"]
    for name in world.names:  # ids, labels and predictions stand in there
        assert stat.S_IMODE(world.run(name).stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in world.run(name).iterdir()} == {0o600}
    assert len((world.run("clinic") / "order.secret").read_bytes()) == 32

    metrics = json.loads((world.run("clinic") / "metrics.json").read_text())
    for part in ("validation", "test"):
        for who in ("joint", "alone", "difference"):
            assert set(metrics[part][who]) == {"auc", "average_precision", "accuracy", "log_loss", "brier"}
            for found in metrics[part][who].values():
                assert found["low"] <= found["value"] <= found["high"]

    found = predictions_of(world)
    sizes = run_of(world, "clinic")["records"]
    assert found["split"].value_counts().to_dict() == {"validation": sizes["validation"], "test": sizes["test"]}
    assert sizes["train"] + sizes["validation"] + sizes["test"] == len(common)
    assert set(found.person) <= common
    assert found.person.is_unique
    truth = clinic.set_index("person").outcome
    assert (truth[found.person].to_numpy() == found.label.to_numpy()).all()
    assert (clinic.person[found.row].to_numpy() == found.person.to_numpy()).all()
    assert found.joint.between(0, 1).all()
    assert "CANARY" not in everything_in(world.run("clinic"))
    assert "KEY023" not in everything_in(world.run("clinic"))
    assert "CANARY-north" in everything_in(world.run("lab"))
    for secret in ("KEY0", "healthy", "sex"):
        assert secret not in everything_in(world.run("lab"))
    assert "CANARY" not in str(outcomes.events)
    assert "KEY0" not in str(outcomes.events)
    assert outcomes.stages("lab")[-1] == "training"
    assert Step("training", 3, 3) in outcomes.events["lab"]


@pytest.mark.usefixtures("no_report")
def test_three_parties_add_their_embeddings_and_split_by_date(three):
    """A database and a Parquet file as sources; the newest visits are for the test."""
    visit = dict(zip((f"KEY{n:04d}" for n in range(240)), pd.date_range("2024-01-01", periods=240), strict=True))
    three.tables["clinic"]["visit"] = three.tables["clinic"].person.map(visit).astype(str)
    three.job["split"]["by"] = "date"
    three.job["model"]["aggregate"] = "sum"
    three.files["clinic"]["data"]["date"] = "visit"
    three.files["lab"]["data"] = {"source": "sqlite:///lab.db", "query": "SELECT person, tsh, t3 FROM results"}
    three.files["gym"]["data"] = {"source": "gym.parquet"}
    three.write(without=["lab", "gym"])
    with sqlite3.connect(three.folder / "lab.db") as database:
        three.tables["lab"].to_sql("results", database, index=False)
    database.close()
    three.tables["gym"].to_parquet(three.folder / "gym.parquet", index=False)
    three.run_parties().well()

    common = three.common()
    for name in three.names:
        assert run_of(three, name)["records"]["matched"] == len(common)
    found = predictions_of(three)
    oldest_first = sorted(common, key=visit.__getitem__)
    assert set(found.person[found["split"] == "test"]) == set(oldest_first[-len(common) // 5 :])
    assert {visit[one] for one in found.person} == {visit[one] for one in oldest_first[3 * len(common) // 5 :]}
    description = json.loads((three.run("clinic") / "model.json").read_text())
    assert description["top"]["contributors"] == ["clinic", "lab", "gym"]
    assert description["top"]["aggregate"] == "sum"
    assert {tensor.shape for tensor in load_file(three.run("clinic") / "top.safetensors").values()} >= {(8, 4)}


@pytest.mark.usefixtures("no_report", "one_builds_at_a_time")
def test_a_label_party_without_features_and_three_classes(world):
    """The label party alone can only say how frequent each class was; a class without a shared record has no output."""
    clinic = world.tables["clinic"]
    world.tables["clinic"] = clinic = clinic.drop(columns=["age", "sex"])
    grades = pd.cut(world.tables["lab"].set_index("person").tsh, [-9, -0.4, 0.4, 9], labels=["low", "middle", "high"])
    clinic["outcome"] = clinic.person.map(grades.astype(str)).fillna("zzz")
    world.files["clinic"]["data"].pop("positive")
    world.files["clinic"]["seed"], world.files["lab"]["seed"] = 1, 2
    world.job["task"] = "multiclass"
    world.job["train"] |= {"epochs": 4, "lr": 0.01}
    world.write().run_parties().well()
    found = predictions_of(world)
    assert [name for name in found if name.startswith("joint")] == ["joint_high", "joint_low", "joint_middle"]
    assert np.allclose(found[["joint_high", "joint_low", "joint_middle"]].sum(axis=1), 1)
    assert (found[["alone_high", "alone_low", "alone_middle"]].nunique() == 1).all()
    description = json.loads((world.run("clinic") / "model.json").read_text())
    assert description["bottom"] is None
    assert description["top"]["classes"] == ["high", "low", "middle"]
    assert names_in(world.run("clinic")) == (BOTH | LABEL_ONLY) - OWN_MODEL - {"bottom.safetensors"}
    metrics = json.loads((world.run("clinic") / "metrics.json").read_text())
    assert metrics["test"]["joint"]["macro_auc"]["value"] > 0.6


@pytest.mark.usefixtures("no_report", "one_builds_at_a_time")
def test_images_through_a_bottom_model_of_the_users_own(world):
    """Tiny scans whose brightness is the outcome, a module by its import path, and a regression."""
    (world.folder / "scans").mkdir()
    lab, risk = world.tables["lab"], np.linspace(-1, 1, 240)
    for person in lab.person:
        grey = np.full((9, 7), 127 + 100 * risk[int(person[3:])], np.uint8)
        Image.fromarray(grey).save(world.folder / f"scans/{person}.png")
    world.tables["lab"] = pd.DataFrame({"person": lab.person, "scan": "scans/" + lab.person + ".png"})
    world.tables["clinic"]["outcome"] = risk[world.tables["clinic"].person.str[3:].astype(int)] * 50 + 7
    world.files["lab"]["data"]["image"] = {"column": "scan", "size": [8, 8], "channels": 1}
    world.files["lab"]["bottom"] = {"module": "own_scans:build"}
    world.files["clinic"]["data"].pop("positive")
    world.files["clinic"]["seed"], world.files["lab"]["seed"] = 1, 2
    world.job["model"]["embedding"] = 16
    world.job["task"] = "regression"
    world.job["train"] |= {"epochs": 60, "lr": 0.01}
    (world.folder / "own_scans.py").write_text(
        textwrap.dedent("""
            from torch import nn

            class Scans(nn.Module):
                def __init__(self, shape, width):
                    super().__init__()
                    channels, height, side = shape.image
                    self.body = nn.Sequential(nn.Flatten(), nn.Linear(channels * height * side, width))

                def forward(self, inputs):
                    return self.body(inputs.image)

            def build(shape, width):
                return Scans(shape, width)
        """)
    )
    world.write().run_parties().well()
    metrics = json.loads((world.run("clinic") / "metrics.json").read_text())["test"]
    assert metrics["joint"]["r2"]["value"] > 0.6
    assert metrics["difference"]["r2"]["low"] > 0
    assert load_file(world.run("lab") / "bottom.safetensors")["body.1.weight"].shape == (16, 64)


@pytest.mark.usefixtures("no_report", "one_builds_at_a_time")
def test_the_same_private_seeds_and_order_give_the_same_run_again_and_the_older_one_stays(world, monkeypatch):
    monkeypatch.setattr(loading, "order_secret", lambda *_: bytes(32))
    world.files["clinic"]["seed"] = 1
    world.files["lab"]["seed"] = 2
    world.write().run_parties().well()
    first, order = (world.run("clinic") / "metrics.json").read_bytes(), predictions_of(world)
    again = world.run_parties().well()
    assert (world.run("clinic") / "metrics.json").read_bytes() == first
    pd.testing.assert_frame_equal(predictions_of(world), order)
    for name in world.names:
        older = world.folder / "runs" / f"{name}-1"
        assert names_in(older) == names_in(world.run(name))
        assert f"The earlier run was moved to {older}." in again.ends[name].lines
    assert (world.folder / "runs/clinic-1/metrics.json").read_bytes() == first

    monkeypatch.undo()  # the order is drawn afresh now
    world.run_parties().well()
    assert not predictions_of(world).person.equals(order.person)
    assert (world.folder / "runs/clinic-2/run.json").exists()


@pytest.mark.usefixtures("no_report")
def test_a_later_run_takes_the_order_of_an_earlier_one_and_so_its_split(world):
    world.write().run_parties().well()
    first, secret = predictions_of(world), (world.run("clinic") / "order.secret").read_bytes()
    # The earlier run moves aside only when this one has come to its end, so it may stand in the same folder.
    world.files["clinic"]["order"] = "runs/clinic/order.secret"
    world.write().run_parties().well()
    again = predictions_of(world)
    assert again.person.equals(first.person)
    assert again["split"].equals(first["split"])
    assert (world.run("clinic") / "order.secret").read_bytes() == secret

    world.files["clinic"]["order"] = "none.secret"
    errors = world.write().run_parties("clinic").errors
    assert "the key order names the file" in str(errors["clinic"])


@pytest.mark.usefixtures("no_report")
def test_a_key_column_may_be_called_like_a_column_of_the_predictions(world):
    world.files["clinic"]["data"]["key"] = ["label"]
    world.write(without=["clinic"])
    world.tables["clinic"].rename(columns={"person": "label"}).to_csv(world.folder / "clinic.csv", index=False)
    world.run_parties().well()
    found = predictions_of(world)
    assert set(found.key_label) <= world.common()
    assert set(found.label) == {"sick", "healthy"}


@pytest.mark.parametrize(
    ("failure", "says"), [(DataError("The training has diverged."), "diverged"), (KeyboardInterrupt(), "interrupted")]
)
def test_a_comparison_that_fails_does_not_cost_the_joint_result(world, monkeypatch, failure, says):
    from parties.run import training

    joint_role = training.label_role

    def alone_diverges(feature_parties, *rest):
        if not feature_parties:
            raise failure
        return joint_role(feature_parties, *rest)

    monkeypatch.setattr(training, "label_role", alone_diverges)
    world.write()
    outcomes = world.run_parties().well()
    metrics = json.loads((world.run("clinic") / "metrics.json").read_text())
    assert set(metrics["test"]) == {"rows", "resamples", "joint"}
    assert "joint" in predictions_of(world) and "alone" not in predictions_of(world)
    assert any(f"alone {says}" in line or f"alone was {says}" in line for line in outcomes.ends["clinic"].lines)
    assert names_in(world.run("clinic")) == (BOTH | LABEL_ONLY) - OWN_MODEL
