"""The screen: how fast a stage goes and how long it has still to go, by a clock that the test holds."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from parties.command.progress_rate import ProgressRate
from parties.command.screen import Screen, print_failure
from parties.monitoring.events import FAILURE, NOTE, Failed, Finished, Step, away_step, notifying_step, waiting_step

MASKING = "hashing and masking own keys"


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Told:
    """A screen of two parties; `lines` are what stands on it now, `printed` what was printed line by line."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.clock = Clock()
        self.screen = Screen(["clinic", "lab"], console, self.clock)

    def at(self, now: float, party: str, *step: object) -> str:
        """Show a step at a time; returns that party's line."""
        self.clock.now = now
        self.screen.show(party, Step(*step))  # type: ignore[arg-type]
        return self.line(party)

    def line(self, party: str) -> str:
        return next(line.removeprefix(party).strip() for line in self.lines() if line.startswith(party))

    def lines(self) -> list[str]:
        rendered = self.console.render_lines(self.screen._lines(), pad=False)
        return ["".join(part.text for part in line).rstrip() for line in rendered]

    def printed(self) -> list[str]:
        return [line.strip() for line in self.console.export_text().splitlines()]


@pytest.fixture
def told() -> Iterator[Told]:
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        yield Told(Console(file=nowhere, width=100, height=24, record=True))


def test_rate_and_time_left_show_after_two_seconds(told: Told) -> None:
    assert told.at(0, "clinic", MASKING, 0, 1_000_000) == f"{MASKING} 0/1,000,000"
    assert told.at(1, "clinic", MASKING, 40_000, 1_000_000) == f"{MASKING} 40,000/1,000,000"
    assert told.at(3, "clinic", MASKING, 120_000, 1_000_000) == f"{MASKING} 120,000/1,000,000  40,000/s, 22 s left"
    told.clock.now = 13
    assert told.line("clinic").endswith("40,000/s, 12 s left")  # it goes down while nothing is told
    told.clock.now = 26
    assert told.line("clinic").endswith("1,000,000  40,000/s")  # and does not say that no time is left
    assert told.at(27, "clinic", MASKING, 1_000_000, 1_000_000) == f"{MASKING} 1,000,000/1,000,000"


def test_stages_and_parties_that_take_turns_have_their_own_pace(told: Told) -> None:
    for second in range(6):
        ours = told.at(second, "clinic", MASKING, 1000 * second, 10_000)
        lists = told.at(second, "clinic", "exchanging masked lists", 500 * second, 10_000)
        theirs = told.at(second, "lab", MASKING, 2000 * second, 20_000)
    assert ours.endswith("1,000/s, 5 s left")
    assert lists.endswith("500/s, 15 s left")
    assert theirs.endswith("2,000/s, 5 s left")


def test_a_stage_that_begins_again_is_a_new_one(told: Told) -> None:
    for second in range(4):
        told.at(second, "clinic", MASKING, 10_000 * second, 50_000)
    assert told.at(100, "clinic", MASKING, 0, 50_000) == f"{MASKING} 0/50,000"
    assert told.at(110, "clinic", MASKING, 10_000, 50_000).endswith("1,000/s, 40 s left")


def test_epochs_have_a_time_and_no_rate(told: Told) -> None:
    for second in (0, 30, 60):
        feature = told.at(second, "lab", "training", second // 30, 30)
        label = told.at(second, "clinic", "training", second // 30, 30, "loss 0.1, validation 0.2")
    assert feature == "training 2/30  14 min left"
    assert label == "training 2/30  loss 0.1, validation 0.2  14 min left"


def test_what_does_not_fit_is_left_out_from_the_end(told: Told) -> None:
    told.at(0, "clinic", MASKING, 0, 10_000_000)
    whole = f"{MASKING} 400,000/10,000,000  40,000/s, 4 min left"
    assert told.at(10, "clinic", MASKING, 400_000, 10_000_000) == whole
    told.console.width = len(whole) + len("clinic") + 1
    assert told.line("clinic") == f"{MASKING} 400,000/10,000,000  4 min left"
    told.console.width = 60
    assert told.line("clinic") == f"{MASKING} 400,000/10,000,000"


def test_lines_that_are_printed_have_it_too_and_are_not_many(told: Told) -> None:
    for tenth in range(201):
        told.at(tenth / 10, "clinic", MASKING, 100 * tenth, 20_000)
        told.at(tenth / 10, "clinic", "exchanging masked lists", 100 * tenth, 20_000)
    told.screen.show("clinic", Finished([]))
    printed = told.printed()
    assert len(printed) == 10
    assert f"5.0 s  clinic: {MASKING} 5,000/20,000  1,000/s, 15 s left" in printed


def test_a_wait_without_news_is_printed_rarely_and_with_news_at_once(told: Told) -> None:
    for second in range(1, 601):
        if second == 400:
            told.screen.show("clinic", Step("resuming"))
        names = ["lab", "gym"] if second < 100 else ["gym"]
        told.clock.now = second
        told.screen.show("clinic", waiting_step(names, 600 - second))
        told.screen.show("lab", notifying_step(["clinic"], datetime(2026, 3, 1, 12), 600 - second))
    printed = told.printed()
    for name, times in {
        "clinic: waiting": [1, 11, 31, 71, 100, 110, 130, 170, 250, 400, 410, 430, 470, 550],
        "lab: notifying": [1, 11, 31, 71, 151, 311],
    }.items():
        assert [float(line.split(" s ")[0]) for line in printed if name in line] == times


def test_a_failure_is_printed_at_once_and_the_screen_knows_it(told: Told) -> None:
    told.screen.show("lab", Step(FAILURE, text="Why [bold]."))
    assert told.printed() == ["0.0 s  lab: Why [bold]."]
    assert told.screen.has_shown("lab", Failed("Why [bold].", 3))
    assert not told.screen.has_shown("lab", Failed("Why.", 3))
    assert not told.screen.has_shown("clinic", Failed("Why [bold].", 3))


@pytest.mark.parametrize("width", [50, 80, 100, 110, 120])
def test_a_sentence_is_told_whole_on_lines_of_its_own(told: Told, width: int) -> None:
    told.console.width = width
    noon = datetime(2026, 3, 1, 12)
    step = away_step("lab", "was closed by the other side", noon, noon + timedelta(seconds=60), 12.4)
    told.screen.show("clinic", step)
    first, *others = told.lines()[:-2]  # without the line of lab and the seconds
    assert others
    assert all(len(line) <= width for line in (first, *others))
    assert " ".join(" ".join((first, *others)).split()) == f"clinic {step.stage} {step.text}"
    begin = first.index(step.stage)
    assert all(line[:begin].isspace() and line[begin] != " " for line in others)
    if width >= 80:
        assert "until 12:01:00, 12 s left" in first


def test_a_note_is_printed_above_the_lines_of_a_terminal_at_once() -> None:
    output = io.StringIO()
    console = Console(file=output, width=80, height=24, force_terminal=True, color_system=None)
    told = Told(console)
    with told.screen:
        told.at(0, "clinic", "training", 1, 30)
        before = len(output.getvalue())
        told.at(1, "clinic", NOTE, 0, 0, "The run resumes from step 973.")
        assert "clinic: The run resumes from step 973.\n" in output.getvalue()[before:]
        assert told.line("clinic").startswith("training 1/30")


def test_every_note_is_printed_where_no_terminal_is(told: Told) -> None:
    told.at(1, "clinic", NOTE, 0, 0, "The run resumes from step 973.")
    told.at(1, "clinic", NOTE, 0, 0, "Since then this changed: torch.")
    assert told.printed() == [
        "1.0 s  clinic: The run resumes from step 973.",
        "1.0 s  clinic: Since then this changed: torch.",
    ]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 10**4)), max_size=30), st.integers(1, 10**8))
def test_no_course_of_a_stage_is_too_much(steps: list[tuple[int, float]], total: int) -> None:
    pace, done, now = ProgressRate(0, total, 0.0), 0, 0.0
    for moved, took in steps:
        done, now = min(total, done + moved), now + took
        assert pace.follows(done, total)
        pace.step(done, now)
        for one in pace.wordings(now) + pace.wordings(now + 7):
            assert len(one) < 40
            assert "-" not in one


@given(st.floats(0.5, 10**5), st.floats(0.01, 5), st.integers(100, 300))
def test_a_steady_pace_is_told_as_it_is(rate: float, gap: float, steps: int) -> None:
    total = 10**9
    pace = ProgressRate(0, total, 0.0)
    for number in range(1, steps + 1):
        pace.step(round(number * gap * rate * 1000), number * gap)
    told = pace.wordings(steps * gap)
    if told:
        assert float(told[0].split("/s")[0].replace(",", "")) == pytest.approx(1000 * rate, rel=0.06)


def test_a_pace_follows_a_change() -> None:
    """After half a minute at a tenth of the rate, the time left is judged by what is seen now."""
    pace = ProgressRate(0, 1_000_000, 0.0)
    for second in range(1, 61):
        pace.step(10_000 * second, second)
    for second in range(1, 31):
        pace.step(600_000 + 1000 * second, 60 + second)
    assert pace.wordings(90) == ["2,200/s, 3 min left", "3 min left"]


@pytest.mark.parametrize(("code", "word", "red"), [(130, "interrupted", False), (3, "failed", True)])
def test_an_interrupt_is_no_red_failure(code: int, word: str, red: bool) -> None:
    output = io.StringIO()
    console = Console(file=output, width=80, height=24, force_terminal=True, color_system="standard")
    with Screen(["lab"], console) as screen:
        screen.show("lab", Failed("Why.", code))
    print_failure(console, "lab", Failed("Why.", code))
    assert word in output.getvalue()
    assert ("\x1b[31m" in output.getvalue()) == red
