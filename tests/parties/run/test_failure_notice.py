"""A party that fails at home before all have met: the others hear whose fault it is and why, and nobody waits in vain.

`first_wait` is so long here that a test which ends shows that nobody waited for it.
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import pytest

from parties.command.run import run_file
from parties.monitoring.events import FAILURE, NOTE, NOTIFYING, WAITING, Event, Step, failed_by
from parties.run.overlap import find_overlap
from vsplit.protocol import ConfigError, DataError, PeerAbsent, RefusedError, StoppedError, StorageError

pytestmark = pytest.mark.usefixtures("no_report")
LONG = 3600
SAFETY = 60
CONFIG = "its configuration is wrong, or a file, a package or a device that it needs is missing"
DATA = "its data cannot be used"
REFUSED = "its party file does not allow what the job asks"
STORAGE = "it cannot write a file of its own"
ERROR = "it failed with an unexpected error"


def narrow(world: Any, name: str) -> None:
    world.files[name]["accept"] |= {"tasks": ["regression"]}


def short(world: Any, name: str) -> None:
    world.files[name]["accept"] |= {"min_list": 1000}


def no_driver(world: Any, name: str) -> None:
    data = {"source": "mysql+nodriver://db/x", "query": "select 1"}
    world.files[name]["data"] |= data


def no_file(world: Any, name: str) -> None:
    world.files[name]["data"]["source"] = "nowhere.csv"


def no_column(world: Any, name: str) -> None:
    world.tables[name] = world.tables[name].rename(columns={"person": "somebody"})


def bad_column(world: Any, name: str) -> None:
    world.tables[name]["constant"] = 1


def not_utf8(world: Any, name: str) -> None:
    world.write()
    (world.folder / f"{name}.csv").write_bytes(b"person,\xff\n1,2\n")


def no_device(world: Any, name: str) -> None:
    world.files[name]["device"] = "cuda:99"


def no_folder(world: Any, name: str) -> None:
    (world.folder / "file").write_text("in the way")
    world.files[name]["output"] = f"file/{name}"


def bottom_fails(world: Any, name: str) -> None:
    (world.folder / "odd_bottom.py").write_text("def build(shape, width):\n    raise RuntimeError\n")
    world.files[name]["bottom"] = {"module": "odd_bottom:build"}


def no_log(world: Any, name: str) -> None:
    world.files[name]["log"] = {"file": f"none/{name}.log"}


KINDS: list[tuple[Callable[[Any, str], None], type[Exception], str]] = [
    (narrow, RefusedError, REFUSED),
    (short, RefusedError, REFUSED),
    (no_driver, ConfigError, CONFIG),
    (no_file, ConfigError, CONFIG),
    (no_column, DataError, DATA),
    (bad_column, DataError, DATA),
    (not_utf8, DataError, DATA),
    (no_device, ConfigError, CONFIG),
    (no_folder, StorageError, STORAGE),
    (bottom_fails, ConfigError, CONFIG),
    (no_log, ConfigError, CONFIG),
]


def patient(world: Any) -> Any:
    """All would wait for an hour."""
    for file in world.files.values():
        file["first_wait"] = LONG
    return world


class Parties:
    """Lives that begin when a test says so, each in a thread; `at` waits until one shows a stage, or has ended."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self.events: dict[str, list[Event]] = {}
        self.ends: dict[str, Any] = {}
        self.errors: dict[str, BaseException] = {}

    def start(self, name: str, label: str = "", how: Callable[..., Any] | None = None) -> None:
        """Begin a party's life; where it has more than one, `label` tells them apart."""
        seen = self.events[label or name] = []

        def show(event: Event) -> None:
            with self._changed:
                seen.append(event)
                self._changed.notify_all()

        def one() -> None:
            try:
                if how is not None:
                    self.ends[label or name] = how(name, show)
                else:
                    outcomes = self._world.run_parties(name, show={name: show})
                    for found, own in ((outcomes.ends, self.ends), (outcomes.errors, self.errors)):
                        own.update({label or name: found[name]} if name in found else {})
            except Exception as error:
                self.errors[label or name] = error
            with self._changed:
                self._changed.notify_all()

        self._threads.append(threading.Thread(target=one, daemon=True))
        self._threads[-1].start()

    def at(self, label: str, stage: str, text: str = "") -> Parties:
        def there() -> bool:
            if label in self.errors or label in self.ends:
                return True
            return any(isinstance(one, Step) and one.stage == stage and text in one.text for one in self.events[label])

        with self._changed:
            assert self._changed.wait_for(there, SAFETY), self.events[label]
        return self

    def end(self) -> Parties:
        for thread in self._threads:
            thread.join(SAFETY)
            assert not thread.is_alive(), f"somebody waits: {self.events}"
        return self

    def steps(self, label: str) -> list[str]:
        return list(dict.fromkeys(event.stage for event in self.events[label] if isinstance(event, Step)))


def is_told(error: BaseException, name: str, why: str, by: str = "") -> None:
    """One sentence says who it was and why, and what to do; and nothing of the other's data or files."""
    assert type(error) is StoppedError and error.exit_code == 5
    says = f", as {by} reports" if by else ""
    assert re.match(rf"{name} stopped before the run began: {why}[^.]*{says}\. .*[Aa]sk there", str(error)), str(error)
    assert "/" not in str(error) and "csv" not in str(error)


@pytest.mark.parametrize("role", ["clinic", "lab"])
@pytest.mark.parametrize(("fails", "kind", "why"), KINDS, ids=lambda one: getattr(one, "__name__", ""))
def test_two_parties_of_which_one_fails(world, monkeypatch, fails, kind, why: str, role: str) -> None:
    monkeypatch.syspath_prepend(world.folder)
    fails(patient(world), role)
    outcomes = world.write(without=[role] if fails is not_utf8 else []).run_parties()
    assert type(outcomes.errors[role]) is kind, outcomes.errors[role]
    # The own error shows at once, before anybody is told.
    shown = [event for event in outcomes.events[role] if event.stage == FAILURE]
    assert [event.text for event in shown] == [str(outcomes.errors[role])]
    assert outcomes.stages(role)[-2:] == [FAILURE, NOTIFYING]
    (other,) = set(world.names) - {role}
    is_told(outcomes.errors[other], role, why)


@pytest.mark.parametrize("first", ["clinic", "lab"])
@pytest.mark.parametrize("role", ["clinic", "lab"])
def test_two_parties_in_whatever_order(world, first: str, role: str) -> None:
    no_column(patient(world), role)
    parties = Parties(world.write())
    (second,) = set(world.names) - {first}
    parties.start(first)
    parties.at(first, NOTIFYING if first == role else WAITING)
    parties.start(second)
    parties.end()
    assert isinstance(parties.errors[role], DataError)
    is_told(parties.errors["lab" if role == "clinic" else "clinic"], role, DATA)


@pytest.mark.parametrize("order", ["clinic lab gym", "lab gym clinic", "gym clinic lab", "lab clinic gym"])
@pytest.mark.parametrize("role", ["clinic", "lab"])
def test_three_parties_in_whatever_order(three, order: str, role: str) -> None:
    """Those who are there are told, and those who come later; of a feature party, by the label party."""
    no_column(patient(three), role)
    parties = Parties(three.write())
    for name in order.split():
        parties.start(name)
        parties.at(name, NOTIFYING if name == role else WAITING)
        if name == role == "lab" and "clinic" in parties.events:  # the failure is between: one has come and one has not
            parties.at("clinic", NOTIFYING)
    parties.end()
    assert isinstance(parties.errors[role], DataError)
    for name in {*three.names} - {role}:
        by = "clinic" if role == "lab" and name == "gym" else ""
        is_told(parties.errors[name], role, DATA, by)


def test_all_fail_and_each_has_its_own_error(three) -> None:
    for name, fails in zip(three.names, (no_column, narrow, no_device), strict=True):
        fails(patient(three), name)
    outcomes = three.write().run_parties()
    assert [type(outcomes.errors[name]) for name in three.names] == [DataError, RefusedError, ConfigError]


def test_an_error_that_was_not_foreseen_is_told_as_such(world, monkeypatch) -> None:
    def broken(_home: Any, model: Any, _joint: Any) -> None:
        if model.file.stem == "lab":
            raise ZeroDivisionError

    monkeypatch.setattr("parties.run.loading.check_model", broken)
    outcomes = patient(world).write().run_parties()
    assert isinstance(outcomes.errors["lab"], ZeroDivisionError)
    assert failed_by(outcomes.errors["lab"]).exit_code == 1
    is_told(outcomes.errors["clinic"], "lab", ERROR)


@pytest.mark.parametrize("role", ["clinic", "lab"])
def test_a_package_for_images_is_missing(world, monkeypatch, role: str) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    patient(world).tables[role]["scan"] = "none.png"
    world.files[role]["data"]["image"] = {"column": "scan", "size": [4, 4]}
    world.files[role]["bottom"] = {"module": "some_bottom:build"}
    outcomes = world.write().run_parties()
    assert isinstance(outcomes.errors[role], ConfigError) and "illow" in str(outcomes.errors[role])
    is_told(outcomes.errors["lab" if role == "clinic" else "clinic"], role, CONFIG)


@pytest.mark.parametrize("role", ["clinic", "lab"])
def test_a_disk_that_is_full(world, monkeypatch, role: str) -> None:
    from parties.run import run_files

    own_ledger = run_files.own_ledger

    def full(kept: Any, folder: Any, about: Any) -> Any:
        if folder.path.name == role:
            raise StorageError("no space left")
        return own_ledger(kept, folder, about)

    monkeypatch.setattr(run_files, "own_ledger", full)
    outcomes = patient(world).write().run_parties()
    assert isinstance(outcomes.errors[role], StorageError)
    is_told(outcomes.errors["lab" if role == "clinic" else "clinic"], role, STORAGE)


@pytest.mark.parametrize("role", ["clinic", "lab"])
def test_one_run_too_many_is_told_although_all_have_met(world, role: str) -> None:
    patient(world).files[role]["accept"]["max_runs"] = 1
    world.job["train"]["epochs"] = 1
    world.write().run_parties().well()
    outcomes = world.run_parties()
    assert isinstance(outcomes.errors[role], RefusedError)
    told = outcomes.errors["lab" if role == "clinic" else "clinic"]
    assert type(told) is StoppedError
    assert f"{role} stopped the session: it refuses what the job asks of it, the length of a list, or one more" in str(
        told
    )


@pytest.mark.parametrize("role", ["clinic", "lab"])
def test_an_overlap(world, role: str) -> None:
    short(patient(world), role)
    parties = Parties(world.write())
    for name in world.names:
        parties.start(name, how=lambda name, show: find_overlap(world.party(name), world.keys[name], show))
    parties.end()
    assert isinstance(parties.errors[role], RefusedError)
    is_told(parties.errors["lab" if role == "clinic" else "clinic"], role, REFUSED)


# --- before there is a life -------------------------------------------------------------------------------------------


def wrong_key(world: Any, name: str) -> None:
    world.files[name]["botom"] = {"hidden": [8]}


def wrong_job(world: Any, _name: str) -> None:
    """The other has a file that is right."""
    world.write()
    shutil.copy(world.folder / "job.yaml", world.folder / "right.yaml")
    for file in world.files.values():
        file["job"] = "right.yaml"
    world.job["model"]["embedding"] = 0


@pytest.mark.parametrize("role", ["clinic", "lab"])
@pytest.mark.parametrize(
    ("command", "fails"),
    [("run", wrong_key), ("run", wrong_job), ("overlap", wrong_key)],  # an overlap looks at less
)
def test_files_that_are_wrong_in_another_key(world, fails, role: str, command: str) -> None:
    from parties.command.overlap import run_overlap

    fails(patient(world), role)
    if fails is wrong_job:
        world.files[role]["job"] = "job.yaml"
    world.write()
    parties = Parties(world)
    for name in world.names:
        how = run_overlap if command == "overlap" else lambda file, show: run_file(file, show, restart=False)
        parties.start(name, how=lambda name, show, how=how: how(world.folder / f"{name}.yaml", show))
    parties.end()
    assert isinstance(parties.errors[role], ConfigError) and not isinstance(parties.errors[role], StoppedError)
    is_told(parties.errors["lab" if role == "clinic" else "clinic"], role, CONFIG)


def bad_first_wait(world: Any, name: str) -> None:
    world.files[name]["first_wait"] = -1


def key_of_the_other_role(world: Any, name: str) -> None:
    world.files[name] |= {"proxy": "http://lab:secret@127.0.0.1:9"} if name == "clinic" else {"listen": "nowhere"}


def misspelt_name(world: Any, name: str) -> None:
    world.files[name]["party"] += "x"


def bad_third_party(world: Any, name: str) -> None:
    """In the file of one party alone, as above."""
    wrong_job(world, name)
    world.job["model"]["embedding"] = 4
    world.job["parties"]["gym"] = {"role": "feature", "identity": "vsplit1short"}
    world.files[name]["job"] = "job.yaml"


@pytest.mark.parametrize("role", ["clinic", "lab"])
@pytest.mark.parametrize("fails", [bad_first_wait, key_of_the_other_role, misspelt_name, bad_third_party])
def test_files_that_are_wrong_in_a_key_by_which_the_others_are_reached(world, fails, role: str) -> None:
    """As long as it can be known who they are and where."""
    fails(patient(world), role)
    world.write()
    parties = Parties(world)
    for name in world.names:
        parties.start(name, how=lambda name, show: run_file(world.folder / f"{name}.yaml", show, restart=False))
    parties.end()
    assert isinstance(parties.errors[role], ConfigError) and not isinstance(parties.errors[role], StoppedError)
    assert "secret" not in str(parties.errors[role])
    is_told(parties.errors["lab" if role == "clinic" else "clinic"], role, CONFIG)


def test_who_has_the_name_of_one_party_and_the_key_of_another_speaks_for_neither(world) -> None:
    patient(world).files["lab"]["party"] = "clinic"
    parties = Parties(world.write())
    parties.start("lab", how=lambda name, show: run_file(world.folder / f"{name}.yaml", show, restart=False))
    parties.end()
    assert isinstance(parties.errors["lab"], ConfigError)
    assert parties.steps("lab") == []


def test_a_package_that_the_program_needs_is_missing(world, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "parties.run.party_run", None)
    parties = Parties(patient(world).write())
    parties.start("clinic")
    parties.start("lab", how=lambda name, show: run_file(world.folder / f"{name}.yaml", show, restart=False))
    parties.end()
    assert isinstance(parties.errors["lab"], ImportError)
    is_told(parties.errors["clinic"], "lab", ERROR)


@pytest.mark.parametrize("role", ["clinic", "lab"])
def test_a_party_that_cannot_show_its_key_ends_as_it_did(world, role: str) -> None:
    patient(world).write()
    (world.folder / f"keys/{role}.key").chmod(0o644)
    parties = Parties(world)
    parties.start(role, how=lambda name, show: run_file(world.folder / f"{name}.yaml", show, restart=False))
    parties.end()
    assert "chmod 600" in str(parties.errors[role])
    assert parties.steps(role) == []


# --- how long it is told ----------------------------------------------------------------------------------------------


def test_the_telling_ends_with_the_first_wait(world) -> None:
    for name in world.names:
        no_column(world, name)
        world.files[name]["first_wait"] = 1
    world.write()
    for name, other in (("clinic", "lab"), ("lab", "clinic")):
        outcomes = world.run_parties(name)
        assert isinstance(outcomes.errors[name], DataError)
        telling = [event.text for event in outcomes.events[name] if event.stage == NOTIFYING]
        assert re.fullmatch(rf"{other}, until [\d: -]+, 1 s left; Ctrl-C ends it at once", telling[0])


def test_who_comes_too_late_for_the_one_and_early_for_the_next_waits_on(three) -> None:
    """The lab failed, and is right now. The clinic, which was told of it, still tells the gym: it has to be started again."""
    no_column(patient(three), "lab")
    parties = Parties(three.write())
    parties.start("clinic")
    parties.at("clinic", WAITING)
    parties.start("lab")
    parties.at("clinic", NOTIFYING, "gym")
    three.tables["lab"] = three.tables["lab"].rename(columns={"somebody": "person"})
    three.write()
    parties.start("lab", "lab again")
    parties.at("lab again", WAITING)
    parties.start("gym")
    parties._threads[0].join(SAFETY)
    is_told(parties.errors["clinic"], "lab", DATA)
    parties._threads[3].join(SAFETY)
    is_told(parties.errors["gym"], "lab", DATA, "clinic")
    for name in ("clinic", "gym"):
        parties.start(name, f"{name} again")
    parties.end()
    assert {"lab again", "clinic again", "gym again"} <= parties.ends.keys()


@pytest.mark.parametrize("role", ["clinic", "lab"])
def test_a_second_start_takes_the_place_of_one_that_tells(world, monkeypatch, tmp_path, role: str) -> None:
    """It finds the port free, and nobody is told any more that the run cannot be."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    no_column(patient(world), role)
    parties = Parties(world.write())
    parties.start(role)
    parties.at(role, NOTIFYING)
    world.tables[role] = world.tables[role].rename(columns={"somebody": "person"})
    world.write()
    parties.start(role, f"{role} again")
    parties.at(role, NOTE, "The command was given again")
    parties.start(other := "lab" if role == "clinic" else "clinic")
    parties.end()
    assert isinstance(parties.errors[role], DataError)
    assert {f"{role} again", other} == parties.ends.keys()
    assert not list((tmp_path / "temporary").glob("vsplit-*"))  # torch may make a folder of its own there


def test_a_second_start_beside_a_run_tells_nobody_of_its_failure(world) -> None:
    """Its folder is in use, or its files were changed meanwhile: the run that goes on is none of its business."""
    parties = Parties(patient(world).write())
    parties.start("lab")
    parties.at("lab", WAITING)
    parties.start("lab", "second")
    narrow(world, "lab")
    parties._threads[1].join(SAFETY)
    assert "Another run is using" in str(parties.errors["second"])
    world.write()
    parties.start("lab", "third")
    parties._threads[2].join(SAFETY)
    assert isinstance(parties.errors["third"], RefusedError)
    assert NOTIFYING not in parties.steps("second") + parties.steps("third")
    parties.start("clinic")
    parties.end()
    assert {"lab", "clinic"} == parties.ends.keys()


def test_a_port_that_another_program_holds_is_said_and_the_own_error_stays(world) -> None:
    no_column(patient(world), "clinic")
    port = int(world.job["address"].partition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        outcomes = world.write().run_parties("clinic")
    assert isinstance(outcomes.errors["clinic"], DataError)
    notes = [event.text for event in outcomes.events["clinic"] if event.stage == NOTE]
    assert re.fullmatch(f"The other parties could not be notified. Port {port} of this machine is in use .*", notes[0])


def test_the_others_are_not_told_once_the_wait_for_them_is_over(three) -> None:
    for file in three.files.values():
        file["first_wait"] = 2
    outcomes = three.write().run_parties("clinic", "lab")
    assert isinstance(outcomes.errors["clinic"], PeerAbsent)
    assert NOTIFYING not in outcomes.stages("clinic")
    assert "gym did not connect in time, or its link was lost, as clinic reports" in str(outcomes.errors["lab"])


# --- as a process -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "number"), [("clinic", signal.SIGINT), ("lab", signal.SIGTERM)])
def test_the_own_error_is_on_the_screen_at_once_and_ctrl_c_ends_the_rest(world, role: str, number) -> None:
    no_column(patient(world), role)
    world.write()
    program = textwrap.dedent("""
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from parties.command.cli import main
        sys.argv = ["vsplit", *sys.argv[1:]]
        main()
    """)
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program, "run", str(world.folder / f"{role}.yaml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        told = []
        for line in process.stdout:
            told.append(line)
            if NOTIFYING in line:
                process.send_signal(number)
                break
        output = "".join(told) + process.stdout.read()
    assert process.returncode == DataError.exit_code, output
    assert output.count("no column person") == 1, output  # said at once, and once
    assert "no column person" in "".join(told)
    assert "Interrupted: the other parties are no longer notified." in output
    assert "Traceback" not in output
