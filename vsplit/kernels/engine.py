"""Compiles the kernels on the user's machine, at first use, and chooses which of them this process uses.

Nothing is written to disk. LLVM needs memory that is first written and then executed; hardened services forbid that, and
LLVM then ends the process instead of raising. So a child process tries first, and where it fails, the portable twin works.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any, Literal

from llvmlite import binding, ir

from vsplit.kernels import power_code
from vsplit.kernels.curve_code import map_blocks, multiply_blocks
from vsplit.kernels.digits import Digits, FmaDigits, IfmaDigits
from vsplit.kernels.field import Field
from vsplit.kernels.fma51 import FmaField
from vsplit.kernels.ifma51 import IfmaField
from vsplit.kernels.jit import Kernel, compile_module, kernel
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
    """The kind of kernels that this process uses, and the reason as text."""

    kind: Kind
    why: str


@dataclass(frozen=True, slots=True)
class Kernels:
    """Kernels in this process's memory: the addresses are valid as long as `engine` exists.

    `width` is how many numbers a block holds.
    """

    width: int
    multiply: Kernel
    map: Kernel
    digest: Kernel
    engine: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class MontgomeryKernels:
    """Kernels for squares of odd numbers of one length: `digits` digits of `bits` bits, `signed` ones as doubles, or words."""

    width: int
    digits: int
    bits: int
    signed: bool
    multiply: Kernel
    power: Kernel
    chain: Kernel
    engine: Any = field(repr=False)


class _State:
    """What this process has chosen and compiled. Guarded by `_LOCK`."""

    choice: Choice | None = None
    kernels: Kernels | None = None
    montgomery: dict[int, MontgomeryKernels] = {}  # noqa: RUF012 - shared, and guarded like the rest


def choice() -> Choice:
    """The kernels that this process uses, chosen at the first call. Raises ConfigError for an impossible demand."""
    with _LOCK:
        if _State.choice is None:
            _State.choice = _choose()
        return _State.choice


def check_demand() -> None:
    """Raise ConfigError for an impossible demand, without trying what is possible."""
    _demanded(supported())


def kernels() -> Kernels:
    """The chosen kernels, compiled at the first call; must not be called where the choice is `portable`."""
    with _LOCK:
        if _State.kernels is None:
            _State.kernels = build(choice().kind)
        return _State.kernels


def montgomery(bits: int) -> MontgomeryKernels:
    """The chosen kernels for squares of odd numbers of `bits` bits, compiled at the first call for so many digits."""
    kind = choice().kind
    digits = _digits(kind, bits)
    with _LOCK:
        if digits not in _State.montgomery:
            _State.montgomery[digits] = build_montgomery(kind, bits)
        return _State.montgomery[digits]


def build(kind: Kind, *, native: bool = True) -> Kernels:
    """Compile the curve's kernels of a kind. `native=False` emulates IFMA's instructions, for tests."""
    width = width_of(kind)
    with _LOCK:
        engine = compile_module(code(kind, width, native=native), native=native)
    return Kernels(
        width,
        kernel(engine, "multiply", 4, 1),
        kernel(engine, "map", 3, 1),
        kernel(engine, "digest", 3, 2),
        engine,
    )


def build_montgomery(kind: Kind, bits: int, *, native: bool = True) -> MontgomeryKernels:
    """Compile the Montgomery kernels of a kind for squares of odd numbers of `bits` bits."""
    width, digits = width_of(kind), _digits(kind, bits)
    with _LOCK:
        engine = compile_module(montgomery_code(kind, digits, width, native=native), native=native)
    return MontgomeryKernels(
        width,
        digits,
        _digit_bits(kind),
        kind == "fma",
        kernel(engine, "multiply_rows", 6, 1),
        kernel(engine, "power_rows", 8, 2),
        kernel(engine, "chain_rows", 6, 2),
        engine,
    )


def code(kind: Kind, width: int, *, native: bool = True) -> ir.Module:
    """The curve's kernels of a kind in LLVM's intermediate representation."""
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


def montgomery_code(kind: Kind, digits: int, width: int, *, native: bool = True) -> ir.Module:
    """The Montgomery kernels of a kind, for so many digits, in LLVM's intermediate representation."""
    module = ir.Module("montgomery")

    def made(lanes: Lanes) -> Digits:
        return IfmaDigits(lanes, native=native) if kind == "ifma" else FmaDigits(lanes)

    with function(module, "multiply_rows", 6, 1, width) as (lanes, arguments):
        power_code.multiply_blocks(made(lanes), digits, arguments)
    with function(module, "power_rows", 8, 2, width) as (lanes, arguments):
        power_code.power_blocks(made(lanes), digits, arguments)
    with function(module, "chain_rows", 6, 2, width) as (lanes, arguments):
        power_code.chain_blocks(made(lanes), digits, arguments)
    return module


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
    kinds = supported()
    wanted = _demanded(kinds)
    return _first_that_works(kinds) if wanted is None else Choice(wanted, f"{VARIABLE}={wanted}")


def _demanded(kinds: list[Kind]) -> Kind | None:
    """The kind that the environment variable asks for; None: this module chooses."""
    wanted = os.environ.get(VARIABLE, "auto") or "auto"
    if wanted == "auto":
        return None
    for kind in kinds:
        if kind == wanted:
            return kind
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
        child = subprocess.run(  # noqa: S603 - this interpreter, with fixed arguments
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


def width_of(kind: Kind) -> int:
    """Lanes of the kernels of a kind on this machine. Raises ValueError for the portable twin, which is not compiled."""
    if kind == "portable":
        raise ValueError("the portable twin is not compiled")
    return 8 if kind == "ifma" or binding.get_host_cpu_features().get("avx512f") else 4


def _digit_bits(kind: Kind) -> int:
    return IfmaDigits.bits if kind == "ifma" else FmaDigits.bits


def _digits(kind: Kind, bits: int) -> int:
    """Digits for the square of a number m of so many bits: enough for R >= 16 m."""
    return -(-(bits + 4) // _digit_bits(kind))
