"""The command as people type it: sentences, exit codes, and no traceback that was not asked for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from parties.command import cli, execution
from parties.command.screen import Screen
from parties.monitoring.events import Failed, Finished, JsonLines, Step, read_event
from parties.network.identity import PrivateIdentity, PublicIdentity
from vsplit.protocol import (
    ConfigError,
    DataError,
    MismatchError,
    PeerAbsent,
    PeerLost,
    ProtocolError,
    RefusedError,
    StoppedError,
)

pytestmark = pytest.mark.usefixtures("signals_as_before")


def vsplit(*arguments: object):
    return CliRunner().invoke(cli.app, [str(one) for one in arguments])


# --- identity ---------------------------------------------------------------------------------------------------------


def test_a_new_identity_is_private_and_never_overwritten(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = vsplit("identity", "new", "lab")
    assert result.exit_code == 0
    # The line alone goes to standard output, so that it can be piped.
    line = result.stdout.strip()
    assert PublicIdentity.parse(line) == PrivateIdentity.load(tmp_path / "lab.key").public
    assert stat.S_IMODE((tmp_path / "lab.key").stat().st_mode) == 0o600
    before = (tmp_path / "lab.key").read_bytes()
    again = vsplit("identity", "new", "lab")
    assert again.exit_code == 2
    assert "exists already and is never overwritten" in " ".join(again.output.split())
    assert (tmp_path / "lab.key").read_bytes() == before
    assert vsplit("identity", "show", "lab.key").stdout.strip() == line


@pytest.mark.parametrize("name", ["../lab", "a b", "", "x" * 33])
def test_a_name_that_is_no_name_makes_no_key(tmp_path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert vsplit("identity", "new", name).exit_code == 2
    assert not list(tmp_path.iterdir())


# --- run --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda world: world.files["lab"].update(party="labb"), 2, "the key party is 'labb'"),
        (lambda world: world.files["lab"].update(colour="red"), 2, "colour"),
        (lambda world: world.files["lab"].update(identity="keys/none.key"), 2, "There is no key file"),
        (lambda world: world.files["lab"].update(identity="keys/clinic.key"), 2, "it belongs to clinic"),
        (lambda world: world.files["lab"]["data"].update(ignore=["tsh", "t3"]), 3, "no feature column"),
        (lambda world: world.files["lab"].update(accept={"max_embedding": 1}), 4, "accept.max_embedding"),
        (lambda world: world.job["parties"]["clinic"].update(identity="auto"), 2, "works only with `vsplit launch "),
    ],
)
def test_a_local_error_ends_a_run_with_a_sentence(world, change, code: int, words: str) -> None:
    change(world.hasty())
    world.write()
    result = vsplit("run", world.folder / "lab.yaml")
    assert result.exit_code == code, result.output
    assert words in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not (world.folder / "runs").exists()
    shown = vsplit("run", "--debug", world.folder / "lab.yaml")
    assert shown.exit_code == code
    assert "Traceback (most recent call last)" in shown.output


def test_a_file_that_is_not_there(tmp_path) -> None:
    result = vsplit("run", tmp_path / "none.yaml")
    assert result.exit_code == 2
    assert "none.yaml does not exist" in " ".join(result.output.split())


def test_a_password_in_a_url_is_in_no_output(world, monkeypatch) -> None:
    """Neither one that stands in the file against the rules, nor one from the environment; not even with --debug."""
    monkeypatch.setenv("DB_PASSWORD", "CANARY-two")
    for url, code in [
        ("postgresql+psycopg2://me:CANARY-one@127.0.0.1:1/all", 2),
        ("postgresql+psycopg2://me:${DB_PASSWORD}@127.0.0.1:1/all", 2),
        ("sqlite:///none.db?token=${DB_PASSWORD}", 2),
    ]:
        world.files["lab"]["data"] = {"source": url, "query": "SELECT 1"}
        world.hasty().write()
        for arguments in (["run"], ["run", "--debug"], ["check"]):
            result = vsplit(*arguments, world.folder / "lab.yaml")
            assert result.exit_code == code, result.output
            assert "CANARY" not in result.output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("a"), 2),
        (DataError("a"), 3),
        (RefusedError("a"), 4),
        (StoppedError("lab", "a"), 5),
        (ProtocolError("lab", "a"), 5),
        (MismatchError("lab", "a"), 5),
        (PeerAbsent("lab", "a"), 6),
        (PeerLost("lab", "a"), 6),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("CANARY"), 1),
    ],
)
def test_every_failure_has_its_documented_exit_code(monkeypatch, tmp_path, error, code: int) -> None:
    def fail(*_arguments: object, **_options: object) -> int:
        raise error

    monkeypatch.setattr("parties.command.run.run_file", fail)
    result = vsplit("run", tmp_path / "lab.yaml")
    assert result.exit_code == code
    assert result.output.strip()
    assert "Traceback" not in result.output
    assert "CANARY" not in result.output


def test_a_run_shows_its_progress_and_ends_with_its_report(monkeypatch, tmp_path) -> None:
    def run_file(_file, show, **_options: object) -> int:
        show(Step("training", 1, 2, "loss 0.5"))
        show(Step("training", 2, 2, "loss 0.25"))
        show(Finished(["test AUC together: 0.9 [0.8 to 1]"], "/runs/lab/report.html"))
        return 0

    monkeypatch.setattr("parties.command.run.run_file", run_file)
    result = vsplit("run", tmp_path / "lab.yaml")
    assert result.exit_code == 0
    assert "lab: training 1/2  loss 0.5" in result.output
    assert "lab: test AUC together: 0.9 [0.8 to 1]\nlab: report /runs/lab/report.html\n" in result.output


def test_the_screen_shows_the_party_and_not_its_file(monkeypatch, world) -> None:
    finished = lambda _file, show, **_options: show(Finished(["all well"])) or 0  # noqa: E731
    monkeypatch.setattr("parties.command.run.run_file", finished)
    (world.write().folder / "lab.yaml").rename(world.folder / "ours.yaml")
    result = vsplit("run", world.folder / "ours.yaml")
    assert result.exit_code == 0
    assert result.output == "lab: all well\n"


@pytest.mark.parametrize("command", ["run", "check", "overlap"])
def test_a_job_file_is_not_taken_for_a_party_file(world, command: str) -> None:
    result = vsplit(command, world.write().folder / "job.yaml")
    assert result.exit_code == 2
    assert "job.yaml is a job file, which all parties share; give your party file" in " ".join(result.output.split())


def test_the_version_and_a_wrong_command_line() -> None:
    assert vsplit("--version").output.startswith("vsplit ")
    assert vsplit("fly").exit_code == 2


# --- events and screens -----------------------------------------------------------------------------------------------


def test_events_come_back_as_they_were(tmp_path: Path) -> None:
    events = [Step("training", 1, 2, "loss"), Finished(["é [bold]"], "/a"), Failed("why", 3)]
    with (tmp_path / "events").open("w+") as stream:
        write = JsonLines(stream)
        for event in events:
            write(event)
        stream.seek(0)
        assert [read_event(line) for line in stream] == events


def test_events_have_standard_output_to_themselves(capfd) -> None:
    """Whatever a bottom model of the user's own prints goes to standard error."""
    before = os.dup(1)
    try:
        with execution.event_output() as own:
            os.write(1, b"from a library\n")
            own.write("an event\n")
    finally:
        os.dup2(before, 1)
        os.close(before)
    out, err = capfd.readouterr()
    assert out == "an event\n"
    assert err == "from a library\n"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_of_a_screen_is_wider_than_the_terminal(width: int) -> None:
    """Two parties with long names: one line each at any time, so that nothing jumps, and no figure cut at 80."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(file=nowhere, width=width, height=24, force_terminal=True)
        screen = Screen(["hospital", "payments_vendor"], console)
        for event in [
            Step("reading data"),
            Step("receiving the list of payments_vendor", 12_345, 67_890),
            Step("training", 17, 30, "loss 0.1234, validation 0.2345"),
            Failed("a sentence " * 40, 3),
        ]:
            screen.show("hospital", event)
            lines = console.render_lines(screen._lines(), pad=False)
            texts = ["".join(part.text for part in line).rstrip() for line in lines]
            assert len(texts) == 3
            assert max(map(len, texts)) <= width
            if width >= 80:
                assert "…" not in "".join(texts)


@pytest.mark.parametrize("command", ["run", "overlap", "check"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothere.yaml", "nothere.yaml does not exist; give your party file"),
        ("clinic.key", "clinic.key is a key file, not a party file; give your party file"),
        ("clinic.csv", "clinic.csv is a data file, not a party file"),
        ("folder", "folder is a folder; give your party file"),
    ],
)
def test_what_is_no_party_file_is_called_by_its_name(tmp_path, command, name, said) -> None:
    (tmp_path / "folder").mkdir()
    for file in ("clinic.key", "clinic.csv"):
        (tmp_path / file).write_text("secret")
    result = CliRunner().invoke(cli.app, [command, str(tmp_path / name)])
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert "secret" not in result.output
