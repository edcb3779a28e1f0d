"""The count of runs with each other party: what is counted, kept, refused, and what happens to a damaged file."""

from __future__ import annotations

import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.config.party import Party, load_party
from parties.config.quota_settings import QuotaSettings
from parties.network.identity import PrivateIdentity
from parties.run.quotas import check_quotas, count_run, recent_runs
from vsplit.protocol import ConfigError, RefusedError

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LINES = {name: PrivateIdentity.generate().public.line for name in ("clinic", "lab", "gym", "other")}


def make_party(folder: Path, lines: dict[str, str] = LINES, names: tuple[str, ...] = ("lab",), **file: Any) -> Party:
    members = {name: {"role": "feature", "identity": lines[name]} for name in names}
    job = {
        "job": "test",
        "task": "binary",
        "address": "127.0.0.1:9440",
        "parties": {"clinic": {"role": "label", "identity": lines["clinic"]}} | members,
        "align": {"key": ["person"]},
        "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
        "model": {"embedding": 4, "aggregate": "concat", "top": {"hidden": [8]}},
        "train": {"epochs": 1, "batch_size": 8, "optimizer": "adam", "lr": 0.1},
    }
    content = {
        "job": "job.yaml",
        "party": "clinic",
        "identity": "clinic.key",
        "data": {"source": "clinic.csv", "label": "outcome"},
        "output": "run",
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    (folder / "clinic.yaml").write_text(yaml.safe_dump(content | file))
    return load_party(folder / "clinic.yaml")


def with_bound(folder: Path, most: int, **further: Any) -> Party:
    return make_party(folder, accept={"max_runs": most}, **further)


def test_runs_and_overlaps_count_together_up_to_the_bound(tmp_path: Path) -> None:
    party = with_bound(tmp_path, 3)
    assert recent_runs(QuotaSettings.of(party), NOW) == {"lab": 0}
    for number, purpose in enumerate(("run", "overlap", "run")):
        count_run(QuotaSettings.of(party), purpose, NOW + number * DAY)
        assert recent_runs(QuotaSettings.of(party), NOW + number * DAY) == {"lab": number + 1}
    with pytest.raises(RefusedError) as caught:
        count_run(QuotaSettings.of(party), "overlap", NOW + 3 * DAY)
    words = str(caught.value)
    assert words.startswith("There were 3 runs, overlaps and predictions with lab since 2026-07-01 12:00 UTC")
    assert "allows 3 with one party in any 30 days (accept.max_runs)" in words
    assert "Wait until 2026-07-31 12:00 UTC" in words
    assert recent_runs(QuotaSettings.of(party), NOW + 3 * DAY) == {"lab": 3}  # what was refused is not counted
    count_run(QuotaSettings.of(party), "run", NOW + 30 * DAY)
    with pytest.raises(RefusedError):
        count_run(QuotaSettings.of(party), "run", NOW + 30 * DAY)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=25), st.integers(1, 5))
def test_no_30_days_ever_see_more_than_the_bound(tmp_path_factory: Any, gaps: list[int], most: int) -> None:
    """Whatever the times between attempts, in hours times 12; and no attempt is refused without need."""
    party, now, counted = with_bound(tmp_path_factory.mktemp("party"), most), NOW, []
    for gap in gaps:
        now += timedelta(hours=12 * gap)
        recent = [at for at in counted if at > now - 30 * DAY]
        if len(recent) < most:
            count_run(QuotaSettings.of(party), "run", now)
            counted.append(now)
        else:
            with pytest.raises(RefusedError):
                count_run(QuotaSettings.of(party), "run", now)


def test_partners_are_known_by_their_keys_and_not_by_their_names(tmp_path: Path) -> None:
    count_run(QuotaSettings.of(with_bound(tmp_path, 1)), "run", NOW)
    renamed = with_bound(tmp_path, 1, lines=LINES | {"gym": LINES["lab"]}, names=("gym",))
    with pytest.raises(RefusedError, match="with gym since"):
        count_run(QuotaSettings.of(renamed), "run", NOW)
    count_run(QuotaSettings.of(with_bound(tmp_path, 1, lines=LINES | {"lab": LINES["other"]})), "run", NOW)


def test_all_other_parties_are_counted_or_none(tmp_path: Path) -> None:
    count_run(QuotaSettings.of(with_bound(tmp_path, 1)), "run", NOW)
    three = with_bound(tmp_path, 1, names=("gym", "lab"))
    with pytest.raises(RefusedError, match="with lab since"):
        count_run(QuotaSettings.of(three), "run", NOW)
    assert recent_runs(QuotaSettings.of(three), NOW) == {"gym": 0, "lab": 1}
    count_run(QuotaSettings.of(with_bound(tmp_path, 2, names=("gym", "lab"))), "run", NOW)
    assert recent_runs(QuotaSettings.of(three), NOW) == {"gym": 1, "lab": 2}


def test_a_clock_that_was_wrong_forgets_nothing(tmp_path: Path) -> None:
    party = with_bound(tmp_path, 1)
    count_run(QuotaSettings.of(party), "run", NOW + 365 * DAY)
    with pytest.raises(RefusedError):
        count_run(QuotaSettings.of(party), "run", NOW)


def test_the_file_is_small_private_and_beside_the_key(tmp_path: Path) -> None:
    party = make_party(tmp_path)
    for number in range(50):
        count_run(QuotaSettings.of(party), "run", NOW + 20 * number * DAY)
    file = tmp_path / "clinic.partners.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().count('"at"') == 2  # what is older is no longer kept
    assert "lab" not in file.read_text()
    assert not list(tmp_path.glob("*.part"))


def test_the_file_may_stand_elsewhere(tmp_path: Path) -> None:
    party = make_party(tmp_path, partners="counts/here.json")
    with pytest.raises(ConfigError, match=r"counts/here\.json.*cannot be written.*key partners"):
        count_run(QuotaSettings.of(party), "run", NOW)
    (tmp_path / "counts").mkdir()
    count_run(QuotaSettings.of(party), "run", NOW)
    assert (tmp_path / "counts/here.json").exists()
    assert not (tmp_path / "clinic.partners.json").exists()


DAMAGED = [
    "",
    "{",
    "[]",
    '{"version": 2, "partners": {}}',
    '{"version": 1}',
    '{"version": 1, "partners": {"lab": []}}',
    '{"version": 1, "partners": {}, "more": 1}',
    '{"version": 1, "partners": {"LINE": [{"at": "yesterday", "job": "a", "command": "run"}]}}',
    '{"version": 1, "partners": {"LINE": [{"at": "2026-07-01T12:00:00", "job": "a", "command": "run"}]}}',
    '{"version": 1, "partners": {"LINE": [{"at": "2026-07-01T12:00:00Z", "job": "a"}]}}',
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    party = make_party(tmp_path)
    file = tmp_path / "clinic.partners.json"
    file.write_text(content.replace("LINE", LINES["lab"]))
    before = file.read_bytes()
    for ask in (
        lambda: count_run(QuotaSettings.of(party), "run", NOW),
        lambda: recent_runs(QuotaSettings.of(party), NOW),
    ):
        with pytest.raises(ConfigError, match=r"clinic\.partners\.json, in which .* is damaged"):
            ask()
    assert file.read_bytes() == before


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "clinic.partners.json").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        count_run(QuotaSettings.of(make_party(tmp_path)), "run", NOW)


def test_without_a_key_that_lasts_nothing_is_counted(tmp_path: Path) -> None:
    auto = dict.fromkeys(LINES, "auto")
    party = make_party(tmp_path, lines=auto, identity=None)
    assert party.partners is None
    before = set(tmp_path.iterdir())
    count_run(QuotaSettings.of(party), "run", NOW)
    assert set(tmp_path.iterdir()) == before
    assert recent_runs(QuotaSettings.of(party), NOW) == {"lab": None}
    assert recent_runs(QuotaSettings.of(make_party(tmp_path, lines=auto)), NOW) == {"lab": None}


def test_runs_at_once_all_count(tmp_path: Path) -> None:
    party = with_bound(tmp_path, 20)
    refused: list[RefusedError] = []

    def attempt() -> None:
        try:
            count_run(QuotaSettings.of(party), "run", NOW)
        except RefusedError as error:
            refused.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert recent_runs(QuotaSettings.of(party), NOW) == {"lab": 20}
    assert len(refused) == 4


def test_the_minute_that_is_told_is_one_at_which_the_bound_is_open(tmp_path: Path) -> None:
    party = with_bound(tmp_path, 1)
    count_run(QuotaSettings.of(party), "run", NOW + timedelta(seconds=20))
    with pytest.raises(RefusedError, match="Wait until 2026-07-31 12:01 UTC"):
        check_quotas(QuotaSettings.of(party), NOW + DAY)
    check_quotas(QuotaSettings.of(party), NOW + 30 * DAY + timedelta(minutes=1))
    assert recent_runs(QuotaSettings.of(party), NOW + DAY) == {"lab": 1}
