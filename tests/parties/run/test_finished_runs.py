"""Parties that begin again where some have finished the run, or where somebody's folder is an old copy: nothing is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from parties.checkpoints.folder import CheckpointFolder
from parties.checkpoints.folder_lock import UNFINISHED
from parties.checkpoints.start_decision import Start
from parties.checkpoints.start_messages import LocalStateOffer, StartDecision
from parties.ledger.compare import compare
from parties.ledger.examination import SessionRecord
from parties.ledger.ledger import Ledger
from parties.ledger.verify import examine
from parties.run import party_run, run_ledger, start
from tests.parties.breaking import Broken, at, small
from vsplit.protocol import MismatchError, PeerAbsent, ProtocolError, Role, Send, receive

pytestmark = pytest.mark.usefixtures("no_report", "one_builds_at_a_time")


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
    agree, leave = CheckpointFolder.confirm_final, party_run.write_results

    def agree_unless_late(self: CheckpointFolder) -> None:
        if self.folder.parent.name not in late:
            agree(self)

    def leave_unless_late(names: Any, *rest: Any, **more: Any) -> Any:
        if names.me in late:
            raise Broken
        return leave(names, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckpointFolder, "confirm_final", agree_unless_late)
        patch.setattr(party_run, "write_results", leave_unless_late)
        outcomes = small(world).run_parties()
    assert set(outcomes.errors) == set(late)
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
    outcomes = three.run_parties().well()
    for name in three.names:
        told = " ".join(outcomes.ends[name].lines)
        if name in late:
            assert "this party finishes it alone" in told
        else:
            assert "The run has finished already" in told and outcomes.ends[name].report == ""
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
    three.run_parties().well()
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
    world.run_parties(restart=world.names).well()
    assert run_of(world, "lab")["run"] == run_of(world, "clinic")["run"] != before
    assert run_of_folder(world.folder / "runs" / "clinic-1") == before
    assert folders(world) == {"clinic", "lab", "clinic-1"}


def test_an_outcome_that_is_damaged_once_others_have_finished_is_named_and_nothing_goes(world: Any) -> None:
    finished_by_all_but(world, ("lab",))
    file = world.run("lab") / UNFINISHED / "final-offered"
    file.write_bytes(file.read_bytes()[:-1])
    before = kept(world, "lab")
    outcomes = world.run_parties()
    for name in world.names:
        assert isinstance(outcomes.errors[name], MismatchError)
        assert "does not have its outcome" in str(outcomes.errors[name])
    assert kept(world, "lab") == before and folders(world) == {"clinic", "lab"}


@pytest.mark.parametrize("old", ["clinic", "gym"])
def test_an_old_copy_of_a_folder_costs_nobody_a_state(three: Any, tmp_path: Path, old: str) -> None:
    small(three).run_parties(show={"lab": at(1)})
    shutil.copytree(three.run(old) / UNFINISHED, tmp_path / "old")
    three.run_parties(show={"lab": at(4)})
    before = {name: kept(three, name) for name in three.names}
    shutil.move(three.run(old) / UNFINISHED, tmp_path / "right")
    shutil.copytree(tmp_path / "old", three.run(old) / UNFINISHED)
    shutil.copy(tmp_path / "right" / "ledger", three.run(old) / UNFINISHED / "ledger")
    outcomes = three.run_parties()
    for name in three.names:
        assert isinstance(outcomes.errors[name], MismatchError), outcomes.errors[name]
        who = "this party" if name == old else old
        assert f"the latest of {who} is too far behind" in str(outcomes.errors[name])
        if name != old:
            assert kept(three, name) == before[name]
    shutil.rmtree(three.run(old) / UNFINISHED)
    shutil.move(tmp_path / "right", three.run(old) / UNFINISHED)
    three.run_parties().well()
    assert run_of(three, old)["resumed"][-1]["step"] >= 8


def test_the_training_begins_again_on_its_alignment_where_all_take_their_states_away(world: Any) -> None:
    small(world).run_parties(show={"lab": at(3)})
    for name in world.names:
        for file in (world.run(name) / UNFINISHED).glob("step-*"):
            file.unlink()
    world.run_parties().well()
    assert [one["step"] for one in run_of(world, "lab")["resumed"]] == [0]


# --- who ends alone, and what fails in between: the ledgers of a run tell the same --------------------------------------


def absent(*_: Any) -> None:
    raise PeerAbsent("clinic", "clinic did not answer.")


def fails(*arguments: Any) -> None:
    """A handshake that is received and does not fit, as after a change of one party's job file."""
    greet(*arguments)
    raise MismatchError("clinic", "The job of clinic is another one.")


greet = party_run.exchange_handshakes


def live_with(world: Any, name: str, instead: Any, *names: str) -> Any:
    """Runs in which something of `parties.run.party_run` or `parties.run.start` is another one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(party_run if hasattr(party_run, name) else start, name, instead)
        return world.run_parties(*names)


def sessions_of(world: Any, folder: str) -> list[SessionRecord]:
    return list(examine(world.folder / "runs" / folder / "ledger.jsonl").sessions.values())


def sessions(world: Any, folder: str) -> list[str]:
    return [told.session for told in sessions_of(world, folder)]


def test_the_run_after_one_that_a_party_ended_alone_has_a_ledger_of_its_own(world: Any) -> None:
    live_with(finished_by_all_but(world, ("lab",)), "connect", absent, "lab")
    before = (world.run("lab") / "ledger.jsonl").read_bytes()
    world.run_parties().well()
    assert (world.folder / "runs" / "lab-1" / "ledger.jsonl").read_bytes() == before
    assert stories(world, "") == [] == stories(world, "-1")
    assert len(sessions(world, "lab")) == 1
    [greeting] = [
        one for one in run_of(world, "lab")["traffic"] if (one["direction"], one["kind"]) == ("sent", "Handshake")
    ]
    assert greeting["messages"] == 1


def test_a_party_that_ended_alone_takes_its_ledger_along_where_the_others_still_need_the_run(world: Any) -> None:
    live_with(finished_by_all_but(world, ("clinic", "lab")), "connect", absent, "lab")
    before = (world.run("lab") / "ledger.jsonl").read_bytes()
    alone = run_of(world, "lab")["run"]
    world.run_parties().well()
    older = world.folder / "runs" / "lab-1" / "ledger.jsonl"
    assert older.read_bytes() == before and not older.samefile(world.run("lab") / "ledger.jsonl")
    assert run_of(world, "lab")["run"] == run_of(world, "clinic")["run"] == alone
    assert sessions(world, "lab") == sessions(world, "clinic") and len(sessions(world, "lab")) == 2
    assert stories(world, "") == []
    counted = {name: sum(one["messages"] for one in run_of(world, name)["traffic"]) for name in world.names}
    assert counted["lab"] == counted["clinic"]
    assert not (world.run("lab") / UNFINISHED).exists()


def test_a_session_that_fails_before_one_ends_alone_is_told_by_both_of_the_run_that_was(world: Any) -> None:
    outcomes = live_with(finished_by_all_but(world, ("lab",)), "exchange_handshakes", fails)
    assert set(outcomes.errors) == {"clinic"} and run_of(world, "lab")["run"] == run_of(world, "clinic")["run"]
    assert len(sessions(world, "clinic")) == 2 and stories(world, "") == []
    live_with(world, "exchange_handshakes", fails)
    assert len(sessions(world, "clinic")) == 3 and stories(world, "") == []
    world.run_parties().well()
    assert stories(world, "") == [] == stories(world, "-1")
    assert len(sessions(world, "clinic")) == 1


def test_a_session_that_was_cut_off_by_a_kill_is_settled_by_the_next_life(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(world).run_parties().well()
    end, settle = Ledger.end_session, run_ledger.settle
    with monkeypatch.context() as patch:  # a kill of the clinic leaves no time for these
        patch.setattr(Ledger, "end_session", lambda self, word: self.path.parts[-3] == "clinic" or end(self, word))
        patch.setattr(run_ledger, "settle", lambda kept, *of: kept.folder.parts[-2] == "clinic" or settle(kept, *of))
        live_with(world, "exchange_handshakes", fails)
    assert [len(sessions(world, name)) for name in world.names] == [1, 2]
    world.run_parties().well()
    assert stories(world, "-1") == [] == stories(world, "")
    ends = {name: [told.end for told in sessions_of(world, f"{name}-1")] for name in world.names}
    assert ends == {"clinic": ["finished", "cut"], "lab": ["finished", "mismatch"]}


def test_no_word_of_the_label_party_takes_away_a_run_that_all_had_begun(world: Any) -> None:
    small(world).run_parties().well()
    small(world).run_parties(show={"lab": at(3)})
    before = kept(world, "lab")
    assert "alignment" in before

    def agree(me: str, feature_parties: Any, mine: Any, fresh: bytes) -> Role[Start]:
        told = yield from receive("lab", LocalStateOffer, 4096)
        yield Send("lab", StartDecision(run=told.finished, step=-1, final=False, end="over", about=[]))
        return Start(mine.finished, None, finished_by_all=True)

    outcomes = live_with(world, "agree_on_start_label", agree)
    assert isinstance(outcomes.errors["lab"], ProtocolError)
    assert kept(world, "lab") == before


def test_a_ledger_that_cannot_be_added_is_kept_and_nobody_says_that_it_is_not_needed(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_by_all_but(world, ("lab",))
    monkeypatch.setattr(run_ledger, "merge_ledgers", lambda *_: False)
    outcomes = world.run_parties().well()
    assert "stays where it is" in " ".join(outcomes.ends["clinic"].lines)
    assert "no longer needed" not in " ".join(outcomes.ends["clinic"].lines)
    assert (world.run("clinic") / UNFINISHED / "ledger").exists()


def test_a_party_that_has_finished_and_finds_nobody_hears_that_nothing_is_lacking(world: Any) -> None:
    small(world).run_parties().well()
    error = live_with(world, "connect", absent, "lab").errors["lab"]
    assert isinstance(error, PeerAbsent) and "needs no further command for it" in str(error)
