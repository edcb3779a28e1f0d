"""The guide and the examples' pages: their YAML parses, and what they link to or name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.docs.blocks import blocks

PAGES = [
    "docs/tutorials/two-machines.md",
    "examples/thyroid/README.md",
    "examples/thyroid/source/README.md",
    "examples/credit/README.md",
    "examples/credit/source/README.md",
    "examples/credit3/README.md",
]


def anchor(heading: str) -> str:
    """The name that a heading can be linked by, as GitHub and GitLab make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(project: Path, page: str) -> None:
    text = (project / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("http"):
            continue
        name, _, place = target.partition("#")
        file = (project / page).parent / name if name else project / page
        assert file.exists(), target
        if place:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in {anchor(heading) for heading in headings}, target


@pytest.mark.parametrize("page", PAGES)
def test_every_config_that_a_command_names_exists(project: Path, page: str) -> None:
    text = (project / page).read_text(encoding="utf-8")
    for named in re.findall(r"vsplit (?:check|run|launch) (configs/\S+)", text):
        assert (project / named.rstrip("`")).exists(), named


def test_the_guides_job_and_party_files_fit_each_other(project: Path) -> None:
    page = project / "docs/tutorials/two-machines.md"
    job, clinic, lab = (yaml.safe_load(block.text) for block in blocks(page) if block.language == "yaml")
    assert [entry["role"] for entry in job["parties"].values()] == ["label", "feature"]
    assert all(entry["identity"] != "auto" for entry in job["parties"].values())
    assert job["address"].rpartition(":")[2] == clinic["listen"].rpartition(":")[2]
    assert (clinic["party"], lab["party"]) == tuple(job["parties"])
    assert "label" in clinic["data"]
    assert "label" not in lab["data"]
    assert "listen" not in lab
    for party in (clinic, lab):
        assert job["task"] in party["accept"]["tasks"]
        assert job["model"]["aggregate"] in party["accept"]["aggregations"]
        assert job["model"]["embedding"] <= party["accept"]["max_embedding"]
        assert party["wait"] == 600
        assert "seed" not in party


@pytest.mark.parametrize("name", ["thyroid", "credit"])
def test_each_example_names_its_licence_and_citation(project: Path, name: str) -> None:
    doi = {"thyroid": "10.24432/C5D010", "credit": "10.24432/C55S3H"}[name]
    for page in (f"examples/{name}/README.md", f"examples/{name}/source/README.md"):
        text = " ".join((project / page).read_text(encoding="utf-8").split())
        assert f"https://doi.org/{doi}" in text
        assert "CC BY 4.0" in text
