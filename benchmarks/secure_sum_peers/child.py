"""A peer in a process of its own environment: it is asked line by line, and answers line by line."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.psi_peers.conductor import ROOT, Failure

_CHUNK = 1 << 16
_GRACE = 2.0  # seconds in which a process that has closed its answers ends


@contextlib.contextmanager
def started(python: Path, arguments: list[str], threads: int, limit: float) -> Iterator[Child]:
    """`python -m benchmarks.secure_sum_peers ARGUMENTS`, which answers within `limit` seconds or is a Failure."""
    # -P keeps the working folder out of the path.
    command = [python, "-P", "-m", "benchmarks.secure_sum_peers", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "YACL_NUM_THREADS": str(threads)}
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, env=environment, bufsize=0) as process,
    ):
        try:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("both were asked for as pipes")
            yield Child(process, process.stdin, process.stdout, log, limit)
        finally:
            process.kill()


@dataclass(frozen=True, slots=True)
class Child:
    """A process that `started` has started."""

    process: subprocess.Popen[bytes]
    told: IO[bytes]
    answers: IO[bytes]
    log: IO[bytes]
    limit: float

    def ask(self, line: str) -> dict[str, Any]:
        """Write one line and wait for the answer. Raises Failure where none comes."""
        with contextlib.suppress(BrokenPipeError):  # that the process has ended shows when its answer is due
            self.told.write(line.encode() + b"\n")
        found: dict[str, Any] = self._answer()
        return found

    def ready(self) -> None:
        """Wait until the process has made its key. Raises Failure where it does not."""
        self._answer()

    def _answer(self) -> Any:
        until, heard = time.monotonic() + self.limit, b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.answers, selectors.EVENT_READ)
            while not heard.endswith(b"\n"):
                if not selector.select(max(0.0, until - time.monotonic())):
                    self.process.kill()  # so that it does not slow the others down
                    raise Failure(f"not done within {self.limit:g} s")
                came = os.read(self.answers.fileno(), _CHUNK)
                if not came:
                    raise Failure(self._last_words())
                heard += came
        return json.loads(heard)

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE)
        self.log.seek(0)
        lines = [line.strip() for line in self.log.read().decode(errors="replace").splitlines() if line.strip()]
        return f"ended with {self.process.returncode} ({lines[-1] if lines else 'no word'})"
