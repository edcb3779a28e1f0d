"""The events of links: which party is missing at the start, and which is away later on, since when and until when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from parties.monitoring.events import AWAY, BACK, BEFORE_CONNECTION, Step, away_step, back_step
from parties.network.transport import Absence
from parties.run.connection import _Links

NOON = datetime(2026, 3, 1, 12, 0, 0)


class Recorder:
    """Records each call."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def show(self, event: Any) -> None:
        self.told.append(event)

    def lost(self, peer: str, why: str) -> None:
        self.told.append(("lost", peer, why))

    def back(self, peer: str) -> None:
        self.told.append(("back", peer))

    def resent(self, peer: str, messages: int, size: int) -> None:
        self.told.append(("resent", peer, messages, size))


def test_an_absence_says_who_why_since_when_and_until_when() -> None:
    step = away_step("lab", "was closed by the other side", NOON, NOON + timedelta(seconds=30), 12.4)
    assert step == Step(
        AWAY, text="lab away since 12:00:00, until 12:00:30, 12 s left (it was closed by the other side)"
    )


def test_an_absence_that_may_last_until_another_day_says_the_day() -> None:
    step = away_step("lab", "broke", NOON, NOON + timedelta(days=2), 172_800)
    assert "since 2026-03-01 12:00, until 2026-03-03 12:00, 172800 s left (it broke)" in step.text


def test_the_stages_of_a_lost_link_come_after_the_connection() -> None:
    assert not {AWAY, BACK} & set(BEFORE_CONNECTION)


def test_what_the_transport_tells_reaches_the_people_and_the_onlooker() -> None:
    recorder = Recorder()
    links = _Links(recorder)
    links.lost("lab", "broke")
    links.away([Absence("lab", "broke", NOON.timestamp(), NOON.timestamp() + 30, 29.0)])
    links.back("lab")
    links.resent("lab", 4, 6, 1000)
    assert recorder.told == [
        ("lost", "lab", "broke"),
        Step(AWAY, text="lab away since 12:00:00, until 12:00:30, 29 s left (it broke)"),
        ("back", "lab"),
        back_step("lab"),
        ("resent", "lab", 3, 1000),
    ]
