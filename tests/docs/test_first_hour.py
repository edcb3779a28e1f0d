"""The first tutorial, followed exactly; and the page of the run folder, compared with the folders that it leaves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.docs.blocks import Reader

# Three launches with all their processes, also on a machine that does other things besides.
pytestmark = pytest.mark.timeout(900)


def followed(project: Path, folder: Path) -> Path:
    """The run folders that the tutorial ends with."""

    def any_port(folder: Path) -> None:
        """Other tests of this machine may use the port of the file."""
        job = folder / "job.yaml"
        if job.exists():
            job.write_text(job.read_text(encoding="utf-8").replace("127.0.0.1:9440", "127.0.0.1:0"), encoding="utf-8")

    reader = Reader(folder, any_port)
    reader.follow(project / "docs/tutorials/first-hour.md")
    return reader.folder / "runs"


def test_the_tutorial_ends_as_it_promises_and_its_run_folders_are_as_the_reference_says(
    project: Path, tmp_path: Path
) -> None:
    """One test, since following the page takes a minute of a processor."""
    runs = followed(project, tmp_path)
    check_results(runs)
    check_files(project, runs)
    for file in ("run.json", "model.json"):
        check_keys(project, runs, file)
    check_columns(project, runs)


def section(project: Path, heading: str) -> str:
    text = (project / "docs/reference/run-folder.md").read_text(encoding="utf-8")
    return text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]


def first_column(text: str) -> set[str]:
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def check_results(runs: Path) -> None:
    for party in ("bank", "shop"):
        assert (runs / party / "report.html").is_file()
        assert (runs / f"{party}-1/report.html").is_file()
    metrics = json.loads((runs / "bank/metrics.json").read_text(encoding="utf-8"))
    assert metrics["test"]["joint"]["auc"]["value"] > metrics["test"]["alone"]["auc"]["value"] + 0.1


def check_files(project: Path, runs: Path) -> None:
    rows = re.findall(r"^\| `([^`]+)` \| ([\w ]+) \|", section(project, "## Files"), re.MULTILINE)
    for party, role in (("bank", "label"), ("shop", "feature")):
        there = {path.name for path in (runs / party).iterdir() if path.name != ".unfinished"}
        assert there == {name for name, who in rows if who in ("every party", f"{role} party")}


def keys(value: Any, above: str = "") -> set[str]:
    """The dotted keys of JSON; of a list, those of its entries."""
    found: set[str] = set()
    for key, below in value.items() if isinstance(value, dict) else ():
        found |= {f"{above}{key}"} | keys(below, f"{above}{key}.")
    for one in value if isinstance(value, list) else ():
        found |= keys(one, above)
    return found


def check_keys(project: Path, runs: Path, file: str) -> None:
    """Keys below the ones that the page calls free (a column's name, a package) are not named."""
    table = first_column(section(project, f"## `{file}`"))
    found: set[str] = set()
    for party in ("bank", "shop"):
        content = json.loads((runs / party / file).read_text(encoding="utf-8"))
        if file == "run.json":
            content["versions"] = {}
            content["predictions"] = content["predictions"] and {}
        found |= keys(content)
    assert found - table == set()
    # This run has no column of categories, and the page also names a tensor of such columns.
    absent = {"bottom.preparation.categories.name", "bottom.preparation.categories.words", "vectors.weight"}
    assert table - found == (absent if file == "model.json" else set())


def check_columns(project: Path, runs: Path) -> None:
    named = first_column(section(project, "## `predictions.parquet`"))
    columns = set(pd.read_parquet(runs / "bank/predictions.parquet").columns)
    assert {"customer" if name == "the key columns" else name for name in named} >= columns
