"""Disks that are full or read-only at every moment of a run: a plain sentence, and the same command goes on afterwards."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parties.checkpoints.folder_lock import UNFINISHED
from parties.ledger.compare import compare
from parties.ledger.verify import examine
from parties.monitoring.events import Event, Step
from vsplit.protocol import ConfigError, StoppedError, VsplitError

pytestmark = [
    pytest.mark.usefixtures("no_report", "one_builds_at_a_time"),
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="files are told apart by their names in /proc"),
]


class Disk:
    """Answers for the system wherever one file is written: with `number`, from the `nth` time on, until it is `mended`."""

    def __init__(self, patch: pytest.MonkeyPatch, file: Path, number: int, nth: int = 1) -> None:
        self.file, self.number, self.nth = file, number, nth
        self.asked = 0
        self._patch = patch
        for call in ("open", "write", "fsync", "replace", "rename", "link", "unlink"):
            patch.setattr(os, call, self._answer(getattr(os, call), call))

    @property
    def failed(self) -> bool:
        return self.asked >= self.nth

    def mended(self) -> None:
        self._patch.undo()

    def _answer(self, real: Callable[..., Any], call: str) -> Callable[..., Any]:
        def answer(first: Any, *others: Any, **options: Any) -> Any:
            if self._is_meant(call, first, others):
                self.asked += 1
                if self.failed:
                    raise OSError(self.number, os.strerror(self.number))
            return real(first, *others, **options)

        return answer

    def _is_meant(self, call: str, first: Any, others: tuple[Any, ...]) -> bool:
        if self.number == errno.EROFS:  # a file that is there can be read, and one that is open for writing cannot be
            meant = call != "open" or bool(others[0] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        else:
            meant = call in ("write", "fsync")
        if not meant:
            return False
        path = Path(f"/proc/self/fd/{first}").readlink() if isinstance(first, int) else Path(os.fspath(first))
        return path.parent == self.file.parent and path.name in (self.file.name, f".{self.file.name}.part")


def small(world: Any) -> Any:
    """Four batches an epoch, and a state kept after every second of them: eight steps."""
    world.job["train"] |= {"epochs": 2, "checkpoint": {"steps": 2, "seconds": None}}
    for file in world.files.values():
        file["first_wait"] = file["wait"] = 5
    return world.write()


def run_of(world: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((world.run(name) / "run.json").read_text())
    return found


def weights(world: Any) -> dict[str, bytes]:
    found = {f"{name}/{file.name}": file for name in world.names for file in world.run(name).glob("*.safetensors")}
    assert len(found) >= 2
    return {name: file.read_bytes() for name, file in found.items()}


def check_stories(world: Any) -> None:
    clinic, lab = (examine(world.run(name) / "ledger.jsonl") for name in ("clinic", "lab"))
    assert clinic.faults == lab.faults == []
    assert compare(clinic, lab).faults == []


def check_sentence(error: BaseException, number: int, place: Path) -> None:
    """One plain sentence, which names the place and the reason, and what to do."""
    assert isinstance(error, ConfigError) and error.exit_code == 2
    told = str(error)
    # Where a part of a ledger's line could still be written the system gives no reason.
    assert (
        (os.strerror(number) in told or "the disk may be full" in told)
        and str(place) in told
        and "free some space" in told
    )


FULL, READ_ONLY = errno.ENOSPC, errno.EROFS


@pytest.mark.parametrize(
    ("name", "file", "begins", "number"),
    [
        ("lab", "alignment-offered", None, READ_ONLY),
        ("lab", "step-2", 0, FULL),
        ("clinic", "step-6", 4, FULL),
        ("lab", "step-6", 4, READ_ONLY),
        ("lab", "final-offered", 8, FULL),
    ],
)
def test_a_state_that_cannot_be_kept_ends_the_life_and_the_one_before_is_there(
    world: Any, tmp_path: Path, name: str, file: str, begins: int | None, number: int
) -> None:
    small(world)
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, world.run(name) / UNFINISHED / file, number)
        outcomes = world.run_parties()
        assert disk.failed
    check_sentence(outcomes.errors[name], number, world.run(name))
    other = "clinic" if name == "lab" else "lab"
    assert isinstance(outcomes.errors[other], VsplitError) and not isinstance(outcomes.errors[other], ConfigError)
    assert not list((world.run(name) / UNFINISHED).glob(".*"))  # nothing half is left
    assert not (world.run(name) / "run.json").exists()
    if begins is not None:
        for each in world.names:
            (tmp_path / "peace" / each).mkdir(parents=True)
            shutil.copy(world.run(each) / UNFINISHED / "alignment", tmp_path / "peace" / each)
    world.run_parties().well()
    check_stories(world)
    assert [one["step"] for one in run_of(world, name)["resumed"]] == ([] if begins is None else [begins])
    if (name, file) == ("clinic", "step-6"):
        found = weights(world)
        for each in world.names:
            shutil.rmtree(world.run(each))
            shutil.copytree(tmp_path / "peace" / each, world.run(each) / UNFINISHED)
        world.run_parties().well()
        assert weights(world) == found


@pytest.mark.parametrize(("nth", "number"), [(10, READ_ONLY), (60, FULL)])
def test_a_ledger_that_cannot_be_written_ends_the_life_before_anything_leaves(
    world: Any, nth: int, number: int
) -> None:
    """At the greeting, or in the training; a file that is open is written, so that a disk is full for it in either case."""
    small(world)
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, world.run("lab") / UNFINISHED / "ledger", number, nth)
        outcomes = world.run_parties()
        assert disk.failed
    check_sentence(outcomes.errors["lab"], number, world.run("lab") / UNFINISHED / "ledger")
    assert isinstance(outcomes.errors["clinic"], StoppedError)
    world.run_parties().well()
    check_stories(world)
    assert len(run_of(world, "lab")["resumed"]) == (nth > 50)


@pytest.mark.parametrize(
    ("name", "file", "number"),
    [("clinic", "job.yaml", READ_ONLY), ("clinic", "metrics.json", FULL), ("lab", "run.json", FULL)],
)
def test_a_run_folder_that_cannot_be_written_at_the_end_costs_neither_the_older_run_nor_this_one(
    world: Any, name: str, file: str, number: int
) -> None:
    small(world).run_parties().well()
    older = {each: run_of(world, each)["run"] for each in world.names}
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, world.run(name) / file, number)
        outcomes = world.run_parties()
        assert disk.failed
    check_sentence(outcomes.errors[name], number, world.run(name))
    assert set(outcomes.errors) == {name}
    assert run_of(world, name)["run"] == older[name]
    assert not (world.folder / "runs" / f"{name}-1").exists()
    assert (world.run(name) / UNFINISHED / "final").exists()
    world.run_parties(name).well()  # nobody else is needed for that
    other = "clinic" if name == "lab" else "lab"
    assert run_of(world, name)["run"] == run_of(world, other)["run"] != older[name]
    assert json.loads((world.folder / "runs" / f"{name}-1" / "run.json").read_text())["run"] == older[name]
    assert not (world.run(name) / UNFINISHED).exists()
    check_stories(world)


def test_a_whole_run_is_one_although_what_was_kept_cannot_be_taken_away(world: Any) -> None:
    small(world)
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, world.run("lab") / UNFINISHED / "final", READ_ONLY)
        outcomes = world.run_parties().well()
    assert "could not be removed" in outcomes.ends["lab"].lines[-1]
    assert "has finished already" in world.run_parties("lab").well().ends["lab"].lines[0]
    assert not (world.run("lab") / UNFINISHED).exists()


@pytest.fixture
def real_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB, where this machine lets tests mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let tests mount a disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_really_runs_full_in_the_middle_of_a_training(world: Any, real_disk: Path) -> None:
    world.files["lab"]["output"] = str(real_disk / "lab")
    small(world)

    def fill(event: Event) -> None:
        if isinstance(event, Step) and event.stage == "training" and event.done == 1 and not filler.exists():
            with filler.open("wb") as stream:
                stream.write(bytes(1 << 20))
                try:
                    while True:
                        os.write(stream.fileno(), bytes(4096))
                except OSError:
                    pass

    filler = real_disk / "filler"
    outcomes = world.run_parties(show={"lab": fill})
    check_sentence(outcomes.errors["lab"], errno.ENOSPC, real_disk / "lab" / UNFINISHED)
    filler.unlink()
    outcomes = world.run_parties().well()
    assert "The run resumes from step 4." in outcomes.ends["lab"].lines
    assert json.loads((real_disk / "lab" / "run.json").read_text())["resumed"][0]["step"] == 4
