"""`vsplit export`: onnxruntime computes from the files what torch computes from the run folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from parties.command.cli import app
from parties.data.prepare import Preparation, Prepared
from parties.export import part as part_module
from parties.export.part import export_part
from parties.run.model_store import load_part
from parties.run.own_module import builder_at
from tests.docs.blocks import Reader
from vsplit.aggregation.plain import join
from vsplit.learn.batches import Rows
from vsplit.learn.models import InputShape, Store, build_bottom, build_top, tabular, weights
from vsplit.learn.plan import Plan
from vsplit.learn.training import Target
from vsplit.protocol import ConfigError, StorageError

ROWS, WIDTH = 10_000, 6
ALL = ("age", "tsh", "t3", "count", "ward", "known")
OWN = """
import torch
from torch import nn


class Own(nn.Module):
    def __init__(self, shape, width):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(codes, 3) for codes in shape.vocabularies)
        inputs = shape.numeric + 3 * len(shape.vocabularies)
        self.layers = nn.Sequential(
            nn.Linear(inputs, 9), nn.BatchNorm1d(9), nn.GELU(), nn.Dropout(0.5), nn.Linear(9, width)
        )

    def forward(self, inputs):
        found = [table(inputs.categories[:, place]) for place, table in enumerate(self.tables)]
        return self.layers(torch.cat([inputs.numeric, *found], dim=1))


class Picture(nn.Module):
    def __init__(self, shape, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(shape.image[0], 2, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(width))
        self.layers(torch.zeros(2, *shape.image))

    def forward(self, inputs):
        return self.layers(inputs.image)


class Noisy(nn.Module):
    def __init__(self, shape, width):
        super().__init__()
        self.layer = nn.Linear(shape.numeric, width)

    def forward(self, inputs):
        return self.layer(inputs.numeric + torch.rand_like(inputs.numeric))


class Odd(nn.Module):
    def __init__(self, shape, width):
        super().__init__()
        self.layer = nn.Linear(shape.numeric, width)

    def forward(self, inputs):
        if inputs.numeric.sum() > 3:
            raise ValueError
        return self.layer(inputs.numeric)


build, picture, odd, noisy = Own, Picture, Odd, Noisy
"""


def features(rows: int, seed: int = 3) -> pd.DataFrame:
    """Numbers with gaps and extreme values, one without a gap in the training rows, and two columns of words."""
    draw = np.random.default_rng(seed)
    table = pd.DataFrame({name: draw.normal(7, 3, rows) for name in ("age", "tsh", "t3")})
    table["count"] = draw.integers(0, 9, rows)
    table.loc[draw.random(rows) < 0.2, ["age", "t3"]] = np.nan
    table["ward"] = draw.choice(["north", "south", "west"], rows)
    table["known"] = draw.choice([True, False], rows)
    table.loc[draw.random(rows) < 0.1, "ward"] = None
    return table


def odd_features() -> pd.DataFrame:
    """Rows as no training row was: gaps elsewhere, numbers near the ends of float64, words never seen."""
    draw = np.random.default_rng(8)
    table = features(ROWS, 4)
    table["count"] = table["count"].astype(float)
    for name in ("age", "tsh", "count"):
        table.loc[draw.random(ROWS) < 0.1, name] = draw.choice([1e300, -1e300, 1e-300, np.inf, -np.inf, 0.0, 1e9])
    table.loc[draw.random(ROWS) < 0.1, ["tsh", "count"]] = np.nan
    table.loc[draw.random(ROWS) < 0.1, "ward"] = "elsewhere"
    return table


def write_part(
    folder: Path,
    *,
    module: str = "",
    top: dict[str, Any] | None = None,
    image: Any = None,
    columns: Sequence[str] = ALL,
) -> Path:
    """A run folder with a model part of random weights, as a run writes it."""
    torch.manual_seed(11)
    folder.mkdir()
    preparation = Preparation.fit(features(500)[[*columns]], [], np.arange(400))
    prepared = preparation.transform(features(2))
    shape = InputShape(prepared.numeric.shape[1], prepared.vocabularies, image)
    builder = builder_at(module, folder.parent) if module else tabular([8, 5])
    (folder / "bottom.safetensors").write_bytes(weights(build_bottom(builder, shape, WIDTH)))
    bottom = {
        "module": module or None, "hidden": [] if module else [8, 5], "numeric": shape.numeric, "image": image,
        "vocabularies": list(shape.vocabularies), "preparation": preparation.to_json(),
    }  # fmt: skip
    description = {
        "format": 1, "job": "test", "party": "clinic", "role": "label" if top else "feature", "embedding": WIDTH,
        "bottom": bottom, "top": top,
    }  # fmt: skip
    if top:
        (folder / "top.safetensors").write_bytes(weights(build_top(plan(top), top["outputs"])))
    (folder / "model.json").write_text(json.dumps(description))
    return folder


CLASSES = {"binary": ["no", "yes"], "multiclass": ["a", "b", "c"], "regression": []}


def top_of(task: str, aggregate: str, contributors: tuple[str, ...] = ("clinic", "lab")) -> dict[str, Any]:
    return {
        "task": task, "contributors": list(contributors), "aggregate": aggregate, "hidden": [7],
        "outputs": 3 if task == "multiclass" else 1, "classes": CLASSES[task],
        "centre": 4.5, "scale": 100.0,
    }  # fmt: skip


def plan(top: dict[str, Any]) -> Plan:
    return Plan(
        task=top["task"], contributors=tuple(top["contributors"]), aggregate=top["aggregate"], width=WIDTH,
        top_hidden=tuple(top["hidden"]),
    )  # fmt: skip


def run_onnx(file: Path, inputs: dict[str, Any]) -> Any:
    """The one output of a graph, computed by onnxruntime."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert {one.name for one in session.get_inputs()} == inputs.keys()
    [found] = session.run(None, inputs)
    return found


def raw_inputs(
    description: dict[str, Any], table: pd.DataFrame, kinds: Collection[str] = ("numbers", "codes")
) -> dict[str, Any]:
    """What the guide says that a program does: raw numbers, and each word's code from the table; unknown ones are 0."""
    words = {"known": table["known"].map({True: "true", False: "false"}), "ward": table["ward"]}
    codes = [words[one["name"]].map(one["codes"]).fillna(0).astype(np.int64) for one in description["categories"]]
    found = {"numbers": table[description["numbers"]].to_numpy(np.float64), "codes": np.array(codes, np.int64).T}
    return {kind: found[kind] for kind in kinds}


def embedding(part: Any, prepared: Prepared) -> torch.Tensor:
    rows: Rows = np.arange(len(prepared.numeric))
    with torch.no_grad():
        found: torch.Tensor = part.bottom(Store(prepared.numeric, prepared.categories).take(rows))
    return found


def scores(part: Any, joined: torch.Tensor) -> Any:
    spec = part.description["top"]
    target = Target(spec["task"], torch.zeros(1), spec["outputs"], centre=spec["centre"], scale=spec["scale"])
    with torch.no_grad():
        return target.predictions(part.top(joined))


@pytest.mark.parametrize("module", ["", "own_of_export:build"])
def test_a_feature_partys_file_gives_its_embeddings(tmp_path: Path, module: str) -> None:
    (tmp_path / "own_of_export.py").write_text(OWN)
    run = write_part(tmp_path / "run", module=module)
    files = export_part(run, tmp_path / "part.onnx", tmp_path, separate=False, overwrite=False)
    assert [file.name for file in files] == ["part.onnx", "part.json"]
    description, part, table = (
        json.loads((tmp_path / "part.json").read_text()),
        load_part(run, tmp_path),
        odd_features(),
    )
    inputs = raw_inputs(description, table)
    inputs["codes"][inputs["codes"] == 0] = np.random.default_rng(1).choice(
        [0, -1, 99, 1 << 40], (inputs["codes"] == 0).sum()
    )
    found = run_onnx(tmp_path / "part.onnx", inputs)
    expected = embedding(part, part.preparation.transform(table)).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 0.1
    assert [
        run_onnx(tmp_path / "part.onnx", {name: one[:n] for name, one in inputs.items()}).shape[0] for n in (0, 1)
    ] == [0, 1]
    [graph] = description["graphs"]
    assert [(one["name"], one["type"], one["shape"]) for one in graph["inputs"]] == [
        ("numbers", "float64", ["rows", 4]), ("codes", "int64", ["rows", 2]),
    ]  # fmt: skip


@pytest.mark.parametrize("columns", [["age"], ["count", "tsh"], ["ward"], ["known", "tsh"]])
def test_a_party_may_have_columns_of_one_kind(tmp_path: Path, columns: list[str]) -> None:
    run = write_part(tmp_path / "run", columns=columns)
    export_part(run, tmp_path / "part.onnx", tmp_path, separate=True, overwrite=False)
    part, table = load_part(run), odd_features()
    names = {"age": "numbers", "tsh": "numbers", "count": "numbers"}
    inputs = raw_inputs(
        json.loads((tmp_path / "part.json").read_text()), table, {names.get(one, "codes") for one in columns}
    )
    expected = embedding(part, part.preparation.transform(table)).numpy()
    np.testing.assert_allclose(run_onnx(tmp_path / "part-bottom.onnx", inputs), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("aggregate", ["concat", "sum", "masked_sum"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_label_partys_files_give_the_scores(tmp_path: Path, task: str, aggregate: str, separate: bool) -> None:
    run = write_part(tmp_path / "run", top=top_of(task, aggregate))
    export_part(run, tmp_path / "part.onnx", tmp_path, separate=separate, overwrite=False)
    description, part, table = json.loads((tmp_path / "part.json").read_text()), load_part(run), odd_features()
    own = embedding(part, part.preparation.transform(table))
    lab = torch.from_numpy(np.random.default_rng(2).normal(0, 3, (ROWS, WIDTH)).astype(np.float32))
    others = {"embedding_sum" if aggregate == "masked_sum" else "embedding_lab": lab.numpy()}
    if separate:
        found = run_onnx(tmp_path / "part-bottom.onnx", raw_inputs(description, table))
        found = run_onnx(tmp_path / "part-top.onnx", {"embedding_clinic": found, **others})
    else:
        found = run_onnx(tmp_path / "part.onnx", {**raw_inputs(description, table), **others})
    expected = scores(part, join("concat" if aggregate == "concat" else "sum", [own, lab]))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert (description["task"], description["classes"]) == (task, part.description["top"]["classes"])


def test_a_label_party_without_features_has_the_top_alone(tmp_path: Path) -> None:
    run = write_part(tmp_path / "run", top=top_of("binary", "concat", ("lab", "gym")))
    description = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps(description | {"bottom": None}))
    (run / "bottom.safetensors").unlink()
    export_part(run, tmp_path / "part.onnx", tmp_path, separate=False, overwrite=False)
    parts = np.random.default_rng(2).normal(size=(2, 50, WIDTH)).astype(np.float32)
    found = run_onnx(tmp_path / "part.onnx", {"embedding_lab": parts[0], "embedding_gym": parts[1]})
    np.testing.assert_allclose(found, scores(load_part(run), torch.cat([*map(torch.from_numpy, parts)], 1)), atol=1e-5)


def test_a_module_on_images_is_exported(tmp_path: Path) -> None:
    (tmp_path / "own_of_export.py").write_text(OWN)
    run = write_part(tmp_path / "run", module="own_of_export:picture", image=[3, 8, 8])
    export_part(run, tmp_path / "part.onnx", tmp_path, separate=False, overwrite=False)
    images = np.random.default_rng(2).random((5, 3, 8, 8), np.float32)
    inputs = {**raw_inputs(json.loads((tmp_path / "part.json").read_text()), features(5)), "image": images}
    expected = load_part(run, tmp_path).bottom.layers(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(run_onnx(tmp_path / "part.onnx", inputs), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "said"),
    [("odd", "because torch's ONNX exporter does not support it"), ("noisy", "gives another embedding")],
)
def test_a_module_that_cannot_be_exported_is_refused(
    tmp_path: Path, module: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_of_export.py").write_text(OWN)
    run = write_part(tmp_path / "run", module=f"own_of_export:{module}")
    with pytest.raises(ConfigError, match=f"own_of_export:{module} cannot be exported.*{said}") as caught:
        export_part(run, tmp_path / "part.onnx", tmp_path, separate=False, overwrite=False)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.glob("*part*"))


@pytest.mark.parametrize(("package", "module"), [("onnx", ""), ("onnxscript", "own_of_export:build")])
def test_a_missing_package_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, module: str
) -> None:
    (tmp_path / "own_of_export.py").write_text(OWN)
    run = write_part(tmp_path / "run", module=module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=f"needs the package {package}, .*pip install {package}$"):
        export_part(run, tmp_path / "part.onnx", tmp_path, separate=False, overwrite=False)


# --- files ------------------------------------------------------------------------------------------------------------


def test_nothing_is_overwritten_without_being_asked(tmp_path: Path) -> None:
    run = write_part(tmp_path / "run")
    (tmp_path / "part.json").write_text("mine")
    command = ["export", str(run), "--out", str(tmp_path / "part.onnx")]
    refused = CliRunner().invoke(app, command, env={"COLUMNS": "500"})
    assert refused.exit_code == 2
    assert "part.json would be overwritten; name another file, or add --overwrite" in refused.output
    assert (tmp_path / "part.json").read_text() == "mine"
    assert not (tmp_path / "part.onnx").exists()
    done = CliRunner().invoke(app, [*command, "--overwrite"], env={"COLUMNS": "500"})
    assert (done.exit_code, done.output.count("Wrote ")) == (0, 2)
    assert json.loads((tmp_path / "part.json").read_text())["party"] == "clinic"
    first = (tmp_path / "part.onnx").read_bytes()
    CliRunner().invoke(app, [*command, "--overwrite"])
    assert (tmp_path / "part.onnx").read_bytes() == first


def test_where_a_file_cannot_be_written_none_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_part(tmp_path / "run")
    write = part_module.write_whole

    def full(file: Path, parts: Any) -> None:
        if file.suffix == ".json":
            raise OSError(28, "No space left on device")
        write(file, parts)

    monkeypatch.setattr(part_module, "write_whole", full)
    with pytest.raises(StorageError, match="No space left"):
        export_part(run, tmp_path / "part.onnx", tmp_path, separate=False, overwrite=False)
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("out", "said"), [("part.bin", "does not end with .onnx"), ("none/part.onnx", "does not exist")]
)
def test_a_name_that_does_not_fit_is_refused(tmp_path: Path, out: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        export_part(write_part(tmp_path / "run"), tmp_path / out, tmp_path, separate=False, overwrite=False)


def test_a_folder_of_code_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--code is .*none, which is no folder"):
        export_part(
            write_part(tmp_path / "run"), tmp_path / "part.onnx", tmp_path / "none", separate=False, overwrite=False
        )


def test_a_folder_without_a_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.json is missing"):
        export_part(tmp_path, tmp_path / "part.onnx", tmp_path, separate=False, overwrite=False)


def test_both_parts_of_a_run_give_its_predictions(tmp_path: Path) -> None:
    run = Path(__file__).parents[1] / "run" / "model_format_1"
    inputs = {}
    for name in ("lab", "clinic"):
        export_part(run / name, tmp_path / f"{name}.onnx", tmp_path, separate=False, overwrite=False)
        table, description = pd.read_csv(run / name / "rows.csv"), json.loads((tmp_path / f"{name}.json").read_text())
        inputs[name] = {"numbers": table[description["numbers"]].to_numpy(np.float64)}
        for one in description["categories"]:
            inputs[name]["codes"] = table[[one["name"]]].map(one["codes"].__getitem__).to_numpy(np.int64)
    inputs["clinic"]["embedding_lab"] = run_onnx(tmp_path / "lab.onnx", inputs["lab"])
    found = run_onnx(tmp_path / "clinic.onnx", inputs["clinic"])
    np.testing.assert_allclose(found, json.loads((run / "expected.json").read_text())["joint"], rtol=1e-5)


@pytest.mark.usefixtures("no_report")
def test_the_guide_is_followed(world) -> None:
    world.job["train"]["epochs"] = 1
    world.tables["lab"]["ward"] = np.where(world.tables["lab"].t3 > 0, 1.0, np.nan)
    world.tables["lab"].loc[::3, "ward"] = 2.0
    world.files["lab"]["data"]["categories"] = ["ward"]
    world.write().run_parties().well()
    reader = Reader(world.folder)
    reader.follow(Path(__file__).parents[3] / "docs/how-to/export.md")
    assert reader.printed.strip() == f"float32 ({len(world.tables['lab'])}, 4)"
