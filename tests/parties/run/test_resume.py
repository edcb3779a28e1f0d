"""Lives that are broken off and begun again with the same command: they end as if nothing had been."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from parties.checkpoints.checksummed_file import read_checksummed
from parties.checkpoints.folder_lock import UNFINISHED
from parties.command.cli import app
from parties.monitoring.events import FAILURE, NOTIFYING
from parties.run import storage
from tests.parties.breaking import EPOCHS, Broken, at, small
from vsplit.protocol import ConfigError, MismatchError, PeerAbsent

pytestmark = pytest.mark.usefixtures("no_report", "one_builds_at_a_time")


def kept(world: Any, name: str) -> set[str]:
    folder = world.run(name) / UNFINISHED
    names = {file.name for file in folder.iterdir()} if folder.exists() else set()
    return {one for one in names if one.startswith(("alignment", "step", "final"))}


def copy_alignments(world: Any, folder: Path) -> None:
    """Put each party's side of the alignment where a run without any stop can begin with it."""
    for name in world.names:
        target = folder / name
        target.mkdir(parents=True)
        shutil.copy(world.run(name) / UNFINISHED / "alignment", target / "alignment")


def outcome(world: Any) -> dict[str, Any]:
    """All that a run leaves and that its training decides."""
    files = {}
    for name in world.names:
        for file in world.run(name).glob("*.safetensors"):
            files[f"{name}/{file.name}"] = file.read_bytes()
    files["predictions"] = (world.run("clinic") / "predictions.parquet").read_bytes()
    files["metrics"] = (world.run("clinic") / "metrics.json").read_bytes()
    for name in world.names:
        training = run_of(world, name)["training"]
        losses = [(one["number"], one["train_loss"], one["validation_loss"]) for one in training["epochs"]]
        files[f"{name}/training"] = (losses, training["kept"], training["secure_sum"])
    return files


def run_of(world: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((world.run(name) / "run.json").read_text())
    return found


def in_peace(world: Any, alignments: Path) -> dict[str, Any]:
    """What the same run leaves that goes on from its alignment without any stop."""
    for name in world.names:
        if world.run(name).exists():
            shutil.rmtree(world.run(name))
        shutil.copytree(alignments / name, world.run(name) / UNFINISHED)
    world.run_parties().well()
    return outcome(world)


@pytest.mark.parametrize("by", ["seed", "date"])
def test_a_run_that_is_broken_off_twice_ends_as_one_in_peace(three: Any, tmp_path: Path, by: str) -> None:
    if by == "date":
        three.tables["clinic"]["visit"] = three.tables["clinic"].person.map(three.visits)
        three.files["clinic"]["data"]["date"] = "visit"
        three.job["split"]["by"] = "date"
    small(three).run_parties(show={"lab": at(2)})
    assert all(len(kept(three, name)) == 3 for name in three.names)
    copy_alignments(three, tmp_path / "alignments")
    meetings = {file: file.read_text() for file in three.folder.glob("keys/*.partners.json")}
    three.run_parties(show={"clinic": at(4)})
    outcomes = three.run_parties().well()
    assert {file: file.read_text() for file in meetings} == meetings  # no list was compared again
    for name in three.names:
        assert not (three.run(name) / UNFINISHED / "alignment").exists()
        assert "aligning" not in " ".join(outcomes.stages(name))
        told = " ".join(outcomes.ends[name].lines)
        assert re.search(r"The run resumes from step \d+\.", told)
        (first, second) = run_of(three, name)["resumed"]
        assert 0 < first["step"] < second["step"] and first["changes"] == []
        epochs = run_of(three, name)["training"]["epochs"]
        assert [one["number"] for one in epochs] == list(range(1, EPOCHS + 1))
        assert all(one["seconds"] > 0 for one in epochs)
    found = outcome(three)
    assert in_peace(three, tmp_path / "alignments") == found


def test_an_alignment_that_not_all_have_starts_over(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise Broken

    with monkeypatch.context() as patch:
        patch.setattr(storage, "confirm_stored_label", broken)
        small(world).run_parties()
    runs = {name: kept(world, name) for name in world.names}
    assert runs["clinic"] == {"alignment-offered"} and runs["lab"] <= {"alignment-offered"}
    first = read_checksummed(world.run("clinic") / UNFINISHED / "alignment-offered").head.run
    (world.run("lab") / UNFINISHED / "alignment-offered").unlink(missing_ok=True)
    world.run_parties().well()
    assert run_of(world, "clinic")["run"] == run_of(world, "lab")["run"] != first
    counts = [len(json.loads(file.read_text())["partners"].popitem()[1]) for file in world.folder.glob("keys/*.json")]
    assert counts == [2, 2]  # lists were compared twice


def test_a_damaged_state_is_said_and_the_one_before_is_used(world: Any, tmp_path: Path) -> None:
    small(world).run_parties(show={"lab": at(3)})
    copy_alignments(world, tmp_path / "alignments")
    last = max((world.run("lab") / UNFINISHED).glob("step-*"), key=lambda file: int(file.name[5:]))
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    outcomes = world.run_parties().well()
    assert f"{last} is damaged" in " ".join(outcomes.ends["lab"].lines)
    assert run_of(world, "clinic")["resumed"][0]["step"] < int(last.name[5:])
    found = outcome(world)
    assert in_peace(world, tmp_path / "alignments") == found


def check(world: Any, name: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["check", str(world.folder / f"{name}.yaml")])
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.usefixtures("signals_as_before")
def test_check_says_with_what_a_run_would_go_on(world: Any) -> None:
    assert "An unfinished run stands" not in check(small(world), "lab")[1]
    world.run_parties(show={"lab": at(2)})
    before = kept(world, "lab")
    last = max(int(name.removeprefix("step-")) for name in before if name.startswith("step-"))
    code, said = check(world, "lab")
    assert (code, kept(world, "lab")) == (0, before)
    assert f"lab.yaml` resumes it: after step {last}, or the last earlier step" in said
    for name in before - {"alignment"}:
        (world.run("lab") / UNFINISHED / name).unlink()
    assert "resumes it: from the existing alignment" in check(world, "lab")[1]
    world.tables["lab"].loc[3, "tsh"] += 1.0
    code, said = check(world.write(), "lab")
    assert code == 2
    assert "the column tsh is not the same" in said


def test_other_data_at_home_is_named_before_anybody_is_met(world: Any) -> None:
    small(world).run_parties(show={"lab": at(2)})
    before = kept(world, "lab")
    world.tables["lab"].loc[3, "tsh"] += 1.0
    outcomes = world.hasty().write().run_parties("lab")
    assert isinstance(outcomes.errors["lab"], ConfigError)
    assert "the column tsh is not the same" in str(outcomes.errors["lab"])
    assert outcomes.stages("lab") == ["reading data", FAILURE, NOTIFYING]  # which tells the clinic, were it there
    assert kept(world, "lab") == before


def test_restart_begins_afresh_where_all_give_it_and_costs_nobody_anything_where_one_does(world: Any) -> None:
    small(world).run_parties(show={"lab": at(2)})
    held = {name: kept(world, name) for name in world.names}
    outcomes = world.run_parties(restart=("lab",))
    for name in world.names:
        assert isinstance(outcomes.errors[name], MismatchError), outcomes.errors[name]
        told = "This party was given --restart" if name == "lab" else "lab has nothing"
        assert told in str(outcomes.errors[name])
    assert {name: kept(world, name) for name in world.names} == held
    outcomes = world.run_parties(restart=world.names).well()
    for name in world.names:
        told = " ".join(outcomes.ends[name].lines)
        assert re.search(
            r"this was discarded of the previous one: the alignment, the state of step \d, the state of step \d", told
        )
        assert run_of(world, name)["resumed"] == []
        assert kept(world, name) == set()


@pytest.mark.usefixtures("signals_as_before")
def test_a_party_that_has_its_outcome_ends_alone_where_the_others_do_not_come(
    world: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small(world)
    for file in world.files.values():
        file["first_wait"] = 1
    world.write()

    def broken(names: Any, stage: Any, run: Any) -> None:
        if stage == "final":
            raise Broken
        confirm_stored(names, stage, run)

    confirm_stored = storage.confirm_stored
    with monkeypatch.context() as patch:
        patch.setattr(storage, "confirm_stored", broken)
        world.run_parties()
    for name in world.names:
        assert "final-offered" in kept(world, name)
    copy_alignments(world, tmp_path / "alignments")
    assert "resumes it: this party has its outcome already" in check(world, "lab")[1]
    for name in reversed(world.names):
        outcomes = world.run_parties(name).well()
        told = " ".join(outcomes.ends[name].lines)
        assert "it finishes without the other parties" in told
        assert kept(world, name)  # somebody else may need it still
    assert "There is an unfinished run" not in check(world, "lab")[1]
    found = outcome(world)
    # Whoever comes again is not sent away, and nothing of the finished run is lost.
    assert isinstance(world.run_parties("lab").errors["lab"], PeerAbsent)
    assert outcome(world) == found
    outcomes = world.run_parties().well()
    assert outcome(world) == found
    assert (world.folder / "runs" / "lab-1" / "run.json").exists()
    assert not kept(world, "lab") and not kept(world, "clinic")
    assert in_peace(world, tmp_path / "alignments") == found


def test_a_party_that_was_killed_after_its_last_word_only_clears_up(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All have their outcome, and this one's folder is whole: the next command says so, and begins no new run."""
    small(world)
    with monkeypatch.context() as patch:
        patch.setattr("parties.checkpoints.folder.CheckpointFolder.discard_run", lambda *_: None)
        world.run_parties().well()
    assert "final" in kept(world, "lab")
    outcomes = world.run_parties("lab").well()
    assert "has finished already" in outcomes.ends["lab"].lines[0]
    assert not (world.run("lab") / UNFINISHED).exists()
    assert run_of(world, "lab")["run"] == run_of(world, "clinic")["run"]


def test_what_is_kept_goes_back_where_an_older_run_was_moved_aside(world: Any) -> None:
    """A run that fails at its very end leaves the older one in its place, and all that it kept."""
    small(world).run_parties().well()
    older = run_of(world, "lab")["run"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("parties.run.results.save_part", lambda *_: (_ for _ in ()).throw(ConfigError("no room")))
        outcomes = world.run_parties()
    assert "no room" in str(outcomes.errors["lab"])
    assert run_of(world, "lab")["run"] == older
    assert "final" in kept(world, "lab")
    world.run_parties().well()
    assert run_of(world, "lab")["run"] != older
    assert json.loads((world.folder / "runs" / "lab-1" / "run.json").read_text())["run"] == older


@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_kill_while_an_older_run_is_moved_aside_loses_nothing(world: Any, killed_after: int) -> None:
    """The folder is renamed, made anew, and what is unfinished comes back: after each of these the program may end."""
    small(world).run_parties().well()
    small(world).run_parties(show={"lab": at(2)})
    moved = world.folder / "runs" / "lab-1"
    world.run("lab").rename(moved)
    if killed_after == 2:
        world.run("lab").mkdir()
    world.run_parties().well()
    assert run_of(world, "lab")["resumed"]
    assert json.loads((moved / "run.json").read_text())["run"] != run_of(world, "lab")["run"]
