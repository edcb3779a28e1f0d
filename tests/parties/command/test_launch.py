"""`vsplit launch`: with real parties, and with stand-ins that end in every way a process can."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from parties.command import cli
from parties.command import processes as crew
from parties.command.launch import find_parties
from parties.command.screen import Screen
from parties.monitoring.events import Failed, Finished, Step
from parties.network.identity import PrivateIdentity
from vsplit.protocol import ConfigError

pytestmark = pytest.mark.usefixtures("signals_as_before")


def launch(folder: Path, *options: str):
    result = CliRunner().invoke(cli.app, ["launch", *options, str(folder)])
    return result, " ".join(result.output.split())


# --- real parties -----------------------------------------------------------------------------------------------------


def test_a_folder_with_keys_and_port_left_open_is_launched(world) -> None:
    for member in world.job["parties"].values():
        member["identity"] = "auto"
    world.job["address"] = "127.0.0.1:0"
    for file in world.files.values():
        del file["identity"]
    world.write()
    result, words = launch(world.folder)
    assert result.exit_code == 0, result.output
    for line in ("clinic: test AUC together: 0.", "clinic: test AUC clinic alone: 0.", "clinic: test AUC gain: "):
        assert line in words
    for name in world.names:
        assert f"{name}: 180 records in common." in words
        assert f"{name}: report {world.run(name)}/report.html" in words
        run = json.loads((world.run(name) / "run.json").read_text())
        assert run["records"]["matched"] == len(world.common())
        # The copy of the job is what was agreed; a launch's keys were for one run and are gone.
        assert "identity: auto" in (world.run(name) / "job.yaml").read_text()
    assert "CANARY" not in result.output
    assert "Traceback" not in result.output


def test_a_party_that_cannot_start_ends_the_launch_with_its_own_code(world, monkeypatch) -> None:
    """Its key file is open to others. The clinic would wait for long; but nobody waits for a party that has failed."""
    monkeypatch.setattr(crew, "PATIENCE", 0.2)
    world.files["clinic"]["first_wait"] = 600
    world.write()
    (world.folder / "keys/lab.key").chmod(0o644)
    result, words = launch(world.folder)
    assert result.exit_code == 2
    assert "lab: The key file" in words
    assert "chmod 600" in words
    assert "clinic: Ended, because lab had failed." in words
    assert "Traceback" not in words
    assert not (world.folder / "runs").exists()


BOMB = "\n".join(["party: &a [x, x, x, x, x, x, x, x, x]"] + [
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]" for before, name in zip("abcdefghijk", "bcdefghijkl", strict=True)
])  # fmt: skip


def test_a_short_file_of_a_partner_that_spells_out_a_huge_one_costs_nothing(world) -> None:
    """Its 500 bytes stand for some ten to the eleven words. The bound on memory is that of the whole process."""
    world.write()
    (world.folder / "job.yaml").write_text(BOMB + "\nk: *l\n? *l\n: 1\n")
    code = (
        "import resource, sys, pathlib; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "from parties.command import launch\n"
        "from vsplit.protocol import ConfigError\n"
        "try: launch.find_parties(pathlib.Path(sys.argv[1]))\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(world.folder)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "anchors (&) and aliases (*) are not allowed" in done.stdout


def test_files_of_other_programs_in_the_folder_are_passed_over(world) -> None:
    world.write()
    (world.folder / "list.yaml").write_text("- a\n- b\n")
    (world.folder / "nothing.yaml").write_text("")
    assert [party.name for party in find_parties(world.folder)] == ["clinic", "lab"]


@pytest.mark.parametrize("name", ["clinic", "lab"])
def test_a_party_that_fails_at_home_tells_the_others_of_a_launch_which_then_ends(three, name: str) -> None:
    """Nobody is ended from outside: each says by itself why it ends, and the launch does not stay for `first_wait`."""
    three.tables[name] = three.tables[name].rename(columns={"person": "somebody"})
    for file in three.files.values():
        file["first_wait"] = 3600
    result, words = launch(three.write().folder)
    assert result.exit_code == 3, words
    assert words.count(f"{name}: In {three.folder}/{name}.csv, there is no column person") == 1
    for other in {*three.names} - {name}:
        assert re.search(f"{other}: {name} stopped before the run began: its data cannot be used", words), words
    assert "another party had failed" not in words


# --- stand-ins --------------------------------------------------------------------------------------------------------


@pytest.fixture
def stand_ins(world, monkeypatch, tmp_path):
    """Each party's process is a line of shell instead of a life."""
    world.write()

    def set_up(**scripts: str) -> Path:
        program = tmp_path / "stand-in"
        cases = "\n".join(f"*/{name}.yaml) {script} ;;" for name, script in scripts.items())
        program.write_text(f'#!/bin/bash\nfor last; do :; done\ncase "$last" in\n{cases}\nesac\n')
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        return world.folder

    return set_up


def says(event: dict[str, object]) -> str:
    return "echo " + shlex.quote(json.dumps(event))


def fails(code: int, sentence: str = "Why.") -> str:
    return says({"type": "failed", "sentence": sentence, "exit_code": code}) + f"; exit {code}"


TRAINS = says({"type": "step", "stage": "training", "done": 1, "total": 2})
DONE = says({"type": "finished", "lines": ["all well"], "report": "/r.html"})


@pytest.mark.parametrize(
    ("clinic", "lab", "code"),
    [
        (3, 5, 3),
        (5, 3, 3),
        (6, 4, 4),
        (5, 2, 2),
        (1, 5, 1),
        (6, 5, 6),
        (130, 5, 130),
        (6, 130, 130),
        (5, 5, 5),
    ],
)
def test_the_code_is_that_of_the_party_at_fault(stand_ins, clinic: int, lab: int, code: int) -> None:
    folder = stand_ins(clinic=fails(clinic, "The clinic says."), lab=fails(lab, "The lab says."))
    result, words = launch(folder)
    assert result.exit_code == code
    assert "lab: The lab says." in words
    assert "clinic: The clinic says." in words


def test_restart_is_handed_on_to_every_party(stand_ins) -> None:
    afresh = f'[[ " $* " == *" --restart "* ]] && {DONE}'
    folder = stand_ins(clinic=afresh, lab=afresh)
    assert launch(folder)[0].exit_code != 0
    result, words = launch(folder, "--restart")
    assert result.exit_code == 0, words
    result, words = launch(folder, "--restart", "--overlap")
    assert result.exit_code == 2
    assert "An overlap keeps no state that --restart could discard" in words


def test_keys_that_a_launch_makes_stand_in_no_file(stand_ins, world, monkeypatch, tmp_path) -> None:
    """They reach each process by its standard input, each its own; only while it runs could a file be found."""
    for member in world.job["parties"].values():
        member["identity"] = "auto"
    for file in world.files.values():
        del file["identity"]
    world.write()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    note = f'cat > {tmp_path}/heard-$(basename "$last"); ls -A "$TMPDIR" >> {tmp_path}/files; {DONE}'
    folder = stand_ins(clinic=note, lab=note)
    assert launch(folder)[0].exit_code == 0
    assert (tmp_path / "files").read_text() == ""
    heard = {name: json.loads((tmp_path / f"heard-{name}.yaml").read_text()) for name in ("clinic", "lab")}
    for name, told in heard.items():
        key = PrivateIdentity.from_raw(base64.b64decode(told["key"]))
        assert key.public.line == told["identities"][name]
    assert heard["clinic"]["key"] != heard["lab"]["key"]


def test_a_command_that_no_launch_has_started_says_so(world, monkeypatch) -> None:
    world.write()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "parties", "run", "clinic.yaml"],
        cwd=world.folder, env=os.environ | {"VSPLIT_LAUNCH_COMMAND": "launch ."}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no `vsplit launch` has started this command" in " ".join((done.stdout + done.stderr).split())


def test_a_party_that_dies_without_a_word_is_heard(stand_ins) -> None:
    folder = stand_ins(
        clinic=f"{TRAINS}; {fails(5)}", lab="echo Traceback >&2; echo 'ImportError: no torch here' >&2; exit 7"
    )
    result, words = launch(folder)
    assert result.exit_code == 7
    assert "lab: The process of this party ended with exit code 7; its last output was: ImportError: no torch" in words
    assert "Traceback" not in words
    assert "Traceback" in launch(folder, "--debug")[1]


def test_a_party_that_is_killed_is_told_of(stand_ins) -> None:
    result, words = launch(stand_ins(clinic=f"{TRAINS}; {fails(6)}", lab="kill -9 $$"))
    assert result.exit_code == 1
    assert "lab: The process of this party was ended by the signal SIGKILL, without any output." in words


def test_noise_on_standard_output_does_no_harm(stand_ins) -> None:
    result, words = launch(stand_ins(clinic=f"echo hello; echo '{{'; {TRAINS}; {DONE}", lab=f"{DONE}; echo bye"))
    assert result.exit_code == 0
    assert "clinic: all well clinic: report /r.html" in words


def test_a_failure_does_not_end_a_party_that_has_met_the_others(stand_ins, monkeypatch) -> None:
    """It hears of the failure itself, or has all that it needs and judges its model."""
    monkeypatch.setattr(crew, "PATIENCE", 0.1)
    result, words = launch(stand_ins(clinic=f"{TRAINS}; sleep 1; {DONE}", lab=f"{TRAINS}; {fails(2)}"))
    assert result.exit_code == 2
    assert "clinic: all well" in words


def test_a_failed_party_that_tells_is_not_waited_for_and_keeps_its_own_end(stand_ins, monkeypatch) -> None:
    """The lab cannot be told, since it is gone; the clinic would go on for the whole wait."""
    monkeypatch.setattr(crew, "PATIENCE", 0.2)
    tells = says({"type": "step", "stage": "failure", "text": "Why."})
    tells += "; " + says({"type": "step", "stage": "notifying the other parties", "text": "lab"})
    folder = stand_ins(
        clinic=f"trap {shlex.quote(fails(3) + '; kill $!')} TERM; {tells}; sleep 60 & wait $!", lab=fails(2, "Its key.")
    )
    result, words = launch(folder)
    assert result.exit_code == 2
    assert "lab: Its key." in words
    assert words.count("clinic: Why.") == 1
    assert "another party had failed" not in words


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_reaches_every_party_once(stand_ins, number) -> None:
    told = says({"type": "failed", "sentence": "Interrupted here.", "exit_code": 130})
    waits = f"trap {shlex.quote(told + '; kill $!; exit 130')} TERM; {TRAINS}; sleep 60 & wait $!"
    folder = stand_ins(clinic=waits, lab=waits)
    result, words = interrupted(folder, [number])
    assert result.exit_code == 130
    assert words.count("Interrupted here.") == 2


def test_a_second_interrupt_ends_a_party_that_does_not_listen(stand_ins) -> None:
    folder = stand_ins(
        clinic=f"trap '' TERM; {TRAINS}; while :; do read -t 1 <> <(:); done", lab=f"{TRAINS}; {fails(5)}"
    )
    result, words = interrupted(folder, [signal.SIGINT, signal.SIGINT])
    assert result.exit_code == 130
    assert "clinic: Interrupted before it could report more." in words


def interrupted(folder: Path, numbers):
    """Launch, and send these signals to the launch once both of its parties have begun."""
    begun = threading.Event()
    seen = set()
    shown = Screen.show

    def show(screen, party, event):
        shown(screen, party, event)
        if isinstance(event, Step):
            seen.add(party)
            if len(seen) == 2:
                begun.set()

    def send() -> None:
        assert begun.wait(30)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.1)

    sender = threading.Thread(target=send)
    sender.start()
    # Under nohup a hang-up is ignored, by a launch as well; here it must not be, wherever the tests run.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Screen, "show", show)
            found = launch(folder)
    finally:
        signal.signal(signal.SIGHUP, before)
    sender.join()
    return found


# --- what a folder holds ----------------------------------------------------------------------------------------------


def test_a_folder_must_hold_one_job_and_all_its_parties(world) -> None:
    world.write()
    assert [party.name for party in find_parties(world.folder)] == ["clinic", "lab"]
    (world.folder / "more.yaml").write_text((world.folder / "lab.yaml").read_text())
    with pytest.raises(ConfigError, match="more than one party file for lab"):
        find_parties(world.folder)
    (world.folder / "more.yaml").unlink()
    (world.folder / "lab.yaml").rename(world.folder / "lab.txt")
    with pytest.raises(ConfigError, match=r"no party file for lab, which the job .*job\.yaml lists"):
        find_parties(world.folder)
    (world.folder / "clinic.yaml").unlink()
    with pytest.raises(ConfigError, match="has no party file"):
        find_parties(world.folder)
    with pytest.raises(ConfigError, match="is not a folder"):
        find_parties(world.folder / "none")


@pytest.mark.parametrize("output", ["runs/clinic", "runs/clinic/lab", "runs"])
def test_two_parties_with_one_run_folder(world, output: str) -> None:
    world.files["lab"]["output"] = output
    world.write()
    with pytest.raises(ConfigError, match=r"lab\.yaml and .*clinic\.yaml name the same run folder"):
        find_parties(world.folder)


def test_two_jobs_in_one_folder(world) -> None:
    world.write()
    (world.folder / "other.yaml").write_text((world.folder / "job.yaml").read_text())
    world.files["lab"]["job"] = "other.yaml"
    with pytest.raises(ConfigError, match="launch one job at a time"):
        find_parties(world.write().folder)


def test_the_code_of_no_failure_is_zero() -> None:
    ends = [Finished([], ""), Failed("a", 5), Failed("b", 3), None]
    found = [crew.Child(str(number), None, end=end, order=number) for number, end in enumerate(ends)]
    assert crew.exit_code(found[:1]) == 0
    assert crew.exit_code(found[:2]) == 5
    assert crew.exit_code(found) == 3


# --- who ended first ---------------------------------------------------------------------------------------------------

WAITS = "trap 'exit 143' TERM; sleep 60 & wait $!"


def test_who_waits_in_vain_is_told_for_whom(stand_ins, monkeypatch) -> None:
    monkeypatch.setattr(crew, "PATIENCE", 0.2)
    folder = stand_ins(clinic=WAITS, lab=fails(3))
    assert "clinic: Ended, because lab had failed." in launch(folder)[1]
    folder = stand_ins(clinic=WAITS, lab=fails(130, "Interrupted here."))
    result, words = launch(folder)
    assert result.exit_code == 130
    assert "clinic: Ended, because lab was interrupted." in words
    assert "failed" not in words


def test_after_an_interrupt_nobody_is_said_to_have_failed(stand_ins, monkeypatch) -> None:
    """Neither has met the other, and neither ends when it is asked to."""
    monkeypatch.setattr(crew, "PATIENCE", 0.3)
    reads = says({"type": "step", "stage": "reading data"})
    deaf = f"trap '' TERM; {reads}; while :; do read -t 1 <> <(:); done"
    result, words = interrupted(stand_ins(clinic=deaf, lab=deaf), [signal.SIGINT])
    assert result.exit_code == 130
    assert "failed" not in words
    assert words.count("Interrupted before it could report more.") == 2
