"""Lives over mutual TLS in which the clinic's rows are visits, and each other party has one row for one person."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from parties.command.cli import app
from vsplit.protocol import DataError


def with_visits(world, repeated):
    """Two to five visits for each of the clinic's persons, with an outcome each."""
    clinic, draw = world.tables["clinic"], np.random.default_rng(9)
    visits = clinic.loc[np.repeat(clinic.index, draw.integers(2, 6, len(clinic)))].reset_index(drop=True)
    visits["pulse"] = draw.normal(size=len(visits))
    visits["outcome"] = np.where(draw.random(len(visits)) < 0.2, "healthy", visits.outcome)
    world.tables["clinic"] = visits.sample(frac=1, random_state=0).reset_index(drop=True)
    world.job["align"]["repeated"] = repeated
    return world.write()


def test_three_parties_work_on_the_visits_and_keep_those_of_a_person_together(three):
    with_visits(three, "many_to_one")
    outcomes = three.run_parties().well()
    visits, common = three.tables["clinic"], three.common()
    shared = visits[visits.person.isin(common)]
    for name in three.names:
        run = json.loads((three.run(name) / "run.json").read_text())
        records = run["records"]
        assert (records["matched"], records["shared_rows"]) == (len(common), len(shared))
        assert records["train"] + records["validation"] + records["test"] == len(shared)
        crossed = {(one["direction"], one["party"]) for one in run["traffic"] if one["kind"] == "RowCounts"}
        assert crossed == ({("sent", "lab"), ("sent", "gym")} if name == "clinic" else {("received", "clinic")})
        assert f"{len(common)} records in common, with {len(shared)} rows at clinic." in outcomes.ends[name].lines
        page = (three.run(name) / "report.html").read_text()
        assert "Rows of the matched records" in page
        assert "how many rows (visits, transactions) the sender has of it" in page
        assert "Each feature party knows how many rows" in page
        assert "KEY0" not in page

    found = pd.read_parquet(three.run("clinic") / "predictions.parquet")
    assert found.row.is_unique
    assert (visits.person[found.row].to_numpy() == found.person.to_numpy()).all()
    assert (visits.outcome[found.row].to_numpy() == found.label.to_numpy()).all()
    parts = {name: set(part.person) for name, part in found.groupby("split")}
    assert not parts["validation"] & parts["test"]
    for name, persons in parts.items():  # all visits of each of these persons, so none was trained on
        assert (found["split"] == name).sum() == visits.person.isin(persons).sum()
    metrics = json.loads((three.run("clinic") / "metrics.json").read_text())
    for name, persons in parts.items():
        assert (metrics[name]["rows"], metrics[name]["persons"]) == ((found["split"] == name).sum(), len(persons))
    page = (three.run("clinic") / "report.html").read_text()
    assert (
        f"{metrics['test']['rows']} test rows of {metrics['test']['persons']} records that training did not see" in page
    )
    assert "each drawn with all of its rows" in page


@pytest.mark.usefixtures("no_report")
def test_without_the_policy_many_rows_of_one_person_stop_the_clinic_at_home(world):
    outcomes = with_visits(world, "error").run_parties("clinic")
    assert isinstance(outcomes.errors["clinic"], DataError)
    assert "KEY0" not in str(outcomes.errors["clinic"])


@pytest.mark.usefixtures("signals_as_before")
def test_check_says_who_learns_the_numbers(world):
    with_visits(world, "many_to_one")
    words = {
        name: " ".join(
            CliRunner().invoke(app, ["check", str(world.folder / f"{name}.yaml")]).output.replace("│", " ").split()
        )
        for name in world.names
    }
    assert " RowCounts lab 1 " in words["clinic"]
    assert "RowCounts" not in words["lab"]
    assert "clinic may have many rows for one of these records" in words["lab"]
    assert "many rows for one" not in words["clinic"]
