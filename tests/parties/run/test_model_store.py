"""What a run leaves of the model: with both parts and the raw rows at hand, the joint predictions come out again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from parties.data.party_data import read_party_data
from parties.run.model_store import load_part
from vsplit.aggregation.plain import join
from vsplit.learn.models import Store
from vsplit.protocol import ConfigError

FORMAT_1 = Path(__file__).parent / "model_format_1"
"""Both parts of a run of version 0.2, six rows of each party as in its data, and the predictions of that run for them."""


def embeddings(world, name: str, persons: list[str]) -> torch.Tensor:
    """The embedding of these people by a party's saved part, from its raw rows."""
    part = load_part(world.run(name))
    table = read_party_data(world.party(name)).table
    rows = pd.Index(table.keys.person).get_indexer(persons)
    prepared = part.preparation.transform(table.features.iloc[rows].reset_index(drop=True))
    store = Store(prepared.numeric, prepared.categories)
    with torch.no_grad():
        return part.bottom(store.take(np.arange(len(persons))))


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("aggregate", ["concat", "sum"])
def test_the_parts_of_a_run_give_its_predictions_again(world, aggregate: str) -> None:
    world.job["model"]["aggregate"] = aggregate
    world.job["train"] |= {"epochs": 4, "early_stopping": {"patience": 1}}
    world.tables["lab"].loc[::7, "tsh"] = None
    world.tables["lab"]["ward"] = np.where(world.tables["lab"].t3 > 0, "north", "south")
    world.write().run_parties().well()
    found = pd.read_parquet(world.run("clinic") / "predictions.parquet")
    top = load_part(world.run("clinic"))
    spec = top.description["top"]
    parts = [embeddings(world, name, list(found.person)) for name in spec["contributors"]]
    with torch.no_grad():
        joint = torch.sigmoid(top.top(join(spec["aggregate"], parts))[:, 0].double()).numpy()
    np.testing.assert_allclose(joint, found.joint, rtol=1e-5)
    assert spec["classes"] == ["healthy", "sick"]


@pytest.mark.usefixtures("no_report")
def test_a_part_that_is_not_whole_is_refused(world) -> None:
    world.write().run_parties().well()
    folder = world.run("lab")
    description = json.loads((folder / "model.json").read_text())
    (folder / "bottom.safetensors").write_bytes(b"\x08")
    with pytest.raises(ConfigError, match=r"runs/lab cannot be read.*damaged"):
        load_part(folder)
    (folder / "bottom.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"bottom\.safetensors is missing"):
        load_part(folder)
    (folder / "model.json").write_text(json.dumps(description | {"format": 99}))
    with pytest.raises(ConfigError, match=r"model\.json has the format 99, and this version of vsplit reads format 1"):
        load_part(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        load_part(folder)


def test_a_part_that_was_written_in_format_1_is_read_and_predicts_the_same() -> None:
    parts = {name: load_part(FORMAT_1 / name) for name in ("clinic", "lab")}
    spec = parts["clinic"].description["top"]
    found = []
    for name in spec["contributors"]:
        prepared = parts[name].preparation.transform(pd.read_csv(FORMAT_1 / name / "rows.csv"))
        with torch.no_grad():
            found.append(parts[name].bottom(Store(prepared.numeric, prepared.categories).take(np.arange(6))))
    with torch.no_grad():
        joint = torch.sigmoid(parts["clinic"].top(join(spec["aggregate"], found))[:, 0].double()).numpy()
    np.testing.assert_allclose(joint, json.loads((FORMAT_1 / "expected.json").read_text())["joint"], rtol=1e-6)


def test_a_key_that_is_not_known_changes_nothing(tmp_path: Path) -> None:
    """A later version of the same format may have further keys."""
    description = json.loads((FORMAT_1 / "lab" / "model.json").read_text())
    description["bottom"]["preparation"]["later"] = description["bottom"]["later"] = description["later"] = {"value": 1}
    (tmp_path / "model.json").write_text(json.dumps(description))
    (tmp_path / "bottom.safetensors").write_bytes((FORMAT_1 / "lab" / "bottom.safetensors").read_bytes())
    assert load_part(tmp_path).preparation == load_part(FORMAT_1 / "lab").preparation


def test_every_key_of_the_description_is_documented() -> None:
    def keys(value: object, name: str) -> set[str]:
        if isinstance(value, list):
            return {key for one in value for key in keys(one, name)}
        if isinstance(value, dict):
            return {key for one in value for key in {f"{name}{one}", *keys(value[one], f"{name}{one}.")}}
        return set()

    found = {
        key for name in ("clinic", "lab") for key in keys(json.loads((FORMAT_1 / name / "model.json").read_text()), "")
    }
    page = Path(__file__).parents[3] / "docs/reference/run-folder.md"
    section = page.read_text(encoding="utf-8").partition("\n## `model.json`\n")[2].partition("\n## ")[0]
    assert {line.split("`")[1] for line in section.splitlines() if line.startswith("| `")} >= found
