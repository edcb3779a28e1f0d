"""The house: who may import whom, and what stays light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_the_import_contracts_are_kept() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    "module", ["psi", "psi.curve", "vsplit.protocol", "parties.command.cli", "parties.network.worker_pool"]
)
def test_what_workers_and_the_command_import_first_does_not_load_torch_or_pandas(module: str) -> None:
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in ('torch', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_package_has_its_specification() -> None:
    for package in ("vsplit", "psi", "parties"):
        assert (ROOT / package / "SPEC.md").read_text(encoding="utf-8").count("## ") >= 6
