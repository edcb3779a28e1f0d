"""`make test-cpu` offers each machine the modes that it can run, and says why it leaves out the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import cpu_modes
from tests.cpu_modes import NUMERICAL, ROOT, Mode, environment, in_use, modes, run_all, why_not

XEON = (["X86_V3", "X86_V4", "AVX512_ICL"], ["SSE3", "SSE42", "AVX", "FMA3", "AVX2"], ["ifma", "fma", "portable"])
RYZEN = (["X86_V3"], ["SSE3", "SSE42", "AVX", "FMA3", "AVX2"], ["fma", "portable"])
OLD = ([], ["SSE3", "SSE42"], ["portable"])
ARM = (["ASIMDDP"], ["NEON", "ASIMD", "ASIMDDP"], ["fma", "portable"])


@pytest.mark.parametrize(
    ("machine", "left_out"),
    [
        (XEON, {"openblas-armv8"}),
        (RYZEN, {"openblas-armv8", "kernels-ifma"}),
        (
            OLD,
            {"openblas-armv8", "kernels-ifma", "kernels-fma", "torch-avx2", "all-avx2"}
            | {"openblas-haswell", "openblas-sandybridge"},
        ),
        (
            ARM,
            {"kernels-ifma", "torch-avx2", "all-avx2", "all-oldest"}
            | {f"openblas-{core}" for core in ("haswell", "sandybridge", "nehalem", "prescott")},
        ),
    ],
    ids=["AVX-512", "AVX2", "SSE", "ARM"],
)
def test_a_machine_is_not_asked_for_what_it_has_not(machine: tuple[list[str], ...], left_out: set[str]) -> None:
    dispatched, cpu, kernels = machine
    assert {mode.name for mode in modes(dispatched) if why_not(mode, cpu, kernels)} == left_out


def test_numpy_is_told_to_leave_out_only_what_it_chooses_among() -> None:
    for dispatched in ([], ["X86_V3"], ["X86_V3", "X86_V4", "AVX512_ICL"], ["AVX2", "FMA3", "AVX512F", "AVX512_SKX"]):
        named = {mode.name: mode.variables.get("NPY_DISABLE_CPU_FEATURES", "").split() for mode in modes(dispatched)}
        assert named["numpy-baseline"] == named["all-oldest"] == dispatched
        assert named["numpy-no-avx512"] == named["all-avx2"]
        assert {*named["all-avx2"]} == {*dispatched} - {"X86_V3", "AVX2", "FMA3"}


def test_a_mode_sets_its_variables_and_no_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    found = environment(Mode("some", {"VSPLIT_KERNELS": "portable", "NPY_DISABLE_CPU_FEATURES": ""}))
    assert found["VSPLIT_KERNELS"] == "portable"
    assert not {"OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES"} & {*found}
    assert found.items() >= {"PATH": environment(Mode("plain", {}))["PATH"]}.items()


def test_each_mode_that_this_machine_can_run_is_in_force() -> None:
    plain = in_use(Mode("plain", {}))
    oldest = {mode.name: mode for mode in modes(plain["numpy"])}["all-oldest"]
    if why := why_not(oldest, plain["cpu"], plain["possible_kernels"]):
        pytest.skip(why)
    used = in_use(oldest)
    assert (used["torch"], used["numpy"], used["kernels"]) == ("DEFAULT", [], "portable")


def test_what_is_green_failed_and_left_out_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    used = {
        "torch": "AVX2",
        "numpy": ["X86_V3"],
        "cpu": ["AVX2", "FMA3", "SSE3"],
        "possible_kernels": ["fma", "portable"],
    }
    used["kernels"] = "fma"
    monkeypatch.setattr(
        cpu_modes, "in_use", lambda mode: used | {"kernels": mode.variables.get("VSPLIT_KERNELS", used["kernels"])}
    )
    ended = {"portable": 0}

    def run(_words: list[str], *, env: dict[str, str], **_how: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], ended[env["VSPLIT_KERNELS"]])

    monkeypatch.setattr(cpu_modes.subprocess, "run", run)
    assert run_all(["kernels-ifma", "kernels-fma", "kernels-portable"], []) == 0
    said = capfd.readouterr().out.splitlines()[-3:]
    assert [line.split(maxsplit=1) for line in said] == [
        ["kernels-ifma", "not available here: this processor cannot run the kernels ifma"],
        ["kernels-fma", "not available here: it changes nothing of what this machine uses anyway"],
        ["kernels-portable", "green"],
    ]
    ended["portable"] = 2
    assert run_all(["kernels-portable"], []) == 1
    assert "FAILED, exit code 2" in capfd.readouterr().out
    assert run_all(["kernels-ifma"], []) == 1
    assert "No mode was run." in capfd.readouterr().out


def test_the_numerical_tests_are_where_the_list_says() -> None:
    for name in NUMERICAL:
        assert (ROOT / name).exists(), name
    for test in (*ROOT.glob("tests/**/test_*.py"),):
        if "import torch\n" in test.read_text(encoding="utf-8"):
            assert listed(test), f"{test.name} counts with torch and is not among the numerical tests"


def listed(test: Path) -> bool:
    """Whether the list of numerical tests has a file."""
    return any(test == ROOT / name or ROOT / name in test.parents for name in NUMERICAL)


def test_the_command_knows_its_modes() -> None:
    words = [sys.executable, "tests/cpu_modes.py", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    for mode in modes([]):
        assert mode.name in done.stdout.replace("\n", "")
