"""`vsplit demo` copies its example to where a newcomer can change it, once, and launches what stands there."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from parties.command import demo
from vsplit.protocol import ConfigError


@pytest.fixture
def launched(monkeypatch, tmp_path):
    found = []
    monkeypatch.setattr(demo, "launch", lambda folder, _console, **options: found.append((folder, options)) or 0)
    monkeypatch.chdir(tmp_path)
    return found


def test_the_example_is_copied_once(launched) -> None:
    for _ in range(2):
        assert demo.run_demo(Console(file=io.StringIO())) == 0
        job = Path("vsplit-demo/configs/thyroid/job.yaml")
        assert job.exists()
        assert Path("vsplit-demo/examples/thyroid/data/clinic.csv").exists()
        job.write_text("changed", encoding="utf-8")
    assert job.read_text(encoding="utf-8") == "changed"
    assert launched == [(Path("vsplit-demo/configs/thyroid"), {"debug": False, "port": 0})] * 2


def test_a_folder_that_cannot_be_written_is_named(launched) -> None:
    Path("vsplit-demo").write_text("a file in the way", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"cannot be copied to .*vsplit-demo .*vsplit demo"):
        demo.run_demo(Console(file=io.StringIO()))
    assert launched == []
