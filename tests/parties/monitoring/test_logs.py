"""The log: one line a record, who gets which, and what happens where it cannot be written."""

from __future__ import annotations

import io
import json
import logging
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parties.config.log_target import LogTarget
from parties.config.party import Party, load_party
from parties.config.party_file import Log
from parties.config.party_names import PartyNames
from parties.monitoring import logs
from parties.monitoring.events import AWAY, BACK, NOTE, READING, WAITING, Failed, Finished, Step
from parties.monitoring.logs import Logbook, check_log, failure_of, logging_to
from vsplit.protocol import ConfigError, DataError

THYROID = Path(__file__).parents[3] / "configs/thyroid"
MakeParty = Callable[..., Party]


@pytest.fixture
def party(tmp_path: Path) -> MakeParty:
    """Makes a party of the thyroid example whose file stands in an empty folder and asks for a log as given."""

    def make(name: str = "clinic", **log: Any) -> Party:
        made = load_party(THYROID / f"{name}.yaml")
        settings = made.settings.model_copy(update={"log": Log(**log)})
        return replace(made, settings=settings, file=tmp_path / f"{name}.yaml", output=tmp_path / "runs" / name)

    return make


@pytest.fixture
def clean() -> Iterator[None]:
    """No handler and no level outlives a test."""
    before = list(logging.getLogger("vsplit").handlers)
    yield
    assert logging.getLogger("vsplit").handlers == before
    assert logging.getLogger("vsplit").level == logging.NOTSET


pytestmark = pytest.mark.usefixtures("clean")


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def logbook(party: Party, *clock: Any) -> Logbook:
    return Logbook(PartyNames.of(party.job, party.name), party.job.job, party.output, *clock)


def live_a_little(party: Party) -> None:
    book = logbook(party)
    book.begin()
    book.show(Step(READING))
    for left in (30, 29, 28):
        book.show(Step(WAITING, text=f"for lab, {left} s left"))
    for done in (0, 1, 2):
        book.show(Step("masking", done, 2))
    book.show(Step(NOTE, text="something is worth knowing"))
    for done in (0, 1, 2):
        book.show(Step("training", done, 2, f"loss {done}"))
    book.training(0, 700)
    book.stored(40, 0.0125)
    book.lost("lab", "it was closed by the other side")
    book.resent("lab", 3, 4096)
    book.back("lab")
    book.show(Finished(["AUC 0.9"], "report.html"))


def test_a_life_is_told_in_order_with_each_stage_once(party: MakeParty, tmp_path: Path) -> None:
    one = party(format="json", file="log.jsonl")
    with logging_to(LogTarget.of(one)):
        live_a_little(one)
    told = lines(tmp_path / "log.jsonl")
    assert [(line["logger"], line["event"], line.get("stage", "")) for line in told] == [
        ("vsplit.run", "begin", ""),
        ("vsplit.run", "stage", READING),
        ("vsplit.run", "stage", WAITING),
        ("vsplit.run", "stage", "masking"),
        ("vsplit.run", "note", ""),
        ("vsplit.run", "stage", "training"),
        ("vsplit.run", "stage", "training"),
        ("vsplit.run", "stage", "training"),
        ("vsplit.run", "training", ""),
        ("vsplit.checkpoints", "checkpoint", ""),
        ("vsplit.links", "link_lost", ""),
        ("vsplit.links", "resent", ""),
        ("vsplit.links", "link_back", ""),
        ("vsplit.run", "finished", ""),
    ]
    assert {line["party"] for line in told} == {"clinic"}
    assert {line["level"] for line in told} == {"info", "warning"}
    kept = next(line for line in told if line["event"] == "checkpoint")
    assert (kept["step"], kept["seconds"]) == (40, 0.0125)
    assert kept["message"] == "the state after step 40 is stored, written in 0.013 s"
    resent = next(line for line in told if line["event"] == "resent")
    assert (resent["peer"], resent["messages"], resent["bytes"]) == ("lab", 3, 4096)
    assert "AUC" not in str(told)  # results belong to the run folder
    assert stat.S_IMODE((tmp_path / "log.jsonl").stat().st_mode) == 0o600


def test_stages_that_take_turns_are_told_once_and_a_link_that_is_away_each_time(
    party: MakeParty, tmp_path: Path
) -> None:
    one = party(file="log.txt")
    with logging_to(LogTarget.of(one)):
        book = logbook(one)
        for done in range(5):
            for stage in ("masking", "comparing"):
                book.show(Step(stage, done, 4))
        for _ in range(2):
            for left in (9, 8, 7):
                book.show(Step(AWAY, text=f"lab away, {left} s left"))
            book.show(Step(BACK, text="the link to lab is restored"))
    assert [line.split(": ", 1)[1] for line in (tmp_path / "log.txt").read_text().splitlines()] == [
        "masking 0 of 4",
        "comparing 0 of 4",
        *["waiting for a link: lab away, 9 s left", "resuming: the link to lab is restored"] * 2,
    ]


@pytest.mark.parametrize(("level", "records"), [("debug", 18), ("info", 14), ("warning", 1), ("error", 0)])
def test_the_level_says_what_is_told(party: MakeParty, tmp_path: Path, level: str, records: int) -> None:
    one = party(format="json", file="log.jsonl", level=level)
    with logging_to(LogTarget.of(one)):
        live_a_little(one)
    assert len(lines(tmp_path / "log.jsonl")) == records


def test_text_is_one_line_a_record_whatever_stands_in_it(party: MakeParty, tmp_path: Path) -> None:
    one = party(file="log.txt")
    with logging_to(LogTarget.of(one)):
        logbook(one).lost("lab", "100 %s\nand\x1b[31m more")
    (line,) = (tmp_path / "log.txt").read_text().splitlines()
    time, rest = line.split(" ", 1)
    assert len(time) == len("2026-01-01T00:00:00.000Z") and time.endswith("Z")
    assert rest == (
        r"WARNING vsplit.links clinic: the link to lab is lost (100 %s\nand\x1b[31m more) and is being restored"
    )


def test_json_shows_no_sign_that_would_act_and_programs_read_it(party: MakeParty, tmp_path: Path) -> None:
    evil = "\x1b[31m\x9b2J\u202e\u2066\u200b\u2028\x7f"
    one = party(file="log.jsonl", format="json")
    with logging_to(LogTarget.of(one)):
        logbook(one).lost("lab", evil)
    (line,) = (tmp_path / "log.jsonl").read_bytes().splitlines()
    assert line.isascii() and line.decode().isprintable()
    assert json.loads(line)["why"] == evil


def test_a_log_is_added_to_and_may_be_moved_away_meanwhile(party: MakeParty, tmp_path: Path) -> None:
    one = party(file="log.txt")
    for _ in range(2):
        with logging_to(LogTarget.of(one)):
            logbook(one).back("lab")
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 2
    with logging_to(LogTarget.of(one)):
        (tmp_path / "log.txt").rename(tmp_path / "log.txt.1")
        logbook(one).back("lab")
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 1


def test_two_parties_of_one_process_have_logs_of_their_own(party: MakeParty, tmp_path: Path) -> None:
    clinic, lab = party(file="clinic.log", level="warning"), party("lab", file="lab.log")
    with logging_to(LogTarget.of(clinic)), logging_to(LogTarget.of(lab)):
        logbook(clinic).back("lab")
        logbook(clinic).lost("lab", "why")
        logbook(lab).back("clinic")
        logging.getLogger("vsplit.other").warning("of no party")
    assert [line.split(": ")[1] for line in (tmp_path / "clinic.log").read_text().splitlines()] == [
        "the link to lab is lost (why) and is being restored",
        "of no party",
    ]
    assert len((tmp_path / "lab.log").read_text().splitlines()) == 2


def test_without_a_file_it_goes_to_the_error_output(party: MakeParty, monkeypatch: pytest.MonkeyPatch) -> None:
    one, file = party(), io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", file)  # 2> FILE
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    with logging_to(LogTarget.of(one)):
        logbook(one).back("lab")
    assert "the link to lab is restored" in file.getvalue()
    assert not screen.getvalue()


def test_on_a_terminal_it_goes_through_the_screen_that_draws_there(
    party: MakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    one, terminal, screen = party(), Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", terminal)
    with logging_to(LogTarget.of(one)):
        monkeypatch.setattr(sys, "stderr", screen)  # a screen that begins to draw later
        logbook(one).back("lab")
    assert "the link to lab is restored" in screen.getvalue()
    assert not terminal.getvalue()


def test_nobody_who_asked_for_no_log_gets_one(party: MakeParty, capfd: pytest.CaptureFixture[str]) -> None:
    one = party()
    one = replace(one, settings=one.settings.model_copy(update={"log": None}))
    with logging_to(LogTarget.of(one)):
        logbook(one).lost("lab", "why")
    assert capfd.readouterr() == ("", "")


def test_a_file_that_cannot_be_written_is_told_before_anything_starts(party: MakeParty, tmp_path: Path) -> None:
    for bad, why in (
        ("none/log.txt", r"clinic\.yaml, the key log\.file names .*none/log\.txt, which cannot be written \(No such"),
        (".", r"cannot be written \(Is a directory\)"),
        ("runs/clinic/log.txt", "which is in the run folder"),
    ):
        with pytest.raises(ConfigError, match=why), logging_to(LogTarget.of(party(file=bad))):
            pass
        with pytest.raises(ConfigError, match=why):
            check_log(LogTarget.of(party(file=bad)))


def test_a_check_leaves_no_file_behind(party: MakeParty, tmp_path: Path) -> None:
    check_log(LogTarget.of(party(file="log.txt")))
    assert not (tmp_path / "log.txt").exists()
    (tmp_path / "log.txt").write_text("before\n")
    check_log(LogTarget.of(party(file="log.txt")))
    assert (tmp_path / "log.txt").read_text() == "before\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_ends_the_log_and_not_the_run(party: MakeParty, capfd: pytest.CaptureFixture[str]) -> None:
    one = party(file="/dev/full")
    with logging_to(LogTarget.of(one)):
        for _ in range(3):
            logbook(one).back("lab")
    told = capfd.readouterr().err
    assert (
        told == "The log /dev/full cannot be written (No space left on device): it ends here, and the run continues.\n"
    )


def test_a_log_whose_folder_is_gone_ends_and_the_run_goes_on(
    party: MakeParty, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").mkdir()
    one = party(file="logs/log.txt")
    with logging_to(LogTarget.of(one)):
        logbook(one).back("lab")
        shutil.rmtree(tmp_path / "logs")
        logbook(one).back("lab")
        logbook(one).back("lab")
    assert capfd.readouterr().err.count("cannot be written (No such file or directory): it ends here") == 1


def test_an_unforeseen_error_is_told_by_its_type_alone() -> None:
    """The message of a foreign exception may quote a value."""
    try:
        float("CANARY-7311")
    except ValueError as error:
        assert failure_of(error) == Failed("an unexpected error (ValueError)", 1)
    assert failure_of(DataError("The column is bad.")) == Failed("The column is bad.", 3)
    assert failure_of(KeyboardInterrupt()) == Failed("interrupted here", 130)


def test_a_link_that_is_made_again_and_again_fills_no_log(party: MakeParty, tmp_path: Path) -> None:
    one, now = party(format="json", file="log"), 1000.0
    with logging_to(LogTarget.of(one)):
        book = logbook(one, lambda: now)
        for _ in range(1000):
            book.lost("lab", "was closed")
            book.show(Step(AWAY, text="lab away"))
            book.back("lab")
            book.show(Step(BACK, text="there again"))
            book.resent("lab", 1, 500)
        book.lost("gym", "was closed")
        now += 60
        book.lost("lab", "was closed")
        book.lost("lab", "was closed")
    found = lines(tmp_path / "log")
    assert len([one for one in found if one.get("peer") == "lab"]) == logs.MOST_A_MINUTE + 2
    assert len([one for one in found if one["event"] == "stage"]) == logs.MOST_A_MINUTE
    *_, gym, first, second = found
    assert gym["peer"] == "gym"
    assert first["left_out"] == 3000 - logs.MOST_A_MINUTE
    assert first["message"].endswith("; 2,970 records of this link were left out before this one")
    assert "left_out" not in second
