"""`make test-cpu`: the numerical tests again, as if this processor were another one.

Numbers that are computed with other instructions may differ in the last bits. So a test may compare two ways to a number for
equality only where both take the same steps, and must otherwise allow what floating point allows. Each mode here makes one
library, or all of them, use less than this processor has. A mode that this machine cannot run is left out, and the reason is
printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

#: The tests whose results hang on arithmetic: a file, or a folder with all that is in it.
NUMERICAL = (
    "tests/vsplit",
    "tests/psi",
    "tests/examples",
    "tests/parties/run/test_party_run.py",
    "tests/parties/run/test_run_many_rows.py",
    "tests/parties/run/test_resume.py",
    "tests/parties/run/test_secure_sum.py",
    "tests/parties/run/test_model_store.py",
    "tests/parties/data",
    "tests/parties/export",
    "tests/parties/report/test_page.py",
    "tests/parties/run/test_many_rows.py",
    "tests/parties/run/test_own_module.py",
    "tests/parties/checkpoints",
    "tests/test_leaks.py",
    "tests/test_mutations.py",
    "tests/test_transcripts.py",
)

# What the libraries use, told by a process of its own, since they decide when they are imported.
_IN_USE = """
import json, os, numpy, scipy.linalg, torch
from numpy._core._multiarray_umath import __cpu_dispatch__ as dispatched, __cpu_features__ as features
from threadpoolctl import threadpool_info
from vsplit.kernels import engine
print(json.dumps({
    "torch": torch.backends.cpu.get_cpu_capability(),
    "mkl": os.environ.get("MKL_CBWR", "as it likes") if torch.backends.mkl.is_available() else "none",
    "numpy": [name for name in dispatched if features[name]],
    "openblas": sorted({pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"}),
    "kernels": engine.choice().kind,
    "possible_kernels": engine.supported(),
    "cpu": [name for name in features if features[name]],
}))
"""

Use = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mode:
    """Environment variables, and what the processor must have for them, by numpy's names of instructions."""

    name: str
    variables: Mapping[str, str]
    needs: tuple[str, ...] = ()


def modes(numpy_features: Sequence[str]) -> list[Mode]:
    """All modes there are. `numpy_features` are those that numpy chooses among on this processor, the oldest first."""
    newer = [name for name in numpy_features if name.startswith("AVX512") or name == "X86_V4"]
    no_numpy = {"NPY_DISABLE_CPU_FEATURES": " ".join(numpy_features)}
    no_avx512 = {"NPY_DISABLE_CPU_FEATURES": " ".join(newer)}
    avx2 = ("AVX2", "FMA3")
    return [
        Mode("torch-default", {"ATEN_CPU_CAPABILITY": "default"}),
        Mode("torch-avx2", {"ATEN_CPU_CAPABILITY": "avx2"}, avx2),
        Mode("torch-mkl-compatible", {"MKL_CBWR": "COMPATIBLE"}),
        Mode("numpy-baseline", no_numpy),
        Mode("numpy-no-avx512", no_avx512),
        Mode("openblas-haswell", {"OPENBLAS_CORETYPE": "Haswell"}, avx2),
        Mode("openblas-sandybridge", {"OPENBLAS_CORETYPE": "SandyBridge"}, ("AVX",)),
        Mode("openblas-nehalem", {"OPENBLAS_CORETYPE": "Nehalem"}, ("SSE42",)),
        Mode("openblas-prescott", {"OPENBLAS_CORETYPE": "Prescott"}, ("SSE3",)),
        Mode("openblas-armv8", {"OPENBLAS_CORETYPE": "ARMV8"}, ("ASIMD",)),
        Mode("kernels-ifma", {"VSPLIT_KERNELS": "ifma"}),
        Mode("kernels-fma", {"VSPLIT_KERNELS": "fma"}),
        Mode("kernels-portable", {"VSPLIT_KERNELS": "portable"}),
        Mode(
            "all-avx2",
            {"ATEN_CPU_CAPABILITY": "avx2", "OPENBLAS_CORETYPE": "Haswell", "VSPLIT_KERNELS": "fma"} | no_avx512,
            avx2,
        ),
        Mode(
            "all-oldest",
            {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "VSPLIT_KERNELS": "portable"}
            | {"OPENBLAS_CORETYPE": "Prescott"}
            | no_numpy,
            ("SSE3",),
        ),
    ]


def environment(mode: Mode) -> dict[str, str]:
    """This process's environment with the mode's variables, and none of those that other modes set."""
    ours = {"ATEN_CPU_CAPABILITY", "MKL_CBWR", "NPY_DISABLE_CPU_FEATURES", "OPENBLAS_CORETYPE", "VSPLIT_KERNELS"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    # An empty list of features would be no list to numpy.
    return kept | {name: value for name, value in mode.variables.items() if value}


def in_use(mode: Mode) -> Use:
    """What the libraries use in a mode. CalledProcessError where they cannot be imported in it."""
    words = [sys.executable, "-c", _IN_USE]
    done = subprocess.run(words, cwd=ROOT, env=environment(mode), check=True, stdout=subprocess.PIPE, text=True)
    found: Use = json.loads(done.stdout)
    return found


def why_not(mode: Mode, cpu: Sequence[str], kernels: Sequence[str]) -> str:
    """Why this processor cannot run a mode, as a sentence without its end; empty if it can.

    Asked before a library is: torch and OpenBLAS take what they are told, and end with an illegal instruction.
    """
    lacking = [name for name in mode.needs if name not in cpu]
    if lacking:
        return f"this processor has no {' and no '.join(lacking)}"
    kind = mode.variables.get("VSPLIT_KERNELS", "portable")
    return "" if kind in kernels else f"this processor cannot run the kernels {kind}"


def run_all(chosen: Sequence[str], arguments: Sequence[str]) -> int:
    """Run the numerical tests in these modes (none: in all); the exit code."""
    plain = in_use(Mode("plain", {}))
    print(f"plain: {_told(plain)}")
    results: dict[str, str] = {}
    for mode in modes(plain["numpy"]):
        if chosen and mode.name not in chosen:
            continue
        why = why_not(mode, plain["cpu"], plain["possible_kernels"])
        used = plain if why else in_use(mode)
        if not why and used == plain:
            why = "it changes nothing of what this machine uses anyway"
        if why:
            results[mode.name] = f"not available here: {why}"
            continue
        print(f"\n{mode.name}: {_told(used)}", flush=True)
        words = [sys.executable, "-m", "pytest", "-q", *(arguments or ("-n", "auto")), *NUMERICAL]
        code = subprocess.run(words, cwd=ROOT, env=environment(mode), check=False).returncode
        results[mode.name] = "green" if code == 0 else f"FAILED, exit code {code}"
    print("\n" + "\n".join(f"{name:22}{result}" for name, result in results.items()))
    if not any(result == "green" for result in results.values()):
        print("No mode was run.")
        return 1
    return int(any(result.startswith("FAILED") for result in results.values()))


def _told(used: Use) -> str:
    return ", ".join(f"{name} {value}" for name, value in used.items() if name not in {"cpu", "possible_kernels"})


def main() -> int:
    names = [mode.name for mode in modes([])]
    parser = argparse.ArgumentParser(description="the numerical tests under other choices of instructions")
    parser.add_argument("--only", nargs="+", choices=names, default=[], help="these modes instead of all")
    parser.add_argument("arguments", nargs="*", help="for pytest, after `--`, in place of `-n auto`")
    asked = parser.parse_args()
    return run_all(asked.only, asked.arguments)


if __name__ == "__main__":
    sys.exit(main())
