"""When few records match, both sides are told why that may be; and nobody is told a key."""

from __future__ import annotations

import json

import pytest

from psi import KeyShapes
from vsplit.protocol import DataError, RefusedError

CAUSE = "person is mostly in capitals here and in small letters at lab: put lower into align.normalise for person."
CAUSE_AT_LAB = (
    "person is mostly in small letters here and in capitals at clinic: put lower into align.normalise for person."
)


def in_small_letters(world, kept: int) -> None:
    """The lab writes all keys in small letters, but for the first `kept` of those that the clinic has as well."""
    lab = world.tables["lab"]
    shared = lab.index[lab.person.isin(world.common())]
    changed = lab.index.difference(shared[:kept])
    lab.loc[changed, "person"] = lab.person[changed].str.lower()


def shapes_in(world, name: str) -> list[str]:
    run = json.loads((world.run(name) / "run.json").read_text())
    return [one["direction"] for one in run["traffic"] if one["kind"] == KeyShapes.__name__]


def test_a_low_match_is_explained_at_both_sides(world) -> None:
    in_small_letters(world, kept=60)
    lives = world.write().live().well()
    for name, cause in (("clinic", CAUSE), ("lab", CAUSE_AT_LAB)):
        assert lives.ends[name].lines[:2] == ["60 records in common.", cause]
        assert cause in (world.run(name) / "report.html").read_text()
        assert sorted(shapes_in(world, name)) == ["received", "sent"]


@pytest.mark.usefixtures("no_report")
def test_no_match_is_explained_at_both_sides(world) -> None:
    in_small_letters(world, kept=0)
    lives = world.write().live()
    for name, other, cause in (("clinic", "lab", CAUSE), ("lab", "clinic", CAUSE_AT_LAB)):
        error = lives.errors[name]
        assert isinstance(error, DataError)
        assert str(error) == f"No record is common to this party and {other}. {cause}"


@pytest.mark.usefixtures("no_report")
def test_too_small_a_match_is_explained(world) -> None:
    in_small_letters(world, kept=60)
    world.files["lab"]["accept"] = {"min_records": 100}
    lives = world.write().live()
    assert isinstance(lives.errors["lab"], RefusedError)
    assert str(lives.errors["lab"]).endswith(CAUSE_AT_LAB)


@pytest.mark.usefixtures("no_report")
def test_the_job_can_forbid_it(world) -> None:
    in_small_letters(world, kept=60)
    world.job["align"]["hints"] = False
    lives = world.write().live().well()
    for name in world.names:
        assert lives.ends[name].lines[0] == "60 records in common."
        assert "align.normalise" not in " ".join(lives.ends[name].lines)
        assert shapes_in(world, name) == []


@pytest.mark.usefixtures("no_report")
def test_the_contract_mends_it(world) -> None:
    in_small_letters(world, kept=60)
    world.job["align"]["normalise"] = {"person": ["lower"]}
    matched = len(
        {person.lower() for person in world.tables["clinic"].person} & set(world.tables["lab"].person.str.lower())
    )
    lives = world.write().live().well()
    for name in world.names:
        assert lives.ends[name].lines[0] == f"{matched} records in common."
        assert shapes_in(world, name) == []
