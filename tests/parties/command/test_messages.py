"""Messages that ask for a command name it whole, ready to be pasted; and each cause stands on a line of its own."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from parties.command import check, check_overlap, cli, launch
from parties.command import run as run_command
from parties.command.run import run_file
from parties.command.screen import print_failure
from parties.local import command_line
from parties.local.command_line import current_command, quoted_command, relative_path, set_arguments
from parties.monitoring.events import READING, STARTING, Failed, Step
from psi import check_match
from vsplit.protocol import DataError

pytestmark = pytest.mark.usefixtures("signals_as_before")

ROOT = Path(__file__).resolve().parents[3]
IN_BACKTICKS = re.compile("`(vsplit [^`]*)`")


def vsplit(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, [str(one) for one in arguments])
    return result.exit_code, result.output


def commands_in(said: str) -> list[list[str]]:
    """The commands that a text names, each as its words."""
    return [shlex.split(found) for found in IN_BACKTICKS.findall(" ".join(said.split()))]


def test_a_command_is_spelt_as_a_shell_takes_it(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert quoted_command("run", tmp_path / "ours/a b.yaml", "--restart") == "`vsplit run 'ours/a b.yaml' --restart`"
    assert relative_path(Path("/elsewhere/lab.yaml")) == "/elsewhere/lab.yaml"


def test_the_command_again_is_that_of_the_launch_where_one_has_started_it(monkeypatch) -> None:
    set_arguments(["run", "lab.yaml", "--events", "--restart", "--debug"])
    assert current_command("--restart") == "`vsplit run lab.yaml --restart`"
    monkeypatch.setenv(command_line.LAUNCH_VARIABLE, "launch 'my folder'")
    assert current_command() == "`vsplit launch 'my folder'`"
    monkeypatch.delenv(command_line.LAUNCH_VARIABLE)
    set_arguments([])
    assert current_command() == "`vsplit run PARTY.yaml`"


@pytest.mark.parametrize("command", ["run", "check", "overlap"])
def test_an_unforeseen_error_asks_for_the_command_that_was_given(world, monkeypatch, command: str) -> None:
    def fail(*_arguments: object, **_more: object) -> Any:
        raise ZeroDivisionError

    file = world.hasty().write().folder / "lab.yaml"
    for module in (check, check_overlap, run_command):
        monkeypatch.setattr(module, "load_party", fail)
    code, said = vsplit(command, file)
    assert code == 1
    assert commands_in(said) == [["vsplit", command, str(file), "--debug"]]


@pytest.mark.parametrize("command", ["run", "check", "overlap", "launch"])
def test_an_interrupt_says_how_it_goes_on_where_anything_does(world, monkeypatch, command: str) -> None:
    def interrupt(*_arguments: object, **_more: object) -> Any:
        raise KeyboardInterrupt

    file = world.write().folder / ("lab.yaml" if command != "launch" else ".")
    for module in (check, check_overlap, run_command, launch):
        monkeypatch.setattr(module, "load_party", interrupt)
    code, said = vsplit(command, file)
    assert code == 130
    if command in ("check", "launch"):
        assert said == "Interrupted.\n"
    else:
        assert "Every connected party was notified." in said
        assert commands_in(said) == [["vsplit", command, str(file)]]


def test_check_names_the_commands_that_are_meant_for_this_file(world) -> None:
    world.job["parties"]["lab"]["identity"] = "auto"
    del world.files["lab"]["identity"]
    file = world.write().folder / "lab.yaml"
    code, said = vsplit("check", file)
    assert code == 0, said
    said = said.replace("\n", "")
    assert f"`vsplit launch {world.folder}`" in said
    assert f"`vsplit overlap {file}`" in said
    code, said = vsplit("run", file)
    assert code == 2
    assert ["vsplit", "launch", str(world.folder)] in commands_in(said)
    assert ["vsplit", "identity", "new", "lab"] in commands_in(said)


def test_a_key_that_is_not_there_names_its_command_and_folder(tmp_path) -> None:
    code, said = vsplit("identity", "show", tmp_path / "lab.key")
    assert code == 2
    assert commands_in(said) == [["vsplit", "identity", "new", "lab"]]
    assert f"given in the folder {tmp_path}." in said.replace("\n", "")


def test_no_message_names_half_a_command() -> None:
    """What stands in backticks after `vsplit` has its argument, or is what a person is told of in general."""
    general = {"vsplit run", "vsplit launch", "vsplit overlap", "vsplit check", "vsplit demo"}
    half = re.compile(r"`vsplit (?:run|launch|overlap|check|identity \w+|ledger \w+)`|with: vsplit")
    for file in (ROOT / "parties").rglob("*.py"):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            # Docstrings and helps speak of a command in general.
            if half.search(line) and '"""' not in line and "help=" not in line:
                assert any(f"`{one}`" in line for one in general), f"{file}:{number}: {line}"
                assert not re.search(r"(?:use|give|by|with) `vsplit \w+`", line), f"{file}:{number}: {line}"


def test_causes_are_printed_on_a_line_each() -> None:
    console = Console(file=io.StringIO(), width=200)
    print_failure(console, "lab", Failed("No record is common.\nOne cause.\nAnother, with a bell \x07.", 3))
    assert console.file.getvalue().splitlines() == [
        "lab: No record is common.", "  One cause.", "  Another, with a bell \\x07.",
    ]  # fmt: skip


def test_causes_stand_on_a_line_each() -> None:
    with pytest.raises(DataError) as caught:
        check_match(0, 1, "lab", ["One cause.", "Another."])
    assert str(caught.value).splitlines()[1:] == ["One cause.", "Another."]


def test_a_party_reads_no_data_before_torch_is_there(world, monkeypatch) -> None:
    """The stage is told when its work begins."""
    shown: list[str] = []
    monkeypatch.setattr("parties.run.party_run.run_party", lambda *_arguments, **_more: shown.append("loaded"))
    world.write()
    run_file(world.folder / "lab.yaml", lambda event: shown.append(getattr(event, "stage", "")), restart=False)
    assert shown[:2] == [STARTING, "loaded"]
    assert READING not in shown
    assert Step(STARTING).stage == "starting"


# --- systems without POSIX ----------------------------------------------------------------------------------------------

WITHOUT = """
import os, signal, sys
# What the libraries make of another system is not what this is about.
import concurrent.futures.process, cryptography, llvmlite.binding, logging.handlers, pandas, sklearn.linear_model, sqlalchemy
import subprocess, torch, typer.rich_utils, rich.live, pyarrow.csv, pyarrow.parquet, multiprocessing.connection
import matplotlib.pyplot
for name in ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGALRM", "pause", "alarm", "pthread_kill"):
    if hasattr(signal, name):
        delattr(signal, name)
for name in ("fork", "geteuid", "getuid", "getgid", "fchmod", "O_DIRECTORY", "O_NONBLOCK", "O_NOFOLLOW",
             "sched_getaffinity", "memfd_create", "killpg", "getpgid", "setsid"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty"):
    sys.modules[name] = None
sys.platform = "win32"
import parties.command.launch, parties.command.check, parties.command.ledger, parties.command.overlap, parties.run.party_run
from parties.__main__ import main
for line in sys.argv[1:]:
    sys.argv = ["vsplit", *line.split("|")]
    try:
        main()
    except SystemExit as end:
        print("ended with", end.code, flush=True)
"""


def test_commands_do_without_what_only_posix_has(world) -> None:
    file = world.write().folder / "lab.yaml"
    lines = [
        "--version",
        "identity|new|someone",
        "identity|show|someone.key",
        f"check|{file}",
        f"check|--overlap|{file}",
    ]
    done = subprocess.run(
        [sys.executable, "-P", "-c", WITHOUT, *lines],
        cwd=world.folder, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.stdout.count("ended with 0\n") == len(lines), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
