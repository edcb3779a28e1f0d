"""Output in any encoding, or in none: no text, and no reader that goes away, ends a command with a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from parties.command.screen import Screen
from parties.monitoring.events import Failed, JsonLines, Step, read_event

ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii:strict"},
    "iso-8859-15": {"PYTHONIOENCODING": "iso-8859-15"},
    "locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
# Runs several commands in one process, since most of the time goes into loading torch; prints the code of each.
SEVERAL = """
import sys
from parties.__main__ import main
if sys.argv[1] == "no launch":
    from parties.command import demo
    demo.launch = lambda folder, console, **_: 0
commands = [line.split("|") for line in sys.argv[2:]]
for number, command in enumerate(commands):
    sys.argv = ["vsplit", *command]
    try:
        main()
    except SystemExit as end:
        print(f"command {number} ended with {end.code}", flush=True)
"""


@pytest.fixture
def umlauts(world, tmp_path: Path):
    """A world whose folder, files, columns and labels have letters that are not ASCII."""
    world.folder = tmp_path / "Jürgens Größen – neu"
    (world.folder / "keys").mkdir(parents=True)
    world.tables["lab"] = world.tables["lab"].rename(columns={"tsh": "Größe", "t3": "eGFR – CKD"})
    world.tables["clinic"]["outcome"] = world.tables["clinic"].outcome.replace(
        {"sick": "krank – ja", "healthy": "gesund ☺"}
    )
    world.files["clinic"]["data"]["positive"] = "krank – ja"
    world.job["train"]["epochs"] = 1
    for name in world.names:
        world.files[name]["data"]["source"] = f"Daten {name} – ß.csv"
        world.files[name]["output"] = f"Läufe/{name}"
        world.files[name]["log"] = {"level": "debug", "file": f"{name} – ß.log"}
    del world.files["clinic"]["log"]["file"]
    world.write()
    for name in world.names:
        (world.folder / f"{name}.csv").rename(world.folder / f"Daten {name} – ß.csv")
    (world.folder / "other").mkdir()
    (world.folder / "other/broken.yaml").write_text("job: größe.yaml\nparty: lab\ncolour: röt\n", encoding="utf-8")
    return world


def run(arguments: list[Any], folder: Path, encoding: dict[str, str], **more: Any) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONWARNDEFAULTENCODING": "1", "COLUMNS": "200"} | encoding
    done = subprocess.run(
        [sys.executable, "-P", *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
        **more,
    )
    code = encoding.get("PYTHONIOENCODING", "ascii").partition(":")[0]
    try:
        return done.returncode, done.stdout.decode(code), done.stderr.decode(code)
    except UnicodeDecodeError as error:
        raise AssertionError(error.object[max(0, error.start - 300) : error.end + 50]) from None


def own_faults(error: str) -> list[str]:
    """Lines of an error output that no command may leave: a traceback, or a file that was opened without its encoding."""
    root = str(Path(__file__).resolve().parents[3])
    return [
        line
        for line in error.splitlines()
        if "Traceback" in line
        or "UnicodeEncodeError" in line
        or ("EncodingWarning" in line and f"{root}/" in line and ".venv" not in line)
    ]


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("name", ENCODINGS)
def test_every_command_says_all_in_any_encoding(umlauts, name: str) -> None:
    folder = umlauts.folder
    lab, clinic, runs = folder / "lab.yaml", folder / "clinic.yaml", folder / "Läufe"
    if name == "iso-8859-15":  # a launch of a run takes long, and prints as one of an overlap does
        umlauts.run_parties().well()
        launch = ["launch", "--overlap", folder]
    else:
        launch = ["launch", folder]
    code, out, error = run(["-m", "parties", *launch], folder, ENCODINGS[name])
    assert (code, own_faults(out + error)) == (0, []), (out, error)
    assert (runs / "clinic/predictions.parquet").exists()
    commands: list[tuple[int, list[Any]]] = [
        (0, ["check", clinic]),
        (0, ["check", lab]),
        (0, ["check", "--overlap", lab]),
        (0, ["check", "--json", "--html", folder / "Blatt – ß.html", lab]),
        (0, ["runs", lab]),
        (0, ["runs", "--json", lab]),
        (0, ["ledger", "show", runs / "lab"]),
        (0, ["ledger", "show", "--json", runs / "lab"]),
        (0, ["ledger", "verify", runs / "lab", runs / "clinic"]),
        (0, ["ledger", "verify", "--json", runs / "lab"]),
        (2, ["ledger", "verify", folder / "größe – keine"]),
        (0, ["identity", "new", "someone"]),
        (0, ["identity", "show", "someone.key"]),
        (2, ["identity", "show", "größe – keine.key"]),
        (2, ["check", folder / "other/broken.yaml"]),
        (2, ["run", folder / "other/broken.yaml"]),
        (2, ["overlap", "--json", folder / "größe – keine.yaml"]),
        (2, ["launch", folder / "größe – keine"]),
        (0, ["demo"]),
        (0, ["--help"]),
        (0, ["run", "--help"]),
        (2, ["größe –"]),
    ]
    lines = ["|".join(map(str, command)) for _, command in commands]
    code, out, error = run(["-c", SEVERAL, "no launch", *lines], folder, ENCODINGS[name])
    assert code == 0, error
    assert own_faults(out + error) == []
    for number, (expected, command) in enumerate(commands):
        assert f"command {number} ended with {expected}\n" in out, command
    lines_of_json = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert len(lines_of_json) == 4
    assert str(folder) in {str(Path(line.get("job_file", "/")).parent) for line in lines_of_json}
    assert (folder / "Blatt – ß.html").exists()
    lacking = "Gr\xf6\xdfe, eGFR \\u2013 CKD" if name == "iso-8859-15" else "Gr\\xf6\\xdfe, eGFR \\u2013 CKD"
    assert f"2 feature columns: {lacking}." in out


def test_an_overlap_prints_one_line_of_json_in_any_encoding(umlauts) -> None:
    code, out, error = run(
        ["-m", "parties", "launch", "--overlap", umlauts.folder], umlauts.folder, ENCODINGS["locale"]
    )
    assert (code, own_faults(out + error)) == (0, [])
    file = umlauts.folder / "größe – keine.yaml"
    for name, encoding in ENCODINGS.items():  # events are UTF-8, whatever a screen would be
        command = [sys.executable, "-P", "-m", "parties", "run", "--events", str(file)]
        done = subprocess.run(command, env=os.environ | encoding, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (2, b""), name
        assert str(file) in json.loads(done.stdout)["sentence"]


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-15", "cp437", "utf-8"])
def test_a_screen_draws_what_its_terminal_has(encoding: str) -> None:
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, encoding, "backslashreplace")
    console = Console(file=terminal, width=120, height=20, force_terminal=True, legacy_windows=False)
    with Screen(["clinic", "lab"], console) as screen:
        screen.show("clinic", Step("training", 1, 2, "loss " + "0.1 " * 60))
        screen.show("lab", Failed("größe –", 3))
    terminal.flush()
    drawn = raw.getvalue().decode(encoding)
    assert "training 1/2" in drawn
    assert "\\u" not in drawn
    assert ("━" in drawn) == (encoding == "utf-8")


def test_events_hold_any_text_that_a_path_may_have() -> None:
    stream = io.StringIO()
    JsonLines(stream)(Failed("no file größe\udcff", 2))
    assert read_event(stream.getvalue()) == Failed("no file größe\\xff", 2)


def test_when_nobody_reads_the_events_the_party_is_interrupted_once() -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    write = JsonLines(Closed())
    with pytest.raises(KeyboardInterrupt):
        write(Step("training"))
    write(Failed("Interrupted.", 130))


# --- outputs that are closed or full ----------------------------------------------------------------------------------


def shell(line: str, folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; vsplit() {{ '{sys.executable}' -P -m parties \"$@\"; }}; {line}"],
        cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("vsplit --help | true", 141, ""),
        ("vsplit check --overlap lab.yaml | head -1 >/dev/null", 141, ""),
        ("vsplit check none.yaml | true", 2, ""),
        ("vsplit --version >&-", 0, ""),
        ("vsplit check --overlap lab.yaml >&-", 0, ""),
        ("vsplit check --overlap lab.yaml >&- 2>&- <&-", 0, ""),
        ("vsplit check none.yaml >&-", 2, ""),
        ("vsplit --version >/dev/full", 1, "The output could not be written (No space left on device)"),
        ("vsplit identity show keys/lab.key >/dev/full", 1, "The output could not be written"),
        ("vsplit check --overlap lab.yaml >/dev/full", 1, "The output could not be written"),
        ("vsplit check none.yaml >/dev/full 2>&1", 2, ""),
        ("vsplit overlap --json none.yaml 2>/dev/full", 2, ""),
        ("vsplit run --events none.yaml | true", 2, ""),
    ],
)
def test_an_output_that_is_closed_or_full_is_no_traceback(world, line: str, code: int, said: str) -> None:
    world.write()
    found, error = shell(line, world.folder)
    assert found == code, error
    assert said in error
    assert "Traceback" not in error
    assert "Exception" not in error
    if not said:
        assert error == ""


@pytest.mark.timeout(400)
def test_a_launch_goes_on_to_its_end_when_nobody_can_read_it(world) -> None:
    world.job["train"]["epochs"] = 1
    world.write()
    code, error = shell("vsplit launch . | head -c 1 >/dev/null", world.folder)
    assert (code, error) == (141, "")
    for name in world.names:
        assert json.loads((world.run(name) / "run.json").read_text(encoding="utf-8"))["records"]["matched"] == 180
    code, error = shell("vsplit launch --overlap . >/dev/full", world.folder)
    assert code == 1
    assert error.startswith("The output could not be written (No space left on device)")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_the_error_output_is_prompt_where_both_outputs_are_one(tmp_path: Path, unbuffered: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "parties", "identity", "new", "lab"],
        cwd=tmp_path, env=os.environ | {"PYTHONUNBUFFERED": unbuffered}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1].startswith("vsplit1")
