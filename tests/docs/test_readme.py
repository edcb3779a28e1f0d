"""README.md: its length, its job file, what `vsplit demo` prints, and its links as PyPI shows them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from email import message_from_string
from pathlib import Path

import pytest
import yaml

from parties.config.job import load_job
from parties.network.identity import PrivateIdentity
from tests.docs.blocks import blocks

MOST_WORDS = 900
MOST_FIGURES = 8


@pytest.fixture(scope="module")
def readme(project: Path) -> str:
    return (project / "README.md").read_text(encoding="utf-8")


def block(project: Path, language: str) -> str:
    """The only block in a language."""
    (one,) = [block.text for block in blocks(project / "README.md") if block.language == language]
    return one


def _numbers(text: str) -> list[str]:
    return re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", text)


def test_it_is_short(readme: str) -> None:
    assert len(readme.split()) <= MOST_WORDS


def test_it_has_few_figures(readme: str) -> None:
    section = readme.partition("\n## Figures\n")[2].partition("\n## ")[0]
    found = [figure for row in re.findall(r"^\|.*\| (\d.*) \|$", section, re.MULTILINE) for figure in _numbers(row)]
    assert 1 <= len(found) <= MOST_FIGURES


def test_each_figure_is_one_of_the_benchmarks(project: Path, readme: str) -> None:
    """With the same digits, perhaps rounded."""
    section = readme.partition("\n## Figures\n")[2].partition("\n## ")[0]
    page = (project / "docs/benchmarks.md").read_text(encoding="utf-8")
    for row in re.findall(r"^\|.*\| (\d.*) \|$", section, re.MULTILINE):
        for figure in _numbers(row):
            decimals = len(figure.partition(".")[2])
            assert figure in {f"{float(one.replace(',', '')):.{decimals}f}" for one in _numbers(page)}, row


def test_its_job_file_has_ten_lines_and_is_valid(project: Path, tmp_path: Path) -> None:
    text = block(project, "yaml")
    assert len(text.splitlines()) == 10
    for _ in yaml.safe_load(text)["parties"]:
        text = text.replace("vsplit1…", str(PrivateIdentity.generate().public), 1)
    file = tmp_path / "job.yaml"
    file.write_text(text, encoding="utf-8")
    job = load_job(file)
    assert [job.label_party, *job.feature_parties] == ["clinic", "lab"]


def test_the_demo_prints_what_it_says(project: Path, tmp_path: Path) -> None:
    """Line by line at the end. Numbers differ between runs; here also the number of epochs, so that the test is short."""
    for part in ("configs", "examples"):
        shutil.copytree(project / part / "thyroid", tmp_path / "vsplit-demo" / part / "thyroid")
    job = tmp_path / "vsplit-demo/configs/thyroid/job.yaml"
    job.write_text(job.read_text(encoding="utf-8").replace("epochs: 30", "epochs: 2"), encoding="utf-8")
    vsplit = str(Path(sys.executable).with_name("vsplit"))
    done = subprocess.run(
        [vsplit, "demo"], cwd=tmp_path, env=os.environ | {"COLUMNS": "200"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    promised = [re.sub(r"0\\\.\d+", r"[01]\\.\\d+", re.escape(line)) for line in block(project, "text").splitlines()]
    printed = done.stdout.splitlines()[-len(promised) :]
    for pattern, line in zip(promised, printed, strict=True):
        assert re.fullmatch(pattern.replace("…", ".*"), line), (pattern, line)


def test_its_links_work_where_pypi_shows_it(
    project: Path, readme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every relative link is an absolute one there, to a file that exists; pictures are files, not pages."""
    backend = pytest.importorskip("hatchling.build", reason="what builds the project is not installed")
    monkeypatch.chdir(project)
    folder = tmp_path / backend.prepare_metadata_for_build_wheel(str(tmp_path))
    metadata = message_from_string((folder / "METADATA").read_text(encoding="utf-8"))
    assert metadata["Description-Content-Type"] == "text/markdown"
    shown = metadata.get_payload()
    assert isinstance(shown, str)
    source = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"]
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", shown)
    assert len(links) == len(re.findall(r"\]\(", readme))
    for mark, link in links:
        assert link.startswith("https://"), link
        if link.startswith(source):
            kind, _, path = link.removeprefix(f"{source}/").partition("/HEAD/")
            assert kind == ("raw" if mark else "blob")
            assert (project / path.partition("#")[0]).exists(), path
    assert sum(bool(mark) for mark, _ in links) == 2
