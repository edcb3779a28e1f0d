"""`vsplit check`, and what it promises about what leaves: held against what did leave."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import yaml
from typer.testing import CliRunner

from parties.command.cli import app
from parties.command.disclosure import leaves_in_overlap, what_leaves
from parties.command.overlap import run_overlap
from parties.config.bounds import REQUIRED
from parties.config.quota_settings import QuotaSettings
from parties.data.party_data import read_party_data
from parties.ledger.messages import LedgerHead, LedgerLastLine
from parties.run.party_run import run_party
from parties.run.quotas import count_run
from psi import KeyShapes
from psi.messages import (
    Agreement,
    ListSize,
    ListSizes,
    MaskedByAll,
    MaskedKeys,
    MatchBits,
    MatchCount,
    MatchPositions,
    OwnPositions,
)
from vsplit.aggregation.plain import Embedding
from vsplit.kernels import engine
from vsplit.learn.messages import Gradient, Parts, Verdict
from vsplit.protocol import ConfigError

pytestmark = pytest.mark.usefixtures("signals_as_before")

FROM_LABEL = [ListSizes, MaskedKeys, MatchCount, Agreement, MatchBits, MatchPositions, Gradient, Verdict]
FROM_FEATURE = [ListSize, MaskedKeys, MaskedByAll, Agreement, OwnPositions, Embedding]


def check(world, name: str):
    return CliRunner().invoke(app, ["check", str(world.folder / f"{name}.yaml")])


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("by", ["seed", "date"])
def test_what_leaves_is_what_was_promised(three, by: str) -> None:
    """Kinds, receivers and numbers of messages are equal, and the bytes of all that is not tiny nearly so."""
    three.job["split"]["by"] = by
    three.job["model"]["embedding"] = 16
    if by == "date":
        three.tables["clinic"]["visit"] = "2024-01-01"
        three.files["clinic"]["data"]["date"] = "visit"
    # All of the clinic's records match, and all lists are equally long: what the figures assume.
    for name, table in three.tables.items():
        three.tables[name] = table[table.person.isin(three.common())].reset_index(drop=True)
    three.write().run_parties().well()
    for name in three.names:
        run = json.loads((three.run(name) / "run.json").read_text())
        sent = {(one["kind"], one["party"]): one for one in run["traffic"] if one["direction"] == "sent"}
        leaving = what_leaves(read_party_data(three.party(name)))
        promised = {(one.kind, one.to): one for one in leaving if not one.only_if}
        signing = {LedgerHead.__name__} | ({LedgerLastLine.__name__} if name != "clinic" else set())
        assert {one.kind for one in leaving if one.only_if} == {KeyShapes.__name__} | signing
        assert sent.keys() == promised.keys()
        assert len(sent) > 4
        for key, one in promised.items():
            assert sent[key]["messages"] == one.messages, key
            assert sent[key]["reveals"] == one.reveals
            if sent[key]["size"] > 10_000:
                assert one.bytes == pytest.approx(sent[key]["size"], rel=0.1), key
        assert (Parts.__name__ in {kind for kind, _ in sent}) == (by == "date" and name == "clinic")


@pytest.mark.parametrize(("name", "to", "kinds"), [("clinic", "lab", FROM_LABEL), ("lab", "clinic", FROM_FEATURE)])
def test_check_prints_what_will_leave(world, name: str, to: str, kinds) -> None:
    result = check(world.write(), name)
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.replace("│", " ").split())
    assert f"{name}, {'label' if name == 'clinic' else 'feature'} party of the job test (binary)." in words
    assert "Key file: " in words
    assert f"What leaves {name} in a run of this job" in words
    for kind in kinds:
        assert f" {kind.__name__} {to} " in words
        assert kind.reveals.split()[0] in words
    assert "Parts" not in words
    assert not (world.folder / "runs").exists()


def test_check_counts_rows_and_names_the_positive_label(world) -> None:
    clinic = world.tables["clinic"]
    clinic.loc[:4, "outcome"] = None
    clinic.loc[10, "person"] = None
    clinic.loc[20:22, "person"] = "KEY0999 "
    world.job["align"] |= {"repeated": "last", "normalise": {"person": ["lower", {"pad_zeros": 8}]}}
    words = " ".join(check(world.write(), "clinic").output.replace("│", " ").split())
    assert "200 rows in" in words
    assert "192 with a usable key, 1 without a key, 2 left out because their key is repeated, 5 without" in words
    assert "Keys on several rows: 1, on 3 rows in all; the job says align.repeated: last." in words
    assert "person 1 0 nfkc: 0, trim: 3, lower: 194, pad_zeros 8: 194" in words
    assert "only through these normalisers" not in words
    assert "KEY0" not in words
    assert "Label outcome: sick counts as positive, healthy as negative." in words
    assert "2 feature columns: age, sex." in words


def test_check_counts_the_keys_that_normalisers_made_one(world) -> None:
    clinic = world.tables["clinic"]
    clinic.loc[20:21, "person"] = ["KEY0999", "key0999"]
    world.job["align"] |= {"repeated": "last", "normalise": {"person": ["lower"]}}
    words = " ".join(check(world.write(), "clinic").output.split())
    assert "Keys on several rows that became one key only through these normalisers: 1." in words
    assert "0999" not in words


def test_check_finds_what_would_go_wrong(world) -> None:
    world.files["lab"]["bottom"] = {"module": "nowhere:build"}
    result = check(world.write(), "lab")
    assert result.exit_code == 2
    assert "nowhere:build, and it cannot be imported" in " ".join(result.output.split())
    world.files["lab"] |= {"bottom": {"hidden": [8]}, "identity": "keys/clinic.key"}
    result = check(world.write(), "lab")
    assert result.exit_code == 2
    assert "it belongs to clinic" in " ".join(result.output.split())
    world.files["lab"] |= {"identity": "keys/lab.key", "output": "lab.csv"}
    result = check(world.write(), "lab")
    assert result.exit_code == 2
    assert "lab.csv" in result.output


@pytest.mark.parametrize("kind", ["fma", "portable"])
def test_the_choice_of_kernels_and_its_reason_are_shown(world, kind, monkeypatch) -> None:
    monkeypatch.setattr(engine, "choice", lambda: engine.Choice(kind, "so it was said"))
    world.write()
    said = check(world, "lab").output
    assert f"({kind}): so it was said." in said


# --- what is found before anybody is met -------------------------------------------------------------------------------


def words_of(result) -> str:
    return " ".join(result.output.replace("│", " ").split())


def check_overlap(world, name: str):
    return CliRunner().invoke(app, ["check", "--overlap", str(world.folder / f"{name}.yaml")])


@pytest.mark.parametrize("look", [check, check_overlap])
def test_bounds_in_force_are_shown_and_a_used_up_one_ends_with_4(world, look) -> None:
    world.write()
    result = look(world, "lab")
    assert result.exit_code == 0, result.output
    for bound in (
        "accept.min_list: 100 (default): keys in any party's list, including this one's, at least.",
        "accept.max_records: 1,000,000 (default): keys in another party's list, at most.",
        "accept.min_records: 1 (default): records in common, at least",
        "accept.max_runs: 100 (default): runs, overlaps and predictions with each other party in any 30 days, at most.",
    ):
        assert bound in words_of(result)
    for bound in (
        "accept.tasks: binary, multiclass, regression (party file): kinds of task",
        "accept.aggregations: concat, sum, masked_sum, paillier_sum (party file): ways",
        "accept.max_embedding: 64 (party file): numbers",
    ):
        assert (bound in words_of(result)) == (look is check)
    world.files["lab"]["accept"] |= {"max_runs": 1}
    party = world.write().party("lab")
    count_run(QuotaSettings.of(party), "overlap", datetime.now(UTC))
    before = party.partners.read_bytes()
    result = look(world, "lab")
    assert result.exit_code == 4
    assert "There were 1 runs, overlaps and predictions with clinic since" in words_of(result)
    assert "All checks passed" not in result.output
    assert party.partners.read_bytes() == before


def test_without_bounds_on_learning_a_run_is_refused_and_an_overlap_is_not(world) -> None:
    world.files["lab"]["accept"] = {"min_list": 50}
    result = check(world.write(), "lab")
    assert result.exit_code == 4
    words = words_of(result)
    assert (
        "does not set accept.tasks, accept.aggregations and accept.max_embedding, and without them no run is" in words
    )
    line = "accept: {tasks: [binary], aggregations: [concat], max_embedding: 4, min_list: 50}"
    assert f"change its key accept to: {line}" in words
    for bound in (
        *(f"accept.{key}: not set, so no run is allowed (default)" for key in REQUIRED),
        "accept.min_list: 50 (party file)",
        "accept.max_records: ten times the own list, and at least 1,000,000 (default)",
        "accept.max_runs: 100 (default)",
    ):
        assert bound in words, bound
    assert check_overlap(world, "lab").exit_code == 0
    world.files["lab"] |= yaml.safe_load(line)
    result = check(world.write(), "lab")
    assert result.exit_code == 0, result.output
    assert "accept.min_list: 50 (party file)" in words_of(result)


def test_a_job_beyond_the_bounds_shows_all_of_them(world) -> None:
    world.files["lab"]["accept"] = {
        "tasks": ["regression"],
        "aggregations": None,
        "max_embedding": 64,
        "max_records": 999,
    }
    result = check(world.write(), "lab")
    assert result.exit_code == 4
    words = words_of(result)
    assert "accept.tasks in" in words
    assert "accept.tasks: regression (party file)" in words
    assert "accept.aggregations: not set, so no run is allowed (default)" in words
    assert "accept.max_records: 999 (party file)" in words


def test_parties_of_one_launch_need_no_bounds(world) -> None:
    for member in world.job["parties"].values():
        member["identity"] = "auto"
    del world.files["lab"]["accept"], world.files["lab"]["identity"]
    result = check(world.write(), "lab")
    assert result.exit_code == 0, result.output
    words = words_of(result)
    assert "accept.tasks: no bound (default)" in words
    assert "Warning: accept.tasks, accept.aggregations, accept.max_embedding are not set" in words
    assert (
        "a run with a key is refused. What this job asks for: accept: {tasks: [binary], aggregations: [concat], max_emb"
        in words
    )
    assert "a run with a key is refused" not in words_of(check_overlap(world, "lab"))
    world.files["lab"]["accept"] = {"tasks": ["binary"], "aggregations": ["concat"], "max_embedding": 4}
    assert "a run with a key is refused" not in words_of(check(world.write(), "lab"))


@pytest.mark.parametrize(("name", "what"), [("lab", "93 %"), ("clinic", "labels and scores more exactly")])
def test_a_seed_beside_a_key_is_warned_of(world, name: str, what: str) -> None:
    assert "reveals what training protects" not in words_of(check(world.write(), name))
    world.files[name]["seed"] = 7
    words = words_of(check(world.write(), name))
    assert f"Warning: The key seed in {world.folder / name}.yaml reveals what training protects" in words
    assert what in words
    for member in world.job["parties"].values():
        member["identity"] = "auto"
    assert "reveals what training protects" not in words_of(check(world.write(), name))


def test_an_overlap_is_checked_without_anything_of_learning(world) -> None:
    del world.files["clinic"]["data"]["label"], world.files["clinic"]["data"]["positive"]
    for group in ("task", "split", "model", "train"):
        del world.job[group]
    world.tables["clinic"] = world.tables["clinic"][["person"]]
    assert check(world.write(), "clinic").exit_code == 2
    result = check_overlap(world, "clinic")
    assert result.exit_code == 0, result.output
    words = words_of(result)
    for kind in (ListSizes, MaskedKeys, MatchCount):
        assert f" {kind.__name__} lab " in words
    for kind in (MatchBits, MatchPositions, Agreement, Gradient):
        assert kind.__name__ not in words
    assert "200 rows in" in words
    assert "All checks passed: this party is ready for an overlap." in words


def test_what_an_overlap_lets_leave_is_told_nearly_to_the_byte(three) -> None:
    for name, table in three.tables.items():
        three.tables[name] = table[table.person.isin(three.common())].reset_index(drop=True)
    files = {name: three.write().folder / f"{name}.yaml" for name in three.names}
    with ThreadPoolExecutor() as pool:
        ends = dict(
            zip(files, pool.map(lambda file: run_overlap(file, lambda _event: None), files.values()), strict=True)
        )
    for name, end in ends.items():
        sent = {(kind, to): count for (way, to, kind), count in end.traffic.counts.items() if way == "sent"}
        promised = {
            (one.kind, one.to): one for one in leaves_in_overlap(three.party(name).job, name, 160) if not one.only_if
        }
        assert sent.keys() == promised.keys()
        for key, one in promised.items():
            assert sent[key].messages == one.messages, key
            assert one.bytes == pytest.approx(sent[key].bytes, abs=64 * one.messages), key


@pytest.mark.parametrize("look", [check, check_overlap])
def test_keys_that_cannot_be_used_are_shown_in_the_table_all_the_same(world, look) -> None:
    world.tables["lab"].loc[:1, "person"] = "KEY0199"
    result = look(world.write(), "lab")
    assert result.exit_code == 3
    assert "The key columns of lab, in values" in words_of(result)
    assert "Keys on several rows: 1, on 3 rows in all; the job says align.repeated: error." in words_of(result)
    assert "occur more than once" in words_of(result)
    world.job["align"]["normalise"] = {"person": [{"date": ["%Y-%m-%d"]}]}
    result = look(world.write(), "lab")
    assert result.exit_code == 3
    assert "person 0 220 nfkc: 0, trim: 0, date %Y-%m-%d: 0 (220 malformed)" in words_of(result)
    assert "person: 220 of 220 values fit none of the formats of date %Y-%m-%d" in words_of(result)


@pytest.mark.parametrize("look", [check, check_overlap])
def test_values_that_want_a_look_are_counted(world, look) -> None:
    lab = world.tables["lab"]
    world.job["align"] |= {"repeated": "first", "normalise": {"person": ["email"]}}
    lab.person = [f"{person}@example.org" for person in lab.person]
    lab.loc[:19, "person"] = "unknown"
    world.tables["clinic"].loc[:2, "person"] = "unknown"
    result = look(world.write(), "lab")
    assert result.exit_code == 0, result.output
    assert "Warning: person: 20 of 220 values are not addresses by email; rows with such values" in words_of(result)
    assert "Warning: person: 20 of 220 values look like a word for a missing value" in words_of(result)


def test_an_impossible_kind_of_kernels_is_found_before_any_connection(world, monkeypatch) -> None:
    monkeypatch.setenv(engine.VARIABLE, "nonsense")
    world.hasty().write()
    seen = []
    for command in (
        lambda: run_overlap(world.folder / "lab.yaml", seen.append),
        lambda: run_party(world.party("lab"), world.keys["lab"], seen.append),
    ):
        with pytest.raises(ConfigError, match=f"{engine.VARIABLE} on this machine is 'nonsense'"):
            command()
    assert "waiting" not in {getattr(event, "stage", "") for event in seen}
    assert not list(world.folder.glob("keys/*.json"))
