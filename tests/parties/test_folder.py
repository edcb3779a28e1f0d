"""Run folders: whole files or none, and no older run is ever lost."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from parties.folder import FINISHED, RunFolder
from vsplit.protocol import ConfigError


def finished(path: Path, word: str) -> RunFolder:
    folder = RunFolder(path)
    folder.hold("job.yaml", word)
    with folder.filling():
        folder.write_json(FINISHED, {"word": word})
    return folder


def test_nothing_stands_in_a_run_folder_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "lab"
    folder = RunFolder(path)
    folder.hold("order.secret", bytes(32))
    assert not path.parent.exists()
    with folder.filling():
        folder.write("metrics.json", "{}")
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {
        "order.secret": 0o600,
        "metrics.json": 0o600,
    }


def test_an_older_run_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "lab"
    assert [finished(path, word).moved for word in ("a", "b", "c")] == [None, tmp_path / "lab-1", tmp_path / "lab-2"]
    assert [(one / "job.yaml").read_text() for one in (tmp_path / "lab-1", tmp_path / "lab-2", path)] == ["a", "b", "c"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ConfigError])
def test_a_failure_takes_all_files_away_and_brings_the_older_run_back(tmp_path: Path, error) -> None:
    path = tmp_path / "lab"
    finished(path, "old")
    folder = RunFolder(path)
    folder.hold("job.yaml", "new")
    with pytest.raises(error), folder.filling():
        folder.write("metrics.json", "{}")
        raise error
    assert [file.name for file in tmp_path.iterdir()] == ["lab"]
    assert {file.name for file in path.iterdir()} == {"job.yaml", FINISHED}
    assert (path / "job.yaml").read_text() == "old"


def test_files_that_were_no_run_stay_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert finished(tmp_path, "new").moved is None
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(ConfigError, match=rf"run folder {tmp_path}/runs/lab cannot be written .*`output`"):
        RunFolder(tmp_path / "runs" / "lab")


def test_a_file_that_cannot_be_written_is_named_and_none_is_left(tmp_path: Path) -> None:
    path = tmp_path / "lab"
    folder = RunFolder(path)
    with pytest.raises(ConfigError, match=r"lab/metrics\.json cannot be written .*`output`"), folder.filling():
        folder.write("first.json", "{}")
        (path / "metrics.json").mkdir()
        (path / "metrics.json" / "in the way").touch()
        folder.write("metrics.json", "{}")
    assert [file.name for file in path.iterdir()] == ["metrics.json"]


def test_several_parties_may_begin_and_end_beside_each_other(tmp_path: Path) -> None:
    """Neither the proof of one nor its failure takes away the folder above, which the other needs."""
    clinic, lab = RunFolder(tmp_path / "runs" / "clinic"), RunFolder(tmp_path / "runs" / "lab")
    with pytest.raises(KeyboardInterrupt), clinic.filling():
        clinic.write("a.json", "{}")
        with lab.filling():
            lab.write(FINISHED, "{}")
        raise KeyboardInterrupt
    assert [file.name for file in (tmp_path / "runs").iterdir()] == ["lab"]
