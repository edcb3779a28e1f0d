"""The story of the dirty records: what it prints is true, and the same records are made again from the same seed."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

PEOPLE = "600"


def run(project: Path, script: str, *arguments: str) -> str:
    command = [sys.executable, str(project / "examples" / "dirty" / script), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=project).stdout


@pytest.fixture(scope="module")
def story(project: Path) -> str:
    return run(project, "match_rate.py", "--people", PEOPLE)


def rate(story: str, what: str) -> float:
    found = re.search(rf"^{what}: [\d,]+ of them are found, ([\d.]+)%; wrong pairs: 0\.$", story, re.MULTILINE)
    assert found is not None, story
    return float(found[1])


def test_the_contract_finds_all_whom_a_contract_can_find(story: str) -> None:
    assert 5 < rate(story, "Without a contract") < 25
    assert 80 < rate(story, "With the contract") < 95
    before, after = story.split("With the contract")
    assert "written differently" in before
    assert "written differently" not in after
    assert "a typing error" in after


def test_a_real_alignment_finds_the_same(story: str) -> None:
    assert re.search(r"A real alignment finds the same [\d,]+ pairs of rows\.", story)


def test_the_clinic_would_be_told_what_to_put_into_the_job(story: str) -> None:
    for step in ("no_punctuation", "lower", "no_accents", '{date: ["%d.%m.%Y", "%Y-%m-%d"]}', "{phone: DE}"):
        assert f"put {step}" in story


def test_the_records_are_made_again_byte_for_byte(project: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(project, "records.py", "--into", str(tmp_path / name), "--people", "50")
    for file in ("clinic.csv", "lab.csv", "truth.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    with (tmp_path / "one" / "clinic.csv").open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert set(rows[0]) == {"number", "name", "birth", "phone"}
    assert 30 <= len(rows) <= 50
