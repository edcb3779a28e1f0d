"""A kernel of one's own, for what this machine's kernel lacks: Debian's `user-mode-linux`, which is a program like others.

Commands in it see this machine's files with the rights of whoever runs it, and are root there over a network of their own.
It has one processor, and whatever asks the kernel for much is several times slower in it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

KERNEL = "linux.uml"
_TOO_MANY_REGISTERS = "ptrace set fp regs failed"
"""What the kernel says where it ends before its first program: the processor has more registers (AMX) than it can keep."""
MODULES = ("drivers/net/veth", "net/sched/sch_netem")

_INIT = """#!/bin/bash
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/tmp /dev/shm
mount -t tmpfs tmpfs /dev/shm
export PATH={path} TMPDIR=/run/tmp {environment}
for module in {modules}; do insmod /usr/lib/uml/modules/$(uname -r)/kernel/$module.ko; done
ip link set lo up
cd {folder}
{command} > {output} 2>&1
echo $? > {code}
sync
echo o > /proc/sysrq-trigger
sleep 60
"""


class UnsupportedProcessorError(RuntimeError):
    """The kernel cannot run a program on this processor."""


def why_no_kernel() -> str:
    """Why no such kernel can be begun here, as a sentence without its end; empty if it can."""
    for program, package in ((KERNEL, "user-mode-linux"), ("insmod", "kmod"), ("ip", "iproute2")):
        if shutil.which(program, path=_path()) is None:
            return f"this machine has no `{program}` (Debian's package {package})"
    return ""


def run_inside(
    command: Sequence[str],
    seconds: float,
    memory: str = "3G",
    environment: Mapping[str, str] | None = None,
    tell: Callable[[str], object] | None = None,
) -> tuple[int, str]:
    """The command's exit code in a kernel that is begun for it, in this working directory, and all that it said.

    TMPDIR is a folder of that kernel's memory. `tell` hears each line when it is said. RuntimeError where the kernel does
    not come as far as the command, or the command has not ended after so many seconds; UnsupportedProcessorError where no
    program can run in it here.
    """
    with tempfile.TemporaryDirectory(prefix="usermode-") as folder:
        code, init, output = (Path(folder) / name for name in ("code", "init", "output"))
        output.touch()
        init.write_text(
            _INIT.format(
                path=shlex.quote(_path()),
                environment=" ".join(f"{name}={shlex.quote(value)}" for name, value in (environment or {}).items()),
                modules=" ".join(MODULES),
                folder=shlex.quote(str(Path.cwd())),
                command=shlex.join(command),
                output=output,
                code=code,
            )
        )
        init.chmod(0o700)
        console = _boot(init, seconds, memory, output, tell)
        said = output.read_text(errors="replace")
        if not code.exists() and _TOO_MANY_REGISTERS in console:
            raise UnsupportedProcessorError(
                f"{KERNEL} cannot keep all registers of this processor, so no program runs in it"
            )
        if not code.exists():
            raise RuntimeError(f"{KERNEL} did not run the command to its end:\n{console[-2000:]}\n{said[-2000:]}")
        return int(code.read_text()), said


def _boot(init: Path, seconds: float, memory: str, output: Path, tell: Callable[[str], object] | None) -> str:
    """Begin the kernel and wait for its end; what it said itself."""
    words = [KERNEL, "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", f"mem={memory}", f"init={init}"]
    with output.open(encoding="utf-8", errors="replace") as lines, init.with_name("console").open("w+") as console:
        kernel = subprocess.Popen(
            [*words, "quiet", "con=null", "con0=null,fd:1"],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its processes are processes of this machine, and end with it
        )
        until = time.monotonic() + seconds
        try:
            while kernel.poll() is None and time.monotonic() < until:
                time.sleep(0.2)
                for line in lines if tell is not None else ():
                    tell(line.rstrip("\n"))
        finally:
            if kernel.poll() is None:
                os.killpg(kernel.pid, signal.SIGKILL)
                kernel.wait()
        return init.with_name("console").read_text(errors="replace")


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/sbin:/bin"
