"""The files of an unfinished run: whole or absent, of this run or refused by name, and the last good ones always there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.checkpoints.checksummed_file import DamagedError, Head, read_checksummed, write_checksummed
from parties.checkpoints.folder import CheckpointFolder
from parties.checkpoints.folder_lock import UNFINISHED
from parties.checkpoints.local_state import LocalState
from parties.checkpoints.origin import Origin
from parties.checkpoints.schedule import CheckpointSchedule
from parties.local import atomic
from vsplit.protocol import ConfigError

RUN = bytes(range(16))
ORIGIN = Origin(
    version="1.0",
    party="lab",
    job={"train.lr": "aa", "task": "bb"},
    local={"the column tsh": "cc", "the labels": "dd"},
    environment={"threads": "1", "torch": "2"},
)


class Said(list[str]):
    """What people were told."""


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def kept(tmp_path: Path, said: Said) -> Iterator[CheckpointFolder]:
    with CheckpointFolder(tmp_path / "lab", ORIGIN, said.append) as opened:
        yield opened


def begun(kept: CheckpointFolder, *steps: int) -> CheckpointFolder:
    """A run whose alignment all had, and that has kept these steps."""
    kept.offer_alignment(RUN, {"matched": 3}, b"rows")
    kept.confirm_alignment()
    for step in steps:
        kept.store_step(RUN, step, {"epoch": step}, b"state %d" % step)
    return kept


def again(kept: CheckpointFolder, said: Said | None = None, **changes: Any) -> CheckpointFolder:
    """The same folder, as another process would open it that comes from somewhere else."""
    say = (lambda _sentence: None) if said is None else said.append
    return CheckpointFolder(kept.folder.parent, msgspec.structs.replace(ORIGIN, **changes), say)


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_a_run_is_held_with_its_last_two_steps(kept: CheckpointFolder) -> None:
    assert kept.read_state() == LocalState()
    kept.offer_alignment(RUN, {"matched": 3}, b"rows")
    assert kept.read_state() == LocalState(RUN, steps=(0,))
    kept.confirm_alignment()
    assert kept.read_state() == LocalState(RUN, True, (0,))
    assert bytes(kept.alignment().body) == b"rows"
    for step in (10, 20, 1000):
        kept.store_step(RUN, step, {"epoch": step}, b"state")
    assert kept.read_state() == LocalState(RUN, True, (20, 1000))
    kept.offer_final(RUN, 1001, None, b"outcome")
    assert kept.read_state() == LocalState(RUN, True, (20, 1000), final=True)
    kept.confirm_final()
    assert kept.read_state() == LocalState(RUN, True, (20, 1000), final=True, finished_by_all=True)
    assert bytes(kept.final().body) == b"outcome"
    assert kept.step(20).head.step == 20


def test_a_step_from_which_all_begin_again_is_the_last_one(kept: CheckpointFolder) -> None:
    begun(kept, 10, 20, 30).offer_final(RUN, 31, None, b"outcome")
    kept.restart_at(20)
    assert kept.read_state() == LocalState(RUN, True, (20,))  # the beginning is too far back for it


def test_a_party_can_begin_with_its_training_until_it_has_a_second_state(kept: CheckpointFolder) -> None:
    begun(kept, 10)
    assert kept.read_state() == LocalState(RUN, True, (0, 10))
    kept.restart_at(0)
    assert kept.read_state() == LocalState(RUN, True, (0,))
    kept.store_step(RUN, 7, None, b"another first state")
    assert kept.read_state() == LocalState(RUN, True, (0, 7))
    kept.store_step(RUN, 9, None, b"a second one")
    assert kept.read_state() == LocalState(RUN, True, (7, 9))


def test_a_program_that_ends_before_an_older_state_is_taken_away_offers_the_last_two(
    kept: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(kept, 10, 20)
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointFolder, "_remove", lambda *_names, **_options: None)
        kept.store_step(RUN, 30, None, b"state 30")
    assert kept.read_state().steps == (20, 30)
    (kept.folder / "step-30").write_bytes(b"")
    assert kept.read_state().steps == (10, 20)


def test_a_step_under_the_name_of_another_is_not_offered(kept: CheckpointFolder) -> None:
    begun(kept, 10, 20)
    (kept.folder / "step-20").rename(kept.folder / "step-30")
    assert kept.read_state().steps == (0, 10)


def test_files_are_for_this_user_alone(kept: CheckpointFolder) -> None:
    begun(kept, 10)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in kept.folder.iterdir()}
    assert modes == dict.fromkeys(("alignment", "step-10", "lock"), 0o600)
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (kept.folder, kept.folder.parent)} == {0o700}


def test_what_is_discarded_is_told(kept: CheckpointFolder) -> None:
    begun(kept, 10, 2000).offer_final(RUN, 2001, None, b"")
    assert kept.discard() == ["the alignment", "the state of step 10", "the state of step 2,000"]
    assert kept.read_state() == LocalState()
    assert {file.name for file in kept.folder.iterdir()} == {"lock"}


def test_what_is_of_another_run_than_the_one_that_is_over_stays(kept: CheckpointFolder) -> None:
    begun(kept, 10, 20)
    (kept.folder / "step-20").write_bytes(b"")  # of either
    before = {file.name: file.read_bytes() for file in kept.folder.iterdir()}
    other = bytes(16)
    kept.offer_final(other, 9, None, b"outcome")
    assert kept.has_other_than(RUN.hex()) and kept.has_other_than(other.hex())
    kept.discard_run(other)
    assert {file.name: file.read_bytes() for file in kept.folder.iterdir()} == before
    kept.discard_run(RUN)  # what cannot be read is of no use to any other run
    assert {file.name for file in kept.folder.iterdir()} == {"lock"}
    assert not kept.has_other_than(RUN.hex())


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_clearing_up_can_be_broken_off_and_is_still_only_clearing_up(kept: CheckpointFolder, left: int) -> None:
    begun(kept, 10, 20).offer_final(RUN, 21, None, b"outcome")
    kept.confirm_final()
    order = ["step-10", "step-20", "alignment", "final"]
    for name in order[: len(order) - 1 - left]:
        (kept.folder / name).unlink()
    found = kept.read_state(finished=RUN.hex())
    assert (found.run, found.final, found.finished_by_all) == (RUN, True, True)
    assert kept.read_state(finished=bytes(16).hex()).finished_by_all == (
        left > 0
    )  # of another run, it takes an alignment to go on
    kept.discard()
    assert kept.read_state(finished=RUN.hex()) == LocalState()


def test_a_folder_in_which_nothing_is_kept_goes(tmp_path: Path) -> None:
    with CheckpointFolder(tmp_path / "runs" / "lab", ORIGIN) as kept:
        assert kept.folder.exists()
    assert not (tmp_path / "runs").exists()
    with CheckpointFolder(tmp_path / "runs" / "lab", ORIGIN) as kept:
        begun(kept)
    assert (tmp_path / "runs" / "lab" / UNFINISHED / "alignment").exists()


def test_two_runs_never_use_one_folder(kept: CheckpointFolder) -> None:
    with pytest.raises(ConfigError, match=rf"Another run is using {kept.folder.parent}"), again(kept):
        pass


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "1.1"}, r"is of vsplit 1\.0, and this is 1\.1"),
        ({"party": "gym"}, "is lab's, and this is gym"),
        ({"job": {"train.lr": "ab", "task": "bb"}}, r"the key train\.lr of the job file is not the same"),
        ({"job": {"train.lr": "aa", "task": "bb", "train.new": "a"}}, r"the key train\.new of the job file"),
        ({"job": {"task": "bb"}}, r"the key train\.lr of the job file"),
        ({"local": {"the column tsh": "c0", "the labels": "dd"}}, "the column tsh is not the same"),
        ({"local": {"the column tsh": "cc", "the labels": "d0"}}, "the labels is not the same"),
    ],
)
def test_a_run_of_something_else_is_refused_by_name(
    kept: CheckpointFolder, changes: dict[str, Any], words: str
) -> None:
    begun(kept, 10)
    with pytest.raises(ConfigError, match=words) as caught:
        again(kept, **changes).read_state()
    assert str(kept.folder) in str(caught.value)
    if "party" not in changes:
        assert "--restart at every party" in str(caught.value)
    assert kept.read_state().steps == (0, 10)  # it is all still there


def test_an_alignment_that_was_never_agreed_on_is_no_loss(kept: CheckpointFolder) -> None:
    kept.offer_alignment(RUN, None, b"rows")
    assert again(kept, job={}).read_state() == LocalState()
    assert kept.read_state() == LocalState(RUN, steps=(0,))


def test_another_environment_is_named_and_no_reason_to_refuse(kept: CheckpointFolder) -> None:
    begun(kept, 10)
    other = again(kept, environment={"threads": "4", "torch": "2"})
    assert other.read_state() == LocalState(RUN, True, (0, 10))
    assert other.origin.changes_since(other.step(10).head.origin) == ["threads (1 before, 4 now)"]
    assert kept.origin.changes_since(kept.step(10).head.origin) == []


def test_a_file_of_another_run_or_under_another_name_does_not_count(kept: CheckpointFolder) -> None:
    begun(kept, 10)
    kept.store_step(bytes(16), 20, None, b"of another run")
    (kept.folder / "step-10").rename(kept.folder / "final")
    assert kept.read_state() == LocalState(RUN, True, (0,))


# --- what is damaged --------------------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_changed_bit_and_any_cut_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("kept") / "step-7"
    write_checksummed(path, Head("step", RUN.hex(), 7, ORIGIN), bytes(200))
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    path.write_bytes(whole)
    with pytest.raises(DamagedError):
        read_checksummed(path)


def test_a_damaged_step_is_said_and_the_one_before_is_used(kept: CheckpointFolder, said: Said) -> None:
    file = begun(kept, 10, 20).folder / "step-20"
    data = bytearray(file.read_bytes())
    data[-40] ^= 4
    file.write_bytes(data)
    assert kept.read_state().steps == (0, 10)
    assert said == [f"{file} is damaged (its checksum is wrong) and is left out."]


def test_a_damaged_alignment_ends_the_run_and_nothing_is_taken_away(kept: CheckpointFolder) -> None:
    file = begun(kept, 10).folder / "alignment"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ConfigError, match=r"alignment of the unfinished run .* is damaged.*--restart at every party"):
        kept.read_state()
    assert {one.name for one in kept.folder.iterdir()} == {"alignment", "step-10", "lock"}


def test_an_offered_alignment_that_is_damaged_is_left_out(kept: CheckpointFolder, said: Said) -> None:
    kept.offer_alignment(RUN, None, b"rows")
    (kept.folder / "alignment-offered").write_bytes(b"")
    assert kept.read_state() == LocalState()
    assert len(said) == 1


# --- disks ------------------------------------------------------------------------------------------------------------


def full(*_arguments: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_is_a_clear_error_and_the_last_good_steps_are_there(
    kept: CheckpointFolder, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    begun(kept, 10, 20)
    with monkeypatch.context() as patch:
        patch.setattr(atomic.os if where == "fsync" else Path, where, full)
        with pytest.raises(ConfigError, match=r"cannot be written \(No space left on device\): free some space"):
            kept.store_step(RUN, 30, None, bytes(1000))
    assert kept.read_state() == LocalState(RUN, True, (10, 20))
    assert {file.name for file in kept.folder.iterdir()} == {"alignment", "step-10", "step-20", "lock"}
    assert bytes(kept.step(20).body) == b"state 20"


def test_a_really_full_disk(tmp_path: Path, tiny_disk: Callable[[Path], None]) -> None:
    tiny_disk(tmp_path)
    with CheckpointFolder(tmp_path / "lab", ORIGIN) as kept:
        begun(kept, 10, 20)
        with pytest.raises(ConfigError, match="No space left on device"):
            kept.store_step(RUN, 30, None, bytes(1 << 20))
        assert kept.read_state() == LocalState(RUN, True, (10, 20))
        assert not list(kept.folder.glob(".*"))
        (kept.folder.parent / "filler").unlink(missing_ok=True)
        kept.store_step(RUN, 30, None, b"smaller")
        assert kept.read_state().steps == (20, 30)


@pytest.fixture
def tiny_disk() -> Iterator[Callable[[Path], None]]:
    """Mounts a disk of 128 KiB, where this machine allows it."""
    import subprocess

    mounted: list[Path] = []

    def mount(path: Path) -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(path)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("this machine does not let tests mount a disk")
        mounted.append(path)

    yield mount
    for path in mounted:
        subprocess.run(["umount", str(path)], check=True)


def test_a_read_only_folder_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so the system's answer is made up."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with CheckpointFolder(tmp_path / "lab", ORIGIN) as kept:
        begun(kept, 10)
        with monkeypatch.context() as patch:
            patch.setattr(atomic.os, "open", refuse)
            with pytest.raises(ConfigError, match=rf"{kept.folder} cannot be written \(Read-only file system\)"):
                kept.store_step(RUN, 20, None, b"")
        assert kept.read_state().steps == (0, 10)


# --- when -------------------------------------------------------------------------------------------------------------


def test_states_are_kept_by_steps_and_by_time_whichever_is_first() -> None:
    now = [0.0]

    def due(steps: int | None, seconds: float | None, begin: int = 0) -> CheckpointSchedule:
        now[0] = 0.0
        return CheckpointSchedule(steps, seconds, begin=begin, clock=lambda: now[0])

    by_steps = due(3, None)
    assert [step for step in range(1, 10) if by_steps(step)] == [3, 6, 9]
    taken_up = due(3, None, begin=7)
    assert [step for step in range(8, 15) if taken_up(step)] == [10, 13]
    never = due(None, None)
    assert not any(never(step) for step in range(1, 5000))
    both, found = due(4, 10.0), []
    for step in range(1, 13):
        now[0] += 5.0 if step < 5 else 0.1
        if both(step):
            found.append(step)
    assert found == [2, 4, 8, 12]
