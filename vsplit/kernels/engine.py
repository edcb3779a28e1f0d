"""Compiles the kernels on the user's machine, at first use, and chooses which of them this process uses.

Nothing is written to disk. LLVM needs memory that is first written and then executed; hardened services forbid that, and
LLVM then ends the process instead of raising. So a child process tries first, and where it fails, the portable twin works.
"""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from llvmlite import binding, ir

from vsplit.kernels.curve_code import map_blocks, multiply_blocks
from vsplit.kernels.field import Field
from vsplit.kernels.fma51 import FmaField
from vsplit.kernels.ifma51 import IfmaField
from vsplit.kernels.lanes import Lanes, function
from vsplit.kernels.sha512_code import digest_blocks
from vsplit.protocol import ConfigError

Kind = Literal["ifma", "fma", "portable"]
VARIABLE = "VSPLIT_KERNELS"
"""The environment variable that forces a choice: auto (the default), ifma, fma or portable."""

_PROBE_SECONDS = 120
_LOCK = threading.RLock()


@dataclass(frozen=True, slots=True)
class Choice:
    """Which kernels this process uses, and why, in words for a person."""

    kind: Kind
    why: str


@dataclass(frozen=True, slots=True)
class Kernels:
    """Kernels in this process's memory: the addresses live as long as `engine`, which must be kept.

    `width` is how many numbers a block holds.
    """

    width: int
    multiply: Callable[..., None]
    map: Callable[..., None]
    digest: Callable[..., None]
    engine: Any = field(repr=False)


class _State:
    """What this process has chosen and compiled. Guarded by `_LOCK`."""

    choice: Choice | None = None
    kernels: Kernels | None = None


def choice() -> Choice:
    """Which kernels this process uses; decided at the first call. Raises ConfigError for an impossible demand."""
    with _LOCK:
        if _State.choice is None:
            _State.choice = _choose()
        return _State.choice


def kernels() -> Kernels:
    """The chosen kernels, compiled at the first call; not to be called where the choice is `portable`."""
    with _LOCK:
        if _State.kernels is None:
            _State.kernels = build(choice().kind)
        return _State.kernels


def build(kind: Kind, *, native: bool = True) -> Kernels:
    """Compile the kernels of a kind. `native=False` puts IFMA's instructions together from others, for tests."""
    if kind == "portable":
        raise ValueError("the portable twin is not compiled")
    width = _width(kind)
    module = code(kind, width, native=native)
    with _LOCK:
        # Tests care for the time to compile, runs for the time to compute.
        machine = target_machine(optimise=3 if native else 0)
        parsed = binding.parse_assembly(str(module))
        parsed.verify()
        engine = binding.create_mcjit_compiler(parsed, machine)
        engine.finalize_object()
    return Kernels(
        width,
        _callable(engine, "multiply", 4, 1),
        _callable(engine, "map", 3, 1),
        _callable(engine, "digest", 3, 2),
        engine,
    )


def code(kind: Kind, width: int, *, native: bool = True) -> ir.Module:
    """The kernels of a kind in LLVM's intermediate representation."""
    module = ir.Module("vsplit")

    def made(lanes: Lanes) -> Field:
        return IfmaField(lanes, native=native) if kind == "ifma" else FmaField(lanes)

    with function(module, "multiply", 4, 1, width) as (lanes, arguments):
        multiply_blocks(made(lanes), arguments)
    with function(module, "map", 3, 1, width) as (lanes, arguments):
        map_blocks(made(lanes), arguments)
    with function(module, "digest", 3, 2, width) as (lanes, arguments):
        digest_blocks(lanes, arguments)
    return module


def target_machine(cpu: str = "", optimise: int = 3) -> binding.TargetMachine:
    """LLVM's target for this machine, or for another CPU of the same family, to look at the code."""
    _initialize()
    features = "" if cpu else binding.get_host_cpu_features().flatten()
    target = binding.Target.from_default_triple()
    return target.create_target_machine(cpu=cpu or binding.get_host_cpu_name(), features=features, opt=optimise)


def supported() -> list[Kind]:
    """The kinds whose instructions this CPU has, the fastest first."""
    features = binding.get_host_cpu_features()
    kinds: list[Kind] = []
    if all(features.get(one) for one in ("avx512f", "avx512vl", "avx512ifma")):
        kinds.append("ifma")
    if (features.get("avx2") and features.get("fma")) or platform.machine() in {"arm64", "aarch64"}:
        kinds.append("fma")
    return [*kinds, "portable"]


def _choose() -> Choice:
    wanted = os.environ.get(VARIABLE, "auto") or "auto"
    kinds = supported()
    if wanted == "auto":
        return _first_that_works(kinds)
    for kind in kinds:
        if kind == wanted:
            return Choice(kind, f"{VARIABLE}={wanted}")
    raise ConfigError(
        f"The environment variable {VARIABLE} on this machine is {wanted!r}, but this CPU can run {', '.join(kinds)}; "
        "set it to one of these, or to auto."
    )


def _first_that_works(kinds: list[Kind]) -> Choice:
    failures: list[str] = []
    for kind in kinds[:-1]:
        failure = _probe(kind)
        if failure is None:
            why = "" if not failures else f", since {' and '.join(failures)}"
            return Choice(kind, f"the fastest that works on this CPU{why}")
        failures.append(f"a trial of the {kind} kernels ended with {failure}")
    return Choice("portable", " and ".join(failures) or "this CPU has neither AVX-512 IFMA nor AVX2 with FMA")


def _probe(kind: Kind) -> str | None:
    """None if a child process can compile and run the kernels, or else how it ended."""
    try:
        child = subprocess.run(  # noqa: S603 - this interpreter, and no argument of anybody else's
            [sys.executable, "-P", "-m", "vsplit.kernels.probe", kind],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_PROBE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    if child.returncode == 0:
        return None
    return f"signal {-child.returncode}" if child.returncode < 0 else f"exit code {child.returncode}"


def _width(kind: Kind) -> int:
    return 8 if kind == "ifma" or binding.get_host_cpu_features().get("avx512f") else 4


def _callable(engine: Any, name: str, pointers: int, counts: int) -> Callable[..., None]:
    """The compiled function. A call through ctypes lets other threads run meanwhile."""
    kinds = [ctypes.c_void_p] * pointers + [ctypes.c_uint64] * counts
    return ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address(name))


_initialized = False


def _initialize() -> None:
    global _initialized  # noqa: PLW0603 - LLVM's own state is one for the process
    with _LOCK:
        if not _initialized:
            binding.initialize_native_target()
            binding.initialize_native_asmprinter()
            # The kernels' instructions stand in a good order; LLVM's scheduler would hoist them and spill registers.
            binding.set_option("vsplit", "-enable-misched=false")
            _initialized = True
