"""Compiles LLVM's intermediate representation to functions that take numpy arrays; no other module compiles.

Not thread-safe by itself: `engine` calls it under its lock.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir

Kernel = Callable[..., None]
"""Takes arrays, whose addresses it passes on, then counts. Other threads run meanwhile."""

_state = {"initialized": False}


def target_machine(cpu: str = "", optimise: int = 3) -> binding.TargetMachine:
    """LLVM's target for this machine, or for another CPU of the same family, to look at the code."""
    if not _state["initialized"]:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        # The kernels' instructions are in a good order; LLVM's scheduler would hoist them and spill registers.
        binding.set_option("vsplit", "-enable-misched=false")
        _state["initialized"] = True
    features = "" if cpu else binding.get_host_cpu_features().flatten()
    target = binding.Target.from_default_triple()
    return target.create_target_machine(cpu=cpu or binding.get_host_cpu_name(), features=features, opt=optimise)


def compile_module(module: ir.Module, *, native: bool) -> Any:
    """The module in memory. The returned object must exist as long as its functions are used.

    Emulated code (`native` false) is for tests, for which a short compilation matters.
    """
    machine = target_machine(optimise=3 if native else 0)
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    engine = binding.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    return engine


def kernel(engine: Any, name: str, pointers: int, counts: int) -> Kernel:
    """The function `name` of what `compile_module` returned, with so many pointers and counts."""
    kinds = [ctypes.c_void_p] * pointers + [ctypes.c_uint64] * counts
    function = ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address(name))

    def call(*arguments: npt.NDArray[np.generic] | int) -> None:
        # This frame keeps the arrays alive while the kernel reads and writes them.
        for one in arguments:
            if not isinstance(one, int) and not one.flags.c_contiguous:
                raise ValueError("a kernel reads arrays that are contiguous")
        function(*(one if isinstance(one, int) else one.ctypes.data for one in arguments))

    return call
