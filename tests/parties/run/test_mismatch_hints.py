"""When few records match, both sides are told why that may be; and nobody is told a key."""

from __future__ import annotations

import json

import pandas as pd
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
    outcomes = world.write().run_parties().well()
    for name, cause in (("clinic", CAUSE), ("lab", CAUSE_AT_LAB)):
        assert outcomes.ends[name].lines[:2] == ["60 records in common.", cause]
        assert cause in (world.run(name) / "report.html").read_text()
        assert sorted(shapes_in(world, name)) == ["received", "sent"]


@pytest.mark.usefixtures("no_report")
def test_no_match_is_explained_at_both_sides(world) -> None:
    in_small_letters(world, kept=0)
    outcomes = world.write().run_parties()
    for name, other, cause in (("clinic", "lab", CAUSE), ("lab", "clinic", CAUSE_AT_LAB)):
        error = outcomes.errors[name]
        assert isinstance(error, DataError)
        assert str(error) == f"No record is common to this party and {other}.\n{cause}"


@pytest.mark.usefixtures("no_report")
def test_too_small_a_match_is_explained(world) -> None:
    in_small_letters(world, kept=60)
    world.files["lab"]["accept"] |= {"min_records": 100}
    outcomes = world.write().run_parties()
    assert isinstance(outcomes.errors["lab"], RefusedError)
    assert str(outcomes.errors["lab"]).endswith(CAUSE_AT_LAB)


@pytest.mark.usefixtures("no_report")
def test_the_job_can_forbid_it(world) -> None:
    in_small_letters(world, kept=60)
    world.job["align"]["hints"] = False
    outcomes = world.write().run_parties().well()
    for name in world.names:
        assert outcomes.ends[name].lines[0] == "60 records in common."
        assert "align.normalise" not in " ".join(outcomes.ends[name].lines)
        assert shapes_in(world, name) == []


@pytest.mark.usefixtures("no_report")
def test_the_contract_mends_it(world) -> None:
    in_small_letters(world, kept=60)
    world.job["align"]["normalise"] = {"person": ["lower"]}
    matched = len(
        {person.lower() for person in world.tables["clinic"].person} & set(world.tables["lab"].person.str.lower())
    )
    outcomes = world.write().run_parties().well()
    for name in world.names:
        assert outcomes.ends[name].lines[0] == f"{matched} records in common."
        assert shapes_in(world, name) == []


# --- three parties ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("turned", ["lab", "gym"])
def test_with_three_parties_each_side_reaches_its_own_verdict(three, turned) -> None:
    """Whoever is done first takes leave; its end is no news at the others."""
    three.tables[turned].person = three.tables[turned].person.str.lower()
    outcomes = three.write().run_parties()
    for name in three.names:
        assert isinstance(outcomes.errors[name], DataError), (name, outcomes.errors[name])
        assert str(outcomes.errors[name]).startswith("No record is common to this party and ")
    at_clinic, at_turned = str(outcomes.errors["clinic"]), str(outcomes.errors[turned])
    fair = "gym" if turned == "lab" else "lab"
    assert "common to this party and all others (lab and gym).\n" in at_clinic
    assert f" with {fair}, so the loss is with {turned}.\nperson is mostly in capitals here" in at_clinic
    assert f"and {fair} look alike" not in at_clinic
    assert "put lower into align.normalise for person.\nThis compares" in at_turned
    assert f"This compares {fair} with clinic alone, and the cause may lie at another" in str(outcomes.errors[fair])


@pytest.mark.usefixtures("no_report")
def test_a_bound_of_one_party_ends_all_three_with_what_each_may_say(three) -> None:
    three.files["gym"]["accept"] |= {"min_records": 1000}
    outcomes = three.write().run_parties()
    assert isinstance(outcomes.errors["gym"], RefusedError)
    assert "as gym reports" in str(outcomes.errors["clinic"])
    assert "as clinic reports" in str(outcomes.errors["lab"])


@pytest.mark.usefixtures("no_report")
def test_many_malformed_values_come_first(world) -> None:
    """Six of ten dates are read as none and the others wrongly: what is left looks as it should at both sides."""
    for name, form in (("clinic", "%Y-%m-%d"), ("lab", "%m/%d/%Y")):
        numbers = world.tables[name].person.str[3:].astype(int)
        world.tables[name]["born"] = (pd.Timestamp("1980-01-01") + pd.to_timedelta(numbers, "D")).dt.strftime(form)
        world.files[name]["accept"] |= {"min_list": 1}
    world.job["align"] = {
        "key": ["person", "born"],
        "normalise": {"born": [{"date": ["%Y-%m-%d", "%d/%m/%Y"]}]},
    }
    world.tables["lab"] = world.tables["lab"][lambda lab: lab.born.str[:2] != lab.born.str[3:5]]
    outcomes = world.write().run_parties()
    wrong = (world.tables["lab"].born.str[3:5].astype(int) > 12).sum()
    assert wrong > 100
    ends = {name: str(outcomes.errors[name]) for name in world.names}
    assert (
        f"born: {wrong} of {len(world.tables['lab'])} values fit none of the formats of date %Y-%m-%d or %d/%m/%Y"
        in ends["lab"]
    )
    for end in ends.values():
        assert "too short" in end or "how many keys are reported as malformed at each side. For born" in end
