"""What a run hangs on at home: whatever changes in it changes a digest, whose name says what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from parties.checkpoints.fingerprint import environment, job_fingerprints, local_fingerprints
from parties.config.local_model import LocalModel
from parties.config.party import load_party
from parties.data.party_data import read_party_data
from parties.network.identity import PrivateIdentity

ROWS = 120


class Party:
    """The files of one label party, to be changed and read again."""

    def __init__(self, folder: Path) -> None:
        draw = np.random.default_rng(2)
        self.folder = folder
        self.table = pd.DataFrame(
            {
                "id": [f"p{number}" for number in range(ROWS)],
                "age": draw.normal(size=ROWS),
                "ward": draw.choice(["a", "b"], ROWS),
                "day": pd.date_range("2024-01-01", periods=ROWS).astype(str),
                "outcome": draw.choice(["no", "yes"], ROWS),
                "note": "x",
            }
        )
        self.job: dict[str, Any] = {
            "job": "test",
            "task": "binary",
            "address": "127.0.0.1:0",
            "parties": {
                "clinic": {"role": "label", "identity": "auto"},
                "lab": {"role": "feature", "identity": "auto"},
            },
            "align": {"key": ["id"]},
            "split": {"train": 0.6, "validation": 0.2, "test": 0.2, "by": "date"},
            "model": {"embedding": 4, "aggregate": "concat", "top": {"hidden": [8]}},
            "train": {"epochs": 3, "batch_size": 32, "optimizer": "adam", "lr": 0.02},
        }
        self.file: dict[str, Any] = {
            "job": "job.yaml",
            "party": "clinic",
            "data": {"source": "clinic.csv", "label": "outcome", "date": "day", "ignore": ["note"]},
            "bottom": {"hidden": [8]},
            "output": "run",
        }

    def home(self) -> dict[str, str]:
        self.write()
        loaded = load_party(self.folder / "clinic.yaml")
        return local_fingerprints(LocalModel.of(loaded), read_party_data(loaded))

    def of_job(self) -> dict[str, str]:
        self.write()
        return job_fingerprints(load_party(self.folder / "clinic.yaml").job_file)

    def write(self) -> None:
        self.table.to_csv(self.folder / "clinic.csv", index=False)
        (self.folder / "job.yaml").write_text(yaml.safe_dump(self.job, sort_keys=False))
        (self.folder / "clinic.yaml").write_text(yaml.safe_dump(self.file, sort_keys=False))


@pytest.fixture
def party(tmp_path: Path) -> Party:
    return Party(tmp_path)


def differing(one: dict[str, str], other: dict[str, str]) -> set[str]:
    return {name for name in one | other if one.get(name) != other.get(name)}


KEYS = "the key columns, or which rows have a usable key"


@pytest.mark.parametrize(
    ("column", "value", "named"),
    [
        ("age", 9.5, {"the column age"}),
        ("ward", "c", {"the column ward"}),
        ("outcome", "yes", {"the labels"}),
        ("day", "2031-05-05", {"the dates"}),
        ("id", "somebody else", {KEYS}),
        ("id", "", {KEYS}),
        ("note", "another", set()),
    ],
)
def test_a_single_changed_cell_is_named_by_its_column(party: Party, column: str, value: Any, named: set[str]) -> None:
    party.table.loc[7, "outcome"] = "no"
    before = party.home()
    assert before == party.home()
    party.table.loc[7, column] = value
    assert differing(before, party.home()) == named


def test_rows_in_another_order_and_columns_in_another_order_are_other_data(party: Party) -> None:
    before = party.home()
    table = party.table
    party.table = table.iloc[[1, 0, *range(2, ROWS)]]
    assert KEYS in differing(before, party.home())
    party.table = table[["ward", "age", "id", "day", "outcome", "note"]]
    assert differing(before, party.home()) == {"the order of the feature columns"}


def test_what_the_party_file_says_of_its_columns_and_its_model_counts_and_the_rest_does_not(party: Party) -> None:
    before = party.home()
    party.file["wait"] = 100
    party.file["output"] = "elsewhere"
    assert party.home() == before
    party.file["bottom"] = {"hidden": [9]}
    assert differing(before, party.home()) == {"the key bottom of the party file"}
    party.file["bottom"] = {"hidden": [8]}
    party.file["data"]["ignore"] = ["note", "age"]
    assert "the column age" in differing(before, party.home())


def test_the_job_counts_key_by_key_but_not_where_and_how_often(party: Party) -> None:
    before = party.of_job()
    party.job["address"] = "example.org:4000"
    party.job["train"]["checkpoint"] = {"steps": 7, "seconds": None}
    assert party.of_job() == before
    party.job["train"]["lr"] = 0.03
    assert differing(before, party.of_job()) == {"train.lr"}
    party.job["train"]["lr"] = 0.02
    party.job["parties"]["lab"]["identity"] = PrivateIdentity.generate().public.line
    assert differing(before, party.of_job()) == {"parties.lab.identity"}


def test_keys_that_a_launch_makes_afresh_are_no_other_job(party: Party) -> None:
    """What is compared is the job as it is written, whatever a launch fills in."""
    from dataclasses import replace

    party.write()
    loaded = load_party(party.folder / "clinic.yaml")
    filled = loaded.job.with_identities({"lab": PrivateIdentity.generate().public.line}).with_address("127.0.0.1:4")
    assert job_fingerprints(replace(loaded, job=filled).job_file) == job_fingerprints(loaded.job_file)


def test_images_count_by_their_files(party: Party) -> None:
    image = pytest.importorskip("PIL.Image")
    for number in range(ROWS):
        image.new("L", (4, 4), number % 200).save(party.folder / f"{number}.png")
    party.table["scan"] = [f"{number}.png" for number in range(ROWS)]
    party.file["data"]["image"] = {"column": "scan", "size": [4, 4]}
    before = party.home()
    image.new("L", (4, 4), 255).save(party.folder / "5.png")
    assert differing(before, party.home()) == {"the images"}
    party.file["data"]["image"]["size"] = [8, 8]
    assert differing(before, party.home()) == {"the images", "the key data.image of the party file"}


def test_the_environment_names_what_last_digits_hang_on(party: Party) -> None:
    party.write()
    found = environment(LocalModel.of(load_party(party.folder / "clinic.yaml")))
    assert set(found) == {"processor", "Python", "torch", "numpy", "threads", "device"}
    assert all(found.values())
    party.file["threads"] = 2
    party.write()
    other = environment(LocalModel.of(load_party(party.folder / "clinic.yaml")))
    assert differing(found, other) == {"threads"}
