"""What a run leaves of the model: with both parts and the raw rows at hand, the joint predictions come out again."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from parties.data.party_data import read_party_data
from parties.run.model_store import load_part
from vsplit.aggregation.plain import join
from vsplit.learn.models import Store
from vsplit.protocol import ConfigError


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
    with pytest.raises(ConfigError, match="a format that this version"):
        load_part(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        load_part(folder)
