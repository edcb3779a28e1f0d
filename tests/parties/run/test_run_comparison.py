"""`vsplit compare`: two run folders side by side, and the paired difference where the test rows are the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, r2_score, roc_auc_score
from typer.testing import CliRunner

from parties.command.cli import app
from parties.run.run_comparison import NOT_SET, compare_runs
from tests.parties.world import World
from vsplit.protocol import ConfigError

pytestmark = pytest.mark.usefixtures("no_report", "signals_as_before")


def run_twice(world: World, *, same_order: bool = True) -> tuple[Path, Path]:
    """The label party's folders of two runs, the second with a smaller rate and without weight decay."""
    world.job["train"] |= {"lr": 0.02, "weight_decay": 0.01}
    world.write().run_parties().well()
    for name in world.names:
        shutil.copytree(world.run(name), world.folder / "before" / name)
    if same_order:
        world.files["clinic"]["order"] = "before/clinic/order.secret"
    world.job["train"] |= {"lr": 0.001, "epochs": 2}
    del world.job["train"]["weight_decay"]
    world.write().run_parties().well()
    return world.folder / "before" / "clinic", world.run("clinic")


def predicted(run: Path) -> pd.DataFrame:
    found = pd.read_parquet(run / "predictions.parquet")
    return found[found.split == "test"]


def test_two_runs_are_compared(world: World) -> None:
    first, second = run_twice(world)
    found = compare_runs(first, second)
    assert found["job"] == {"train.epochs": [3, 2], "train.lr": [0.02, 0.001], "train.weight_decay": [0.01, 0.0]}
    assert found["versions"] == {}
    assert found["records"]["matched"] == [180, 180]
    for place, run in enumerate((first, second)):
        metrics, content = (json.loads((run / name).read_text()) for name in ("metrics.json", "run.json"))
        for split in ("validation", "test"):
            for model in ("joint", "alone"):
                assert {name: pair[place] for name, pair in found["metrics"][split][model].items()} == metrics[split][
                    model
                ]
        assert found["runs"][place]["run"] == content["run"]
        sent = [one["size"] for one in content["traffic"] if one["direction"] == "sent"]
        assert found["traffic"]["sent"]["total"][place] == sum(sent)
        assert found["time"]["epochs"][place] == len(content["training"]["epochs"])
    before, after = predicted(first), predicted(second)
    truth = (before.label == "sick").astype(int)
    gain = roc_auc_score(truth, after.joint) - roc_auc_score(truth, before.joint)
    estimate = found["paired_difference"]["auc"]
    assert estimate["value"] == pytest.approx(gain, abs=1e-12)
    assert estimate["low"] <= estimate["value"] <= estimate["high"]
    assert found["no_paired_difference_because"] is None
    lab = compare_runs(world.folder / "before" / "lab", world.run("lab"))
    assert (lab["metrics"], lab["paired_difference"]) == (None, None)
    assert lab["records"]["matched"] == [180, 180]
    with pytest.raises(ConfigError, match=r"different roles \(label and feature\), which cannot be compared"):
        compare_runs(first, world.run("lab"))


def test_other_test_rows_have_no_paired_difference(world: World) -> None:
    found = compare_runs(*run_twice(world, same_order=False))
    assert found["paired_difference"] is None
    assert "not the same people" in found["no_paired_difference_because"]
    assert found["metrics"]["test"]["joint"]["auc"][0] is not None


@pytest.mark.parametrize(
    ("task", "label", "metric"), [("multiclass", "grade", "log_loss"), ("regression", "risk", "r2")]
)
def test_other_tasks_have_a_paired_difference(world: World, task: str, label: str, metric: str) -> None:
    from tests.parties.world import people

    everybody = people().set_index("person")
    world.tables["clinic"]["outcome"] = everybody.loc[world.tables["clinic"].person, label].to_numpy()
    world.job["task"] = task
    del world.files["clinic"]["data"]["positive"]
    first, second = run_twice(world)
    estimate = compare_runs(first, second)["paired_difference"][metric]
    values: list[Any] = []
    for run in (first, second):
        table = predicted(run)
        if task == "regression":
            values.append(r2_score(table.label, table.joint))
        else:
            classes = sorted(set(table.label))
            values.append(
                log_loss(table.label, table[[f"joint_{name}" for name in classes]].to_numpy(), labels=classes)
            )
    assert estimate["value"] == pytest.approx(values[1] - values[0], abs=1e-9)
    assert estimate["low"] <= estimate["high"]


# --- the command, on folders written here -----------------------------------------------------------------------------


JOB = """
job: test
task: binary
address: "127.0.0.1:9440"
parties:
  clinic: {role: label, identity: auto}
  lab: {role: feature, identity: auto}
align: {key: [person]}
split: {train: 0.6, validation: 0.2, test: 0.2}
model: {embedding: 4, aggregate: concat, top: {hidden: [8]}}
train: {epochs: 3, batch_size: 32, optimizer: adam, lr: 0.02}
"""


def write_run(folder: Path, *, flip: int = 0, job: str = JOB, key: str = "K") -> Path:
    """A label party's run folder; the first `flip` predictions are wrong. People have two test rows each."""
    folder.mkdir()
    (folder / "job.yaml").write_text(job)
    content = {
        "job": "test", "party": "clinic", "role": "label", "run": "0" * 32, "started": "2026-01-05T10:00:00+00:00",
        "ended": "2026-01-05T10:01:30+00:00", "versions": {"vsplit": "0.2.0"}, "resumed": [],
        "records": {"own": 40, "without_label": None}, "training": {"epochs": [{"seconds": 2.0}], "kept": 1},
        "traffic": [{"direction": "sent", "kind": "Gradient", "size": 1500}],
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(content))
    (folder / "model.json").write_text(json.dumps({"format": 1, "top": {"classes": ["0", "1"]}}))
    estimate = {"value": 0.9, "low": 0.8, "high": 0.95}
    split = {"rows": 40, "persons": 20, "joint": {"auc": estimate, "brier": None}}
    (folder / "metrics.json").write_text(json.dumps({"validation": split, "test": split}))
    label = np.arange(40) // 2 % 2
    joint = np.where(np.arange(40) < flip, 1 - label, label) * 0.6 + 0.2
    table = pd.DataFrame(
        {"person": [f"{key}{one // 2}" for one in range(40)], "row": range(40), "split": "test", "label": label}
    )
    table.assign(joint=joint).to_parquet(folder / "predictions.parquet", index=False)
    return folder


def vsplit(*words: object) -> Any:
    return CliRunner().invoke(app, ["compare", *map(str, words)], env={"COLUMNS": "200", "TERM": "dumb"})


def test_the_command_prints_text_or_json(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a", flip=10), write_run(tmp_path / "b", job=JOB.replace("0.02", "0.01"))
    text = vsplit(first, second)
    assert text.exit_code == 0
    for said in (
        "train.lr",
        "0.02",
        "0.01",
        "AUC, joint",
        "0.900 (0.800 to 0.950)",
        "1.5 kB",
        "1 min 30 s",
        "not defined",
    ):
        assert said in text.output, said
    assert "The versions of the two runs are the same." in text.output
    found = json.loads(vsplit(first, second, "--json").stdout)
    assert found["job"] == {"train.lr": [0.02, 0.01]}
    accuracy = found["paired_difference"]["accuracy"]
    assert accuracy["value"] == pytest.approx(0.25)
    # Whole people are drawn: 5 of 20 are wrong in both rows. Over rows the interval would be about 0.13 to 0.38.
    assert accuracy["high"] - accuracy["low"] > 0.3


def test_the_same_run_differs_in_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", flip=3)
    found = compare_runs(run, run)
    assert found["job"] == {}
    assert found["paired_difference"]["auc"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_a_job_of_another_version_is_compared_key_by_key(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a"), write_run(tmp_path / "b", job=f"{JOB}\nlater: {{key: 1}}\n")
    assert compare_runs(first, second)["job"]["later.key"] == [NOT_SET, 1]


def test_other_people_are_noticed(tmp_path: Path) -> None:
    result = vsplit(write_run(tmp_path / "a"), write_run(tmp_path / "b", key="X"))
    assert (
        "There is no paired difference, because the test rows of the two runs are not the same people" in result.output
    )


def test_runs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a")
    other = vsplit(first, write_run(tmp_path / "b", job=JOB.replace("binary", "regression")))
    assert (other.exit_code, "different tasks (binary and regression)" in other.output) == (2, True)
    with pytest.raises(ConfigError, match=r"is not the folder of a finished run: it has no run\.json"):
        compare_runs(first, tmp_path)
    damaged = write_run(tmp_path / "c")
    for name in ("run.json", "metrics.json", "predictions.parquet"):
        content = (damaged / name).read_bytes()
        (damaged / name).write_bytes(content[:-9])
        with pytest.raises(ConfigError, match=f"{name} cannot be read: it is damaged"):
            compare_runs(first, damaged)
        (damaged / name).write_bytes(content)
    content = json.loads((damaged / "run.json").read_text())
    del content["records"]
    (damaged / "run.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="cannot be compared: a file in one of them is damaged"):
        compare_runs(first, damaged)
