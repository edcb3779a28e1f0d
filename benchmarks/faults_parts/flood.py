"""A flood of connections without an identity during a run: how much longer its training takes than without interruption.

1,000 connections are held open, and 50 a second are given up and made anew: some say nothing, some send a few bytes of a
handshake and stop, some send garbage, some drip. Within one run, stretches with and without the flood take turns, and what
is compared is how fast epochs pass in neighbouring ones: so other work on the machine, which comes and goes, meets both.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import yaml
from rich.console import Console

from benchmarks.faults_parts.processes import NAMES, Processes, make_folder, warm_up, watching

HELD, RENEWED = 1_000, 50
"""Connections that are open at any time, and how many of them are made anew in a second."""

EPOCHS = 2_500
SETTLE, STRETCH = 5.0, 8.0
"""Seconds until all connections are made, or gone; and seconds in which epochs are counted then."""
MOST_SECONDS = 900.0
CLIENT_HELLO = bytes.fromhex("160301020001000" + "1fc0303") + bytes(16)


def measure_flood(runs: int, draw: random.Random, console: Console) -> dict[str, int | float]:
    """The median of the ratios of neighbouring stretches; a twenty-fifth of the runs, at least one."""
    warm_up()
    ratios: list[float] = []
    hangs = made = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        for number in range(max(1, runs // 25)):
            place = _long_job(make_folder(Path(folder) / str(number), "concat"))
            siege = _Siege(place, draw)
            siege.run(console)
            if siege.trouble:
                console.print(siege.trouble, markup=False)
            hangs += bool(siege.trouble)
            ratios += siege.ratios
            made += siege.made
    return {
        "flood_ratio": round(statistics.median(ratios), 3) if ratios else float("nan"),
        "flood_ratio_most": round(max(ratios, default=float("nan")), 3),
        "flood_pairs": len(ratios),
        "flood_connections": made,
        "hangs": hangs,
    }


def _long_job(folder: Path) -> Path:
    job = yaml.safe_load((folder / "job.yaml").read_text())
    job["train"] |= {"epochs": EPOCHS, "checkpoint": {"steps": None, "seconds": 30}}
    job["train"].pop("early_stopping")
    (folder / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False))
    clinic = yaml.safe_load((folder / "clinic.yaml").read_text())
    clinic["log"] = {"format": "json", "file": "clinic-log.jsonl"}
    (folder / "clinic.yaml").write_text(yaml.safe_dump(clinic, sort_keys=False))
    return folder


class _Siege:
    """One run, and the flood that comes and goes until it has ended. `trouble` is why it did not end well."""

    def __init__(self, place: Path, draw: random.Random) -> None:
        self.ratios: list[float] = []
        self.made = 0
        self.trouble = ""
        self._place = place
        self._draw = draw
        self._port = int(yaml.safe_load((place / "job.yaml").read_text())["address"].rpartition(":")[2])
        self._processes = Processes(place)

    def run(self, console: Console) -> None:
        """Run the parties to their end."""
        try:
            for name in NAMES:
                self._processes.start(name)
            self._until(lambda: self._epochs() > 0)
            while self._processes.children and not self.trouble:
                paces = {flooded: self._pace(flooded) for flooded in self._draw.sample((False, True), 2)}
                if self._processes.children and all(paces.values()):
                    self.ratios.append(paces[False] / paces[True])
                    calm, wild = (f"{paces[flooded]:.2f}" for flooded in (False, True))
                    console.print(
                        f"epochs a second: {calm} without interruption, {wild} under the flood: {self.ratios[-1]:.2f}"
                    )
            if any(self._processes.ended.get(name) != 0 for name in NAMES):
                self.trouble = self.trouble or f"the run failed: {self._processes.ended}"
        finally:
            self._processes.stop()

    def _pace(self, flooded: bool) -> float:
        """Epochs a second, with or without the flood."""
        log = self._place / "flood.log"
        child = _flood(self._port, self._draw.getrandbits(32), log) if flooded else 0
        try:
            self._wait(SETTLE)
            before, began = self._epochs(), time.monotonic()
            self._wait(STRETCH)
            return (self._epochs() - before) / (time.monotonic() - began)
        finally:
            if child:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                self.made += int(log.read_text() or 0)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._until(lambda: time.monotonic() >= until)

    def _until(self, what: Callable[[], bool]) -> None:
        """Wait for this, or for the end of the run."""
        for _ in watching(MOST_SECONDS, 0.05):
            self._processes.look()
            if what() or not self._processes.children:
                return
        self.trouble = "the run did not go on"

    def _epochs(self) -> int:
        """How many epochs the label party has trained, by its log."""
        log = self._place / "clinic-log.jsonl"
        records = [json.loads(line) for line in log.read_bytes().splitlines()] if log.exists() else []
        return max((one.get("done", 0) for one in records if one.get("stage") == "training"), default=0)


def _flood(port: int, seed: int, log: Path) -> int:
    """Begin the flood in a process of its own; it writes down how many connections it has made."""
    child = os.fork()
    if child:
        return child
    draw, held, made = random.Random(seed), deque[socket.socket](), 0
    while True:
        began = time.monotonic()
        for _ in range(RENEWED if len(held) >= HELD else 5 * RENEWED):
            held.append(_stranger(port, draw))
            made += 1
            if len(held) > HELD:
                held.popleft().close()
        for plain in draw.sample(list(held), min(len(held), 20)):
            with contextlib.suppress(OSError):
                plain.send(b"\x16")
        log.write_text(str(made), encoding="utf-8")
        time.sleep(max(0.0, began + 1.0 - time.monotonic()))


def _stranger(port: int, draw: random.Random) -> socket.socket:
    plain = socket.socket()
    plain.setblocking(False)
    with contextlib.suppress(OSError):
        plain.connect_ex(("127.0.0.1", port))
    words = draw.choice((b"", CLIENT_HELLO, CLIENT_HELLO[:3], draw.randbytes(200), b"GET / HTTP/1.1\r\n\r\n"))
    with contextlib.suppress(OSError):
        plain.send(words)
    return plain
