"""In small, what benchmarks/faults.py does in full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the lives of this benchmark are forks")
def test_parties_that_are_killed_end_as_if_they_had_been_left_in_peace() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/faults.py", "--only", "kills", "--runs", "3", "--json", "-"],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["kills"] == figures["kills_equal"] == 3
    assert figures["hangs"] == 0
    assert figures["starts_per_run"] > 3  # somebody was killed before the end
