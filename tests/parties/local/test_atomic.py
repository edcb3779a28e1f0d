"""Files that are whole or absent: what is forced to the disk, and in which order."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from parties.local.atomic import rename, write_new, write_whole
from parties.network.identity import PrivateIdentity
from parties.run import quotas
from vsplit.protocol import ConfigError


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was forced to the disk, or renamed, in this order."""
    seen: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note(descriptor: int) -> None:
        seen.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def renamed(self: Path, target: Any) -> Path:
        seen.append("renamed")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "replace", renamed)
    return seen


def _count(folder: Path) -> None:
    line = PrivateIdentity.generate().public.line
    content = quotas._Content(1, {line: [quotas.CountedRun(datetime(2026, 1, 1, tzinfo=UTC), "job", "run")]})
    quotas._write(folder / "file", content)


WHOLE: dict[str, Callable[[Path], None]] = {
    "any file": lambda folder: write_whole(folder / "file", [b"one", b"two"]),
    "the counts of runs": _count,
}


@pytest.mark.parametrize("what", WHOLE)
def test_a_file_is_on_the_disk_before_its_name_and_its_name_before_anything_goes_on(
    tmp_path: Path, done: list[str], what: str
) -> None:
    for _ in range(2):  # anew, and in place of the one before
        done.clear()
        WHOLE[what](tmp_path)
        assert done == ["file", "renamed", "folder"]
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_renamed_file_has_its_name_on_the_disk(tmp_path: Path, done: list[str]) -> None:
    (tmp_path / "one").write_bytes(b"x")
    rename(tmp_path / "one", "two")
    assert done == ["renamed", "folder"]


def test_a_new_key_and_its_name_are_on_the_disk(tmp_path: Path, done: list[str]) -> None:
    """Its line is in the job of others by the time of a power cut."""
    key = PrivateIdentity.generate()
    key.save(tmp_path / "lab.key")
    assert done == ["file", "folder"]
    assert PrivateIdentity.load(tmp_path / "lab.key").public == key.public


def test_a_new_file_takes_the_place_of_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("absent")
    for name in ("file", "link"):
        with pytest.raises(FileExistsError):
            write_new(tmp_path / name, [b"new"])
    assert (tmp_path / "file").read_bytes() == b"old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "link"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_ends_the_writing_of_a_new_file_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def full(_descriptor: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(type(error)):
        write_new(tmp_path / "file", [b"new"])
    with pytest.raises(ConfigError if isinstance(error, OSError) else type(error)):
        PrivateIdentity.generate().save(tmp_path / "lab.key")
    assert list(tmp_path.iterdir()) == []
