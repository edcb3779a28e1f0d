"""No code from a folder: what lies where the command is given, beside the party file or the data is not run."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from parties.command.code_paths import use_installed_code_only

SCRIPT = Path(sysconfig.get_path("scripts")) / "vsplit"

# Runs the command, and writes down the names of all modules that were asked for and found nowhere.
RECORDER = """
import sys
from importlib.machinery import PathFinder

class Asked:
    names = set()

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if path is None and PathFinder.find_spec(name) is None:
            cls.names.add(name)
        return None

sys.meta_path.append(Asked)
from parties.__main__ import main
try:
    main()
finally:
    with open({file!r}, "a", encoding="utf-8") as file:
        file.write("".join(f"{{name}}\\n" for name in Asked.names))
"""
NEVER_ASKED_FOR_HERE = {"numexpr", "bottleneck", "bcrypt", "sitecustomize", "usercustomize", "IPython", "fsspec"}
"""Names that some versions of the libraries ask for."""


@pytest.fixture
def folders(world, tmp_path: Path) -> tuple[Path, Path, Path]:
    """A working folder, one of party files and one of data, with a job that needs nothing but `launch`."""
    for member in world.job["parties"].values():
        member["identity"] = "auto"
    world.job["address"] = "127.0.0.1:0"
    world.job["train"]["epochs"] = 1
    for name, file in world.files.items():
        del file["identity"]
        file["data"]["source"] = f"data/{name}.csv"
    world.write()
    data, working = world.folder / "data", tmp_path / "working"
    data.mkdir()
    working.mkdir()
    for name in world.names:
        (world.folder / f"{name}.csv").rename(data / f"{name}.csv")
    return working, world.folder, data


def commands(parties: Path) -> list[list[str]]:
    """Each command once, in an order in which each finds what it needs."""
    clinic = str(parties / "clinic.yaml")
    return [
        ["identity", "new", "someone"],
        ["identity", "show", "someone.key"],
        ["check", clinic],
        ["check", "--overlap", clinic],
        ["launch", str(parties)],
        ["launch", "--overlap", str(parties)],
        ["ledger", "show", str(parties / "runs/clinic")],
        ["ledger", "verify", str(parties / "runs/clinic"), str(parties / "runs/lab")],
        ["--help"],
        ["fly"],
    ]


@pytest.mark.timeout(400)
def test_no_file_with_the_name_of_an_optional_import_is_run(folders, tmp_path: Path) -> None:
    working, parties, data = folders
    asked = tmp_path / "asked"
    recorder = RECORDER.format(file=str(asked))
    everything = (
        "import parties.run.party_run, parties.report.result_plots, PIL.Image, prometheus_client, sqlalchemy.dialects"
    )
    code = recorder.replace("    main()", f"    {everything}\n    main()")
    check = [sys.executable, "-P", "-c", code, "check", str(parties / "clinic.yaml")]
    assert subprocess.run(check, cwd=working, capture_output=True, check=False).returncode == 0
    names = {name for name in asked.read_text(encoding="utf-8").split() if name.isidentifier()} | NEVER_ASKED_FOR_HERE
    assert len(names) > 20, names
    ran = tmp_path / "ran"
    for folder in (working, parties, data):
        for name in names | set(sys.stdlib_module_names):
            (folder / f"{name}.py").write_text(f"open({str(ran)!r}, 'a').write({name!r} + '\\n')\n", encoding="utf-8")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep + os.environ.get("PYTHONPATH", "/nowhere"),
        "OMP_NUM_THREADS": "1",
    }
    for command in commands(parties):
        done = subprocess.run(
            [SCRIPT, *command], cwd=working, capture_output=True, text=True, encoding="utf-8", check=False
        )
        assert done.returncode == (2 if command == ["fly"] else 0), (command, done.stdout, done.stderr)
        assert not ran.exists(), (command, ran.read_text(encoding="utf-8"))
    # What Python itself loads before the program is not for the program to choose.
    for folder in (working, parties, data):
        for name in {"sitecustomize", "usercustomize", *sys.stdlib_module_names}:
            (folder / f"{name}.py").unlink(missing_ok=True)
    for start in ([sys.executable, "-m", "parties"], [SCRIPT]):
        for command in (["check", "--overlap", str(parties / "clinic.yaml")], ["identity", "show", "someone.key"]):
            done = subprocess.run([*start, *command], cwd=working, env=environment, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr
            assert not ran.exists(), (start, command, ran.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("safe", "script", "before", "after"),
    [
        (False, "/env/bin/vsplit", ["/env/bin", "/lib"], ["/lib"]),
        (False, "/env/parties/__main__.py", ["{working}", "/lib"], ["/lib"]),
        (False, "-c", ["", "/lib"], ["/lib"]),
        (False, "/a/program.pex", ["/a/program.pex", "/lib"], ["/a/program.pex", "/lib"]),
        (True, "/env/bin/vsplit", ["/lib", "/env/bin"], ["/lib", "/env/bin"]),
    ],
)
def test_the_folder_that_python_adds_is_taken_away(monkeypatch, tmp_path, safe, script, before, after) -> None:
    program = str(Path(__file__).resolve().parents[3])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.setattr(sys, "argv", [script])
    monkeypatch.setattr(sys, "flags", type("Flags", (), {"safe_path": safe}))
    monkeypatch.setattr(sys, "path", [entry.format(working=tmp_path) for entry in before])
    use_installed_code_only()
    assert sys.path == [*after, program]
    use_installed_code_only()
    assert sys.path == [*after, program]
    assert os.environ["PYTHONSAFEPATH"] == "1"


def test_with_m_no_file_beside_the_command_is_run_in_place_of_the_standard_library(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    # What Python itself loads before it comes to the program: see `python -X importtime -m parties`.
    started = subprocess.run(
        [sys.executable, "-c", "import sys, runpy, pkgutil, importlib.util; print(*sys.modules)"],
        cwd="/", capture_output=True, text=True, encoding="utf-8", check=True,
    ).stdout.split()  # fmt: skip
    for name in sys.stdlib_module_names - set(started) - {"sitecustomize", "usercustomize"}:
        (tmp_path / f"{name}.py").write_text(f"open({str(ran)!r}, 'a').write({name!r} + '\\n')\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "parties", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert not ran.exists(), ran.read_text(encoding="utf-8")


def test_an_empty_part_of_pythonpath_names_no_folder_and_a_full_one_does(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setattr(sys, "flags", type("Flags", (), {"safe_path": True}))
    for written, kept, said in [
        (":/opt/x", ["/opt/x", "/lib"], "/opt/x"),
        (".::/opt/x", [str(tmp_path), "/opt/x", "/lib"], ".:/opt/x"),
        (f"{tmp_path}:", [str(tmp_path), "/lib"], str(tmp_path)),
    ]:
        monkeypatch.setenv("PYTHONPATH", written)
        monkeypatch.setattr(sys, "path", [str(tmp_path), *(["/opt/x"] if "/opt/x" in written else []), "/lib"])
        use_installed_code_only()
        assert sys.path[:-1] == kept
        assert os.environ["PYTHONPATH"] == said
