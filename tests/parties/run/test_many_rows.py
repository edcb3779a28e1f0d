"""Visits at a clinic, persons at a lab: two parties in memory, from their files to what the model says.

The outcome must be that of a lab which had joined its table to the visits beforehand; how that equals pooled training is
tested beside the roles. What crosses is what the specification says, and nothing of it without this policy.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from parties.command.disclosure import what_leaves
from parties.config.local_model import LocalModel
from parties.config.party import load_party
from parties.config.party_names import PartyNames
from parties.data import aligned_rows as shared_module
from parties.data.aligned_rows import AlignedRows, align_rows
from parties.data.party_data import PartyData, most_rows, read_party_data
from parties.network.driver import Traffic, drive
from parties.network.memory import MemoryNetwork
from parties.network.worker_pool import Pool
from parties.run import preparation
from parties.run.preparation import PreparedTraining, prepare
from parties.run.training import train
from psi import Alignment
from psi.multiplicity import RowCounts
from vsplit.learn.batches import to_parts
from vsplit.protocol import DataError, ProtocolError

pytestmark = pytest.mark.usefixtures("one_builds_at_a_time")

PERSONS, ONLY = 150, 12
FEATURES = ["tsh", "t3", "ward"]


def made_up() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The clinic's visits, of persons 0 to 149, and the lab's persons, 12 to 161, each in a random order."""
    draw = np.random.default_rng(6)
    lab = pd.DataFrame({"person": [f"P{number:03d}" for number in range(PERSONS + ONLY)]})
    lab["tsh"] = np.where(draw.random(len(lab)) < 0.1, np.nan, draw.normal(size=len(lab)))
    lab["t3"] = draw.normal(size=len(lab))
    lab["ward"] = draw.choice(["north", "south", "west"], len(lab))
    person = np.repeat(np.arange(PERSONS), draw.integers(1, 8, PERSONS))
    visits = pd.DataFrame({"person": lab.person[person].to_numpy(), "pulse": draw.normal(size=len(person))})
    visits["day"] = (pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 300, len(person)), "D")).astype(str)
    visits["outcome"] = (visits.pulse + lab.t3[person].to_numpy() + draw.normal(size=len(person)) > 0).astype(int)
    return visits.sample(frac=1, random_state=1), lab[ONLY:].sample(frac=1, random_state=2)


class Pair:
    """Two parties' files and homes, and the roles of both, over memory."""

    def __init__(self, folder: Path, visits: pd.DataFrame, lab: pd.DataFrame, **changes: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.visits, self.lab = visits.reset_index(drop=True), lab.reset_index(drop=True)
        job = {
            "job": "visits",
            "task": "binary",
            "address": "127.0.0.1:0",
            "parties": {name: {"role": role, "identity": "auto"} for name, role in (("clinic", "label"), ("lab", "feature"))},
            "align": {"key": ["person"], "repeated": "many_to_one"} | changes.get("align", {}),
            "split": {"train": 0.6, "validation": 0.2, "test": 0.2, "by": changes.get("by", "seed")},
            "model": {"embedding": 4, "aggregate": "concat", "top": {"hidden": [6]}},
            "train": {"epochs": 2, "batch_size": 32, "optimizer": "adam", "lr": 0.01},
        }  # fmt: skip
        (folder / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False))
        for name, table in (("clinic", self.visits), ("lab", self.lab)):
            table.to_csv(folder / f"{name}.csv", index=False)
            data = {"source": f"{name}.csv"} | ({"label": "outcome"} if name == "clinic" else {})
            if name == "clinic":
                data |= {"date": "day"} if changes.get("by") == "date" else {"ignore": ["day"]}
            file = {
                "job": "job.yaml",
                "party": name,
                "data": data,
                "bottom": {"hidden": [5]},
                "seed": 1,
                "output": "run",
            }
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(file | changes.get(f"{name}_file", {})))
        self.homes = {name: read_party_data(load_party(folder / f"{name}.yaml")) for name in ("clinic", "lab")}
        self.traffic = {name: Traffic() for name in self.homes}

    def aligned(self) -> dict[str, Alignment]:
        """What an alignment of both would find, in some common order."""
        lists = {name: list(home.keys.keys) for name, home in self.homes.items()}
        common = sorted(set(lists["clinic"]) & set(lists["lab"]), key=lambda key: key[::-1])
        place = {name: {key: at for at, key in enumerate(keys)} for name, keys in lists.items()}
        return {
            name: Alignment(np.array([place[name][key] for key in common]), len(keys), {}, {}, len(common))
            for name, keys in lists.items()
        }

    def share(self) -> dict[str, AlignedRows]:
        aligned = self.aligned()
        return self.run_roles(lambda home, run: self.rows_of(home, aligned[home.party.name], run))

    def rows_of(self, home: PartyData, aligned: Alignment, run: Any) -> AlignedRows:
        job, most = home.party.job, most_rows(home.party.settings.accept, len(home.keys.keys))
        return align_rows(PartyNames.of(job, home.party.name), job, home, aligned, bytes(32), most, run)

    def train(self, shared: dict[str, AlignedRows]) -> dict[str, PreparedTraining]:
        seeds = {"clinic": 3, "lab": 4}

        def train_one(home: PartyData, run: Any) -> PreparedTraining:
            job, name, model = home.party.job, home.party.name, LocalModel.of(home.party)
            names = PartyNames.of(job, name)
            prepared = prepare(names, job, home, model, shared[name], seeds[name])
            return train(names, prepared, model.device, run, run_name=bytes(16))

        return self.run_roles(train_one)

    def run_roles(self, run_one: Any) -> dict[str, Any]:
        """Both parties' `run_one(home, run)`, each in a thread, over memory."""
        network = MemoryNetwork(list(self.homes))
        ends: dict[str, Any] = {}

        def one(name: str, home: PartyData) -> None:
            transport = network.endpoint(name)
            try:
                ends[name] = run_one(home, lambda role: drive(role, transport, Pool(), traffic=self.traffic[name]))
                transport.finish()
            except Exception as error:
                ends[name] = error
                transport.stop("error")

        threads = [threading.Thread(target=one, args=item) for item in self.homes.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for end in ends.values():
            if isinstance(end, Exception):
                raise end
        return ends


def test_both_sides_have_the_same_persons_on_the_same_rows(tmp_path: Path) -> None:
    pair = Pair(tmp_path, *made_up())
    shared = pair.share()
    people = {
        name: getattr(pair, what).person[shared[name].rows] for name, what in (("clinic", "visits"), ("lab", "lab"))
    }
    assert people["clinic"].tolist() == people["lab"].tolist()
    both = set(pair.visits.person) & set(pair.lab.person)
    assert sorted(shared["clinic"].rows) == np.flatnonzero(pair.visits.person.isin(both)).tolist()
    for one in shared.values():
        assert one.groups is not None
        assert len(one.groups) == len(both) == PERSONS - ONLY
        assert one.groups.counts.tolist() == shared["lab"].groups.counts.tolist()  # type: ignore[union-attr]
    # Within a person the visits do not stand as in the file.
    assert (np.diff(shared["clinic"].rows)[np.diff(shared["clinic"].groups.person) == 0] < 0).sum() > 50  # type: ignore[union-attr]


@pytest.mark.parametrize("by", ["seed", "date"])
def test_the_outcome_is_that_of_a_table_joined_beforehand_and_persons_stay_together(
    tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[int] = []
    images = preparation._images

    def counted(home: PartyData, model: LocalModel, rows: Any) -> Any:
        prepared.append(len(rows) if home.party.role == "feature" else 0)
        return images(home, model, rows)

    monkeypatch.setattr(preparation, "_images", counted)
    visits, lab = made_up()
    pair = Pair(tmp_path / "many", visits, lab, by=by)
    shared = pair.share()
    trained = pair.train(shared)
    person = pair.visits.person[shared["clinic"].rows].to_numpy()
    for one in trained.values():
        parts = [set(person[getattr(one.split, name)]) for name in ("train", "validation", "test")]
        assert sum(map(len, parts)) == len(set.union(*parts)) == PERSONS - ONLY
        assert len(one.split.train) == pytest.approx(0.6 * len(person), abs=8)
        for name in ("train", "validation", "test"):
            assert np.array_equal(getattr(one.split, name), getattr(trained["lab"].split, name))
    if by == "date":
        newest = pair.visits.groupby("person").day.max()
        train, validation, test = ([newest[one] for one in part] for part in parts)
        assert max(train) <= min(validation) and max(validation) <= min(test)
    assert max(prepared) == PERSONS - ONLY  # the lab prepared each person once

    # The same rows in the same order, one to one: a lab that has joined its table to the visits beforehand.
    named = visits.reset_index(drop=True).rename_axis("visit").reset_index()
    joined = named[["visit", "person"]].merge(lab, on="person").drop(columns="person")
    renamed = named.drop(columns="person")
    other = Pair(tmp_path / "joined", renamed, joined, by=by, align={"key": ["visit"], "repeated": "error"})
    place = dict(zip(other.lab.visit, range(len(other.lab)), strict=True))
    parts_of_rows = to_parts(trained["lab"].split, len(person)) if by == "date" else None
    one_to_one = {
        "clinic": AlignedRows(shared["clinic"].rows, parts=parts_of_rows),
        "lab": AlignedRows(np.array([place[row] for row in shared["clinic"].rows]), parts=parts_of_rows),
    }
    monkeypatch.setattr(shared_module, "split_by_seed", lambda *_: trained["lab"].split)
    again = other.train(one_to_one)
    assert np.array_equal(trained["clinic"].joint.validation, again["clinic"].joint.validation)  # type: ignore[union-attr]
    assert np.array_equal(trained["clinic"].joint.test, again["clinic"].joint.test)  # type: ignore[union-attr]
    for name in ("clinic", "lab"):
        one, two = trained[name], again[name]
        assert one.inputs is not None and two.inputs is not None and two.state.bottom is not None
        assert one.inputs.preparation == two.inputs.preparation  # persons count as often as they have visits
        for key, tensor in two.state.bottom.state_dict().items():
            assert torch.equal(one.state.bottom.state_dict()[key], tensor)  # type: ignore[union-attr]


def test_only_the_numbers_cross_and_only_with_this_policy(tmp_path: Path) -> None:
    pair = Pair(tmp_path / "many", *made_up())
    pair.share()
    ((key, count),) = pair.traffic["clinic"].counts.items()
    assert key == ("sent", "lab", "RowCounts")
    assert count.messages == 1
    assert list(pair.traffic["lab"].counts) == [("received", "clinic", "RowCounts")]
    (promised,) = (row for row in what_leaves(pair.homes["clinic"]) if row.kind == "RowCounts")
    assert (promised.to, promised.messages, promised.reveals) == ("lab", 1, RowCounts.reveals)
    assert promised.bytes == pytest.approx(count.bytes * PERSONS / (PERSONS - ONLY), rel=0.1)
    assert not [row for row in what_leaves(pair.homes["lab"]) if row.kind == "RowCounts"]

    visits, lab = made_up()
    for repeated in ("error", "first", "last"):
        clinic = visits.drop_duplicates("person") if repeated == "error" else visits
        other = Pair(tmp_path / repeated, clinic, lab, align={"repeated": repeated})
        shared = other.share()
        assert not other.traffic["clinic"].counts and not other.traffic["lab"].counts
        assert shared["clinic"].groups is shared["lab"].groups is None
        assert len(shared["clinic"].rows) == PERSONS - ONLY
        assert "RowCounts" not in {row.kind for row in what_leaves(other.homes["clinic"])}


def test_what_is_promised_of_training_counts_the_rows_at_the_label_party(tmp_path: Path) -> None:
    visits, lab = made_up()
    promised = {row.kind: row for row in what_leaves(Pair(tmp_path, visits, lab).homes["clinic"])}
    assert promised["Gradient"].bytes > 2 * 0.6 * len(visits) * 4 * 4
    assert promised["Gradient"].messages == 2 * -(-round(0.6 * len(visits)) // 32)


def test_a_feature_party_may_not_have_two_rows_of_one_person(tmp_path: Path) -> None:
    visits, lab = made_up()
    with pytest.raises(DataError):
        Pair(tmp_path, visits, pd.concat([lab, lab[:1]]))


def test_a_label_party_with_more_rows_than_the_lab_takes_is_refused(tmp_path: Path) -> None:
    visits, lab = made_up()
    accept = {"accept": {"max_records": PERSONS}}
    pair = Pair(tmp_path, pd.concat([visits] * 4), lab, lab_file=accept)
    assert most_rows(pair.homes["lab"].party.settings.accept, 5) == 10 * PERSONS
    with pytest.raises(ProtocolError, match=r"clinic has [\d,]+ rows or more of the 138 records .* than the 1,500"):
        pair.share()
