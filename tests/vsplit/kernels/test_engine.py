"""Which kernels a process uses: the fastest that work, what the environment demands, and the portable twin otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from vsplit.kernels import engine
from vsplit.protocol import ConfigError


@pytest.fixture(autouse=True)
def undecided(monkeypatch):
    """As in a process that has not used kernels yet."""
    monkeypatch.delenv(engine.VARIABLE, raising=False)
    monkeypatch.setattr(engine._State, "choice", None)
    monkeypatch.setattr(engine._State, "kernels", None)


def test_the_fastest_kind_that_this_cpu_has_is_chosen_after_a_trial():
    choice = engine.choice()
    assert choice.kind == engine.supported()[0]
    assert choice.why


@pytest.mark.parametrize("kind", engine.supported())
def test_the_environment_forces_a_kind_without_a_trial(kind, monkeypatch):
    monkeypatch.setenv(engine.VARIABLE, kind)
    monkeypatch.setattr(engine, "_probe", lambda kind: pytest.fail("a trial"))
    assert engine.choice() == engine.Choice(kind, f"{engine.VARIABLE}={kind}")


@pytest.mark.parametrize("wanted", ["ifma", "fma", "gpu"])
def test_a_kind_that_this_cpu_cannot_run_is_refused(wanted, monkeypatch):
    monkeypatch.setenv(engine.VARIABLE, wanted)
    monkeypatch.setattr(engine, "supported", lambda: ["portable"])
    with pytest.raises(ConfigError, match=rf"{engine.VARIABLE} .* is '{wanted}', but this CPU can run portable"):
        engine.choice()


def test_a_cpu_without_the_instructions_gets_the_portable_twin(monkeypatch):
    monkeypatch.setattr(engine, "supported", lambda: ["portable"])
    assert engine.choice().kind == "portable"


@pytest.mark.parametrize(
    ("code", "end"), [("import os; os.abort()", "signal 6"), ("import sys; sys.exit(3)", "exit code 3")]
)
@pytest.mark.skipif(engine.supported()[0] == "portable", reason="this CPU has no kernels to try")
def test_where_the_trial_fails_the_portable_twin_works(code, end, monkeypatch):
    """As in a service that may not write memory and then execute it: LLVM ends the child without a word."""
    run = subprocess.run
    monkeypatch.setattr(engine.subprocess, "run", lambda _command, **how: run([sys.executable, "-c", code], **how))
    choice = engine.choice()
    assert choice.kind == "portable"
    assert end in choice.why


def test_where_the_fastest_fails_the_next_is_tried(monkeypatch):
    monkeypatch.setattr(engine, "supported", lambda: ["ifma", "fma", "portable"])
    monkeypatch.setattr(engine, "_probe", lambda kind: "exit code 1" if kind == "ifma" else None)
    choice = engine.choice()
    assert choice.kind == "fma"
    assert "a trial of the ifma kernels ended with exit code 1" in choice.why


def test_a_trial_that_takes_too_long_counts_as_failed(monkeypatch):
    monkeypatch.setattr(engine, "supported", lambda: ["fma", "portable"])
    monkeypatch.setattr(engine, "_PROBE_SECONDS", 0.001)
    assert engine.choice().kind == "portable"
    assert "TimeoutExpired" in engine.choice().why


def test_threads_that_come_at_once_compile_once(monkeypatch):
    made = []
    monkeypatch.setattr(engine, "build", lambda kind: made.append(kind) or object())
    monkeypatch.setattr(engine, "_choose", lambda: engine.Choice("fma", "a test"))
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: engine.kernels(), range(32)))
    assert made == ["fma"]
    assert len(set(map(id, found))) == 1


def test_the_portable_twin_is_not_compiled():
    with pytest.raises(ValueError, match="not compiled"):
        engine.build("portable")


@pytest.mark.skipif(engine.supported()[0] == "portable", reason="this CPU has no kernels to try")
@pytest.mark.parametrize("kind", [kind for kind in engine.supported() if kind != "portable"])
def test_the_trial_says_with_its_exit_code_whether_the_kernels_work(kind):
    command = [sys.executable, "-P", "-m", "vsplit.kernels.probe", kind]
    assert subprocess.run(command, check=False, env={**os.environ}).returncode == 0


@pytest.mark.skipif(engine.supported()[0] == "portable", reason="this CPU has no kernels to try")
def test_the_trial_runs_nothing_from_the_working_folder(tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    (tmp_path / "llvmlite.py").write_text(f"open({str(seen)!r}, 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    assert engine._probe(engine.supported()[0]) is None
    assert not seen.exists()
