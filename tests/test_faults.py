"""In small, what benchmarks/faults.py does in full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the lives of this benchmark are forks"),
    pytest.mark.alone,  # three processes a life, of which some are killed at a random moment
]


def figures_of(part: str, runs: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "benchmarks/faults.py", "--only", part, "--runs", str(runs), "--json", "-"],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures: dict[str, float] = json.loads(done.stdout)
    assert figures["hangs"] == 0
    return figures


def test_parties_that_are_killed_end_as_if_uninterrupted() -> None:
    figures = figures_of("kills", 3)
    assert figures["kills"] == figures["kills_equal"] == 3
    assert figures["starts_per_run"] > 3  # somebody was killed before the end


def test_parties_whose_links_are_cut_again_and_again_end_as_if_uninterrupted() -> None:
    figures = figures_of("cuts", 1)
    assert figures["cuts"] == figures["cuts_equal"] == 1
    assert figures["events"] > 0
