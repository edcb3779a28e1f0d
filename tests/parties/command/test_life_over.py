"""Parties that begin again where some have finished the run, or where somebody's folder is an old copy: nothing is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parties import life as life_module
from parties.events import Event, Step
from parties.ledger.compare import compare
from parties.ledger.verify import examine
from parties.unfinished.checkpoints import UNFINISHED, Checkpoints
from vsplit.protocol import MismatchError

pytestmark = pytest.mark.usefixtures("no_report", "one_builds_at_a_time")


class Broken(KeyboardInterrupt):
    """Ends a life in its middle."""


def at(epoch: int) -> Callable[[Event], None]:
    """Breaks off once so many epochs are trained."""

    def look(event: Event) -> None:
        if isinstance(event, Step) and event.stage == "training" and event.done == epoch:
            raise Broken

    return look


def small(world: Any) -> Any:
    """Three batches an epoch, and a state kept after every second of them."""
    world.job["train"] |= {"epochs": 6, "checkpoint": {"steps": 2, "seconds": None}}
    for file in world.files.values():
        file["wait"] = 5
    return world.write()


def kept(world: Any, name: str) -> dict[str, bytes]:
    """The files that a party keeps of its run, but for its ledger."""
    folder = world.run(name) / UNFINISHED
    found = {file.name: file.read_bytes() for file in folder.iterdir()} if folder.exists() else {}
    return {one: data for one, data in found.items() if one.startswith(("alignment", "step", "final"))}


def run_of(world: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((world.run(name) / "run.json").read_text())
    return found


def folders(world: Any) -> set[str]:
    return {folder.name for folder in (world.folder / "runs").iterdir()}


def finished_by_all_but(world: Any, late: tuple[str, ...]) -> Any:
    """As after a kill of these parties between the word that they have their outcome, and their hearing that all have."""
    agree, leave = Checkpoints.agree_on_final, life_module._leave

    def agree_unless_late(self: Checkpoints) -> None:
        if self.folder.parent.name not in late:
            agree(self)

    def leave_unless_late(life: Any, trained: Any) -> Any:
        if life.party.name in late:
            raise Broken
        return leave(life, trained)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "agree_on_final", agree_unless_late)
        patch.setattr(life_module, "_leave", leave_unless_late)
        lives = small(world).live()
    assert set(lives.errors) == set(late)
    for name in world.names:
        assert ("final-offered" in kept(world, name)) == (name in late)
        assert (world.run(name) / "run.json").exists() == (name not in late)
    return world


@pytest.mark.parametrize("late", [("clinic",), ("lab",), ("clinic", "gym")], ids=" ".join)
def test_who_lacks_its_results_ends_alone_and_the_others_hear_that_the_run_is_over(
    three: Any, late: tuple[str, ...]
) -> None:
    finished_by_all_but(three, late)
    meetings = {file: file.read_text() for file in three.folder.glob("keys/*.partners.json")}
    whole = {name: run_of(three, name) for name in three.names if name not in late}
    lives = three.live().well()
    for name in three.names:
        told = " ".join(lives.ends[name].lines)
        if name in late:
            assert "this party ends it by itself" in told
        else:
            assert "The run had come to its end already" in told and lives.ends[name].report == ""
            assert run_of(three, name) == whole[name]
        assert kept(three, name) == {}
    assert folders(three) == set(three.names)
    assert len({run_of(three, name)["run"] for name in three.names}) == 1
    assert {file: file.read_text() for file in meetings} == meetings  # no list was compared again
    assert (three.run("clinic") / "metrics.json").exists()
    # What crossed belongs to the finished run, at all of them.
    assert not any((three.run(name) / UNFINISHED).exists() for name in three.names)
    assert stories(three, "") == []
    # The same command again begins a new run.
    three.live().well()
    assert folders(three) == {*three.names, *(f"{name}-1" for name in three.names)}
    for name in three.names:
        assert run_of(three, name)["run"] != run_of_folder(three.folder / "runs" / f"{name}-1")
        assert not (three.run(name) / UNFINISHED).exists()
    assert stories(three, "") == [] == stories(three, "-1")


def stories(world: Any, which: str) -> list[str]:
    """What does not fit in the clinic's ledger and the lab's, of the runs in these folders."""
    clinic, lab = (examine(world.folder / "runs" / f"{name}{which}" / "ledger.jsonl") for name in ("clinic", "lab"))
    found = compare(clinic, lab)
    return [*(fault.sentence for one in (clinic, lab) for fault in one.faults), *found.faults, *found.notes]


def run_of_folder(folder: Path) -> str:
    return str(json.loads((folder / "run.json").read_text())["run"])


def test_restart_at_every_party_begins_afresh_although_one_has_still_to_finish(world: Any) -> None:
    before = run_of(finished_by_all_but(world, ("lab",)), "clinic")["run"]
    world.live(restart=world.names).well()
    assert run_of(world, "lab")["run"] == run_of(world, "clinic")["run"] != before
    assert run_of_folder(world.folder / "runs" / "clinic-1") == before
    assert folders(world) == {"clinic", "lab", "clinic-1"}


def test_an_outcome_that_is_damaged_once_others_have_finished_is_named_and_nothing_goes(world: Any) -> None:
    finished_by_all_but(world, ("lab",))
    file = world.run("lab") / UNFINISHED / "final-offered"
    file.write_bytes(file.read_bytes()[:-1])
    before = kept(world, "lab")
    lives = world.live()
    for name in world.names:
        assert isinstance(lives.errors[name], MismatchError)
        assert "does not hold its outcome" in str(lives.errors[name])
    assert kept(world, "lab") == before and folders(world) == {"clinic", "lab"}


@pytest.mark.parametrize("old", ["clinic", "gym"])
def test_an_old_copy_of_a_folder_costs_nobody_a_state(three: Any, tmp_path: Path, old: str) -> None:
    small(three).live(show={"lab": at(1)})
    shutil.copytree(three.run(old) / UNFINISHED, tmp_path / "old")
    three.live(show={"lab": at(4)})
    before = {name: kept(three, name) for name in three.names}
    shutil.move(three.run(old) / UNFINISHED, tmp_path / "right")
    shutil.copytree(tmp_path / "old", three.run(old) / UNFINISHED)
    shutil.copy(tmp_path / "right" / "ledger", three.run(old) / UNFINISHED / "ledger")
    lives = three.live()
    for name in three.names:
        assert isinstance(lives.errors[name], MismatchError), lives.errors[name]
        who = "this party" if name == old else old
        assert f"the latest of {who} is too far behind" in str(lives.errors[name])
        if name != old:
            assert kept(three, name) == before[name]
    shutil.rmtree(three.run(old) / UNFINISHED)
    shutil.move(tmp_path / "right", three.run(old) / UNFINISHED)
    three.live().well()
    assert run_of(three, old)["resumed"][-1]["step"] >= 8


def test_the_training_begins_again_on_its_alignment_where_all_take_their_states_away(world: Any) -> None:
    small(world).live(show={"lab": at(3)})
    for name in world.names:
        for file in (world.run(name) / UNFINISHED).glob("step-*"):
            file.unlink()
    world.live().well()
    assert [one["step"] for one in run_of(world, "lab")["resumed"]] == [0]
