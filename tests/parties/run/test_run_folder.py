"""Run folders: whole files or none, and no older run is ever lost."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from parties.checkpoints.folder_lock import UNFINISHED
from parties.run.run_folder import FINISHED, RunFolder
from vsplit.protocol import ConfigError


def finished(path: Path, word: str) -> RunFolder:
    folder = RunFolder(path)
    folder.collect("job.yaml", word)
    with folder.filling():
        folder.write_json(FINISHED, {"word": word})
    return folder


def test_nothing_stands_in_a_run_folder_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "lab"
    folder = RunFolder(path)
    folder.collect("order.secret", bytes(32))
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
    folder.collect("job.yaml", "new")
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


@pytest.mark.parametrize("where", ["rename", "mkdir", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_fails_while_room_is_made_leaves_the_older_run_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, number: int
) -> None:
    """It fails once the older run has been renamed, or as it is to be, and works again for whoever puts it back."""
    path = tmp_path / "lab"
    finished(path, "old")
    (path / UNFINISHED).mkdir()
    (path / UNFINISHED / "final").write_text("kept")
    folder = RunFolder(path)
    before = getattr(os, where)
    failed = []

    def fail_once(*arguments: object, **options: object) -> object:
        if not failed:
            failed.append(where)
            raise OSError(number, os.strerror(number))
        return before(*arguments, **options)

    monkeypatch.setattr(os, where, fail_once)
    words = rf"run folder {path} cannot be written \({os.strerror(number)}\): free some space"
    with pytest.raises(ConfigError, match=words), folder.filling():
        pytest.fail("there is no room")
    assert failed
    assert [file.name for file in tmp_path.iterdir()] == ["lab"]
    assert {file.name for file in path.iterdir()} == {"job.yaml", FINISHED, UNFINISHED}
    assert (path / UNFINISHED / "final").read_text() == "kept"
    assert finished(path, "new").moved == tmp_path / "lab-1"


def test_an_interruption_while_room_is_made_brings_the_older_run_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lab"
    finished(path, "old")
    folder = RunFolder(path)

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "mkdir", interrupt)
    with pytest.raises(KeyboardInterrupt), folder.filling():
        pytest.fail("there is no room")
    assert [file.name for file in tmp_path.iterdir()] == ["lab"]
    assert (path / "job.yaml").read_text() == "old"


def test_a_ledger_that_has_to_be_copied_is_whole_and_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system where no file has two names."""
    source, path = tmp_path / "ledger", tmp_path / "lab"
    source.write_bytes(os.urandom(3 << 20))
    synced: set[int] = set()
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "link", refuse)
    folder = RunFolder(path)
    with folder.filling():
        own = folder.link(source, "ledger.jsonl")
    assert own.read_bytes() == source.read_bytes()
    assert own.stat().st_ino in synced and path.stat().st_ino in synced
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    assert folder.has(source, "ledger.jsonl") and not folder.has(source, "metrics.json")
    with source.open("ab") as stream:
        stream.write(b"another line")
    assert not folder.has(source, "ledger.jsonl")


def test_a_ledger_for_which_there_is_no_room_is_named_and_none_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, path = tmp_path / "ledger", tmp_path / "lab"
    source.write_bytes(b"a line\n")

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(os, "fdopen", full)
    folder = RunFolder(path)
    with pytest.raises(ConfigError, match=r"lab/ledger\.jsonl cannot be written \(No space left"), folder.filling():
        folder.link(source, "ledger.jsonl")
    assert not path.exists()


@pytest.mark.parametrize(("run", "found"), [("ab" * 16, True), ("AB" * 16, False), ("../x", False), (7, False)])
def test_a_finished_run_is_known_by_its_name_and_by_nothing_else(tmp_path: Path, run: object, found: bool) -> None:
    path = tmp_path / "lab"
    folder = RunFolder(path)
    with folder.filling():
        folder.write_json(FINISHED, {"run": run})
    assert folder.finished_run() == (run if found else "")
