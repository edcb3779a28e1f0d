"""Only `paillier_sum` needs the package phe: everything else works where it is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SENTENCE = (
    "model.aggregate is paillier_sum, which needs the package phe, and phe is not installed here: install it with pip"
)


def vsplit(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, in processes in which `import phe` fails as where it is not installed."""
    (folder / "absent").mkdir(exist_ok=True)
    (folder / "absent" / "phe.py").write_text("raise ModuleNotFoundError('No module named phe', name='phe')\n")
    paths = os.pathsep.join((str(folder / "absent"), str(ROOT)))
    return subprocess.run(
        [sys.executable, "-m", "parties", *words],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "500"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def left_open(three):
    """Three parties whose keys and port a launch makes, and whose embeddings are added."""
    for member in three.job["parties"].values():
        member["identity"] = "auto"
    three.job["address"] = "127.0.0.1:0"
    three.job["train"]["epochs"] = 1
    for file in three.files.values():
        del file["identity"]
    return three


def test_alignment_and_masked_sums_run_without_phe(left_open) -> None:
    left_open.job["model"]["aggregate"] = "masked_sum"
    left_open.write()
    checked = vsplit(left_open.folder, "check", str(left_open.folder / "lab.yaml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    done = vsplit(left_open.folder, "launch", str(left_open.folder))
    assert done.returncode == 0, done.stdout + done.stderr
    run = json.loads((left_open.run("clinic") / "run.json").read_text())
    assert run["records"]["matched"] == len(left_open.common())
    assert "MaskedEmbedding" in {one["kind"] for one in run["traffic"]}


@pytest.mark.parametrize("name", ["clinic", "lab"])
def test_paillier_sum_without_phe_is_refused_before_anything_is_sent(left_open, name: str) -> None:
    left_open.job["model"] |= {"aggregate": "paillier_sum", "secure_sum": {"key_bits": 2048}}
    left_open.write()
    checked = vsplit(left_open.folder, "check", str(left_open.folder / f"{name}.yaml"))
    assert checked.returncode == 2
    assert SENTENCE in " ".join((checked.stdout + checked.stderr).split())
    assert "Traceback" not in checked.stderr


def test_a_run_of_paillier_sum_without_phe_ends_before_it_connects(left_open) -> None:
    left_open.job["model"] |= {"aggregate": "paillier_sum", "secure_sum": {"key_bits": 2048}}
    left_open.write()
    done = vsplit(left_open.folder, "launch", str(left_open.folder))
    assert done.returncode == 2
    assert SENTENCE in " ".join((done.stdout + done.stderr).split())
    assert not list((left_open.folder / "runs").rglob("ledger.jsonl"))
