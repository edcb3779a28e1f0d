"""Starts the parties of one measurement, gives the start signal, and collects what they report."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
_MEMORY = Path("/dev/shm")  # a folder in memory on Linux
_CHUNK = 1 << 16
_GOODBYE = 10.0  # seconds in which a process that has reported should leave
_GRACE = 2.0  # seconds in which the others follow one that has failed


class Failure(Exception):  # noqa: N818 - what became of a measurement, not an error of the program
    """A measurement that could not be made; `str()` says why in a few words."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run of a contender took.

    `bytes_per_record`: all that crossed, both directions, over the ids of one party. `peak_mb` and `start_mb` are of the
    party with the most, until the end and until the start signal. `matches`: of the party that found the fewest.
    `right`: every party that learns its rows has people in common only, none twice, in the same order as the others.
    """

    seconds: float
    bytes_per_record: float
    peak_mb: float
    start_mb: float
    matches: int
    right: bool
    reports: tuple[dict[str, Any], ...]


@dataclass(slots=True)
class _Process:
    process: subprocess.Popen[bytes]
    told: IO[bytes]
    answers: IO[bytes]
    log: Path
    heard: bytes = b""

    def tell(self, line: str) -> None:
        """Write one line; whether the process still listens shows when its answer is due."""
        with contextlib.suppress(BrokenPipeError):
            self.told.write(line.encode() + b"\n")


def measure(
    python: Path, module: str, *, parties: int, size: int, option: str = "", limit: float = 1200.0
) -> Measurement:
    """Run `module`, one of this folder, once with `parties` processes of `python` and `size` records each.

    Raises Failure when a process ends early, or when they have not all reported within `limit` seconds.
    """
    with _scratch() as folder, contextlib.ExitStack() as stack:
        ports, seeds = _free_ports(parties), [os.urandom(32).hex() for _ in range(parties)]
        until = time.monotonic() + limit
        processes = []
        for party in range(parties):
            process = stack.enter_context(_started(python, module, folder, party))
            processes.append(process)
            order = {"party": party, "parties": parties, "size": size, "ports": ports, "seeds": seeds}
            process.tell(json.dumps({**order, "option": option, "folder": str(folder)}))
        _answers(processes, until, limit)
        start = time.monotonic()
        for process in processes:
            process.tell("go")
        reports = _answers(processes, until, limit)
        for process in processes:
            process.tell("end")
        return _judged(reports, start, size)


def _judged(reports: Sequence[dict[str, Any]], start: float, size: int) -> Measurement:
    learned = [report for report in reports if report["matches"] is not None]
    matches = min((report["matches"] for report in learned), default=0)
    same = len({(report["matches"], report["digest"]) for report in learned}) <= 1
    return Measurement(
        seconds=max(report["end"] for report in reports) - start,
        bytes_per_record=sum(report["received"] for report in reports) / size,
        peak_mb=max(report["peak_mb"] for report in reports),
        start_mb=max(report["start_mb"] for report in reports),
        matches=matches,
        right=same and all(report["right"] for report in learned),
        reports=tuple(reports),
    )


@contextlib.contextmanager
def _started(python: Path, module: str, folder: Path, party: int) -> Iterator[_Process]:
    """A process that may leave by itself if all goes well, and is ended at once if not."""
    log = folder / f"party{party}.log"
    # -P keeps the working folder out of the path: benchmarks/psi.py must not stand in for the package psi.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [python, "-P", "-m", "benchmarks.psi_peers", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            cwd=folder,
            bufsize=0,
        )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("both were asked for as pipes")
    with process:
        try:
            yield _Process(process, process.stdin, process.stdout, log)
            process.wait(_GOODBYE)
        except subprocess.TimeoutExpired:
            process.kill()
        except BaseException:
            process.kill()
            raise


def _answers(processes: Sequence[_Process], until: float, limit: float) -> list[dict[str, Any]]:
    """One line of each process."""
    with selectors.DefaultSelector() as selector:
        for process in processes:
            process.heard = b""
            selector.register(process.answers, selectors.EVENT_READ, process)
        while selector.get_map():
            ready = selector.select(max(0.0, until - time.monotonic()))
            if not ready:
                raise Failure(f"not done within {limit:g} s")
            for key, _ in ready:
                came = os.read(key.fd, _CHUNK)
                if not came:
                    raise Failure(_last_words(processes))
                key.data.heard += came
                if key.data.heard.endswith(b"\n"):
                    selector.unregister(key.fileobj)
    return [json.loads(process.heard) for process in processes]


def _last_words(processes: Sequence[_Process]) -> str:
    """Why processes ended. Where one fails, the others soon do as well, and who was first cannot be seen from here."""
    until = time.monotonic() + _GRACE
    words = []
    for party, one in enumerate(processes):
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = one.process.wait(max(0.0, until - time.monotonic()))
            lines = [line.strip() for line in one.log.read_text(errors="replace").splitlines() if line.strip()]
            words.append(f"party {party} ended with {code} ({lines[-1] if lines else 'no word'})")
    return "; ".join(words) or "a party closed its answers"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [port.getsockname()[1] for port in held]


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="psi-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
