"""The ready configs are whole: they parse, what they point at exists, and every key has its comment."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Rows = list[dict[str, str]]
Reader = Callable[[Path], Rows]

PARTIES = {
    "thyroid": {"clinic": "label", "lab": "feature"},
    "credit": {"bank": "label", "payments_vendor": "feature"},
    "credit3": {"bank": "label", "billing_company": "feature", "payments_company": "feature"},
}
PARTY_FILES = [(folder, party) for folder, parties in PARTIES.items() for party in parties]
ALL_FILES = [*((folder, "job") for folder in PARTIES), *PARTY_FILES]


def load(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.fixture
def folder(project: Path) -> Path:
    return project / "configs"


def test_each_folder_has_the_job_and_one_file_per_party(folder: Path) -> None:
    for name, parties in PARTIES.items():
        assert {path.name for path in (folder / name).iterdir()} == {
            "job.yaml",
            *(f"{party}.yaml" for party in parties),
        }


@pytest.mark.parametrize("name", sorted(PARTIES))
def test_the_job_names_its_parties_and_splits_everything(folder: Path, name: str) -> None:
    job = load(folder / name / "job.yaml")
    assert job["job"] == name
    assert {party: entry["role"] for party, entry in job["parties"].items()} == PARTIES[name]
    assert all(entry["identity"] == "auto" for entry in job["parties"].values())
    assert job["split"]["train"] + job["split"]["validation"] + job["split"]["test"] == pytest.approx(1.0)


def test_the_jobs_can_run_at_the_same_time(folder: Path) -> None:
    addresses = [load(folder / name / "job.yaml")["address"] for name in PARTIES]
    assert len(set(addresses)) == len(addresses)


@pytest.mark.parametrize(("name", "party"), PARTY_FILES)
def test_every_path_and_column_of_a_party_file_exists(folder: Path, name: str, party: str, read_csv: Reader) -> None:
    path = folder / name / f"{party}.yaml"
    config = load(path)
    assert config["party"] == party
    job = load(path.parent / config["job"])
    data = config["data"]
    source = path.parent / data["source"]
    assert source.is_file()
    rows = read_csv(source)
    key = data.get("key", job["align"]["key"])
    assert len(key) == len(job["align"]["key"])
    assert {*key, *data.get("ignore", []), *data.get("categories", [])} <= set(rows[0])
    assert ("label" in data) == (job["parties"][party]["role"] == "label")
    if "label" in data:
        values = sorted({row[data["label"]] for row in rows})
        assert len(values) == 2
        assert str(data.get("positive", values[1])) in values


@pytest.mark.parametrize(("name", "party"), PARTY_FILES)
def test_a_party_accepts_its_own_job_and_writes_outside_the_committed_folders(
    folder: Path, project: Path, name: str, party: str
) -> None:
    path = folder / name / f"{party}.yaml"
    config, job = load(path), load(folder / name / "job.yaml")
    assert job["task"] in config["accept"]["tasks"]
    assert job["model"]["aggregate"] in config["accept"]["aggregations"]
    assert job["model"]["embedding"] <= config["accept"]["max_embedding"]
    assert (path.parent / config["output"]).resolve() == project / "runs" / name / party


@pytest.mark.parametrize(("name", "party"), PARTY_FILES)
def test_no_party_file_sets_its_initial_weights(folder: Path, name: str, party: str) -> None:
    """Whoever starts from one in earnest would give away nearly every record by it."""
    assert not re.search(r"^[ #]*seed:", (folder / name / f"{party}.yaml").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("name", "file"), ALL_FILES)
def test_every_key_has_a_short_comment(folder: Path, name: str, file: str) -> None:
    for line in (folder / name / f"{file}.yaml").read_text(encoding="utf-8").splitlines():
        if re.match(r"\s*(# )?\w+:", line):
            assert re.search(r"\S\s+# \S", line.lstrip(" #")), f"no comment: {line}"
        assert len(line) <= 120


@pytest.mark.parametrize(("name", "file"), ALL_FILES)
def test_a_commented_out_key_can_be_used_by_removing_its_mark(folder: Path, name: str, file: str) -> None:
    text = (folder / name / f"{file}.yaml").read_text(encoding="utf-8")
    for line in re.findall(r"^ *# \w+:.*$", text, re.MULTILINE):
        key, value = line.replace("# ", "", 1).strip().split(":", 1)
        changed = yaml.safe_load(text.replace(line, line.replace("# ", "", 1), 1))
        sections = [changed, *(part for part in changed.values() if isinstance(part, dict))]
        holders = sections + [part for one in sections[1:] for part in one.values() if isinstance(part, dict)]
        assert any(key in holder and holder[key] == yaml.safe_load(value) for holder in holders), line
