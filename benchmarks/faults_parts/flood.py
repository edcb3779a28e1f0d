"""A flood of connections without an identity during a run: how much later it ends than in peace.

1,000 connections are held open, and 50 a second are given up and made anew: some say nothing, some send a few bytes of a
handshake and stop, some send garbage, some drip. Runs with and without the flood take turns; each pair has the same data and
a training that is long enough to be measured.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import statistics
import tempfile
import time
from collections import deque
from pathlib import Path

import yaml
from rich.console import Console

from benchmarks.faults_parts.kills import Run, follow
from benchmarks.faults_parts.lives import make_folder, warm_up

HELD, RENEWED = 1_000, 50
"""Connections that are open at any time, and how many of them are made anew in a second."""

EPOCHS = 400
CLIENT_HELLO = bytes.fromhex("160301020001000" + "1fc0303") + bytes(16)


def measure_flood(runs: int, draw: random.Random, console: Console) -> dict[str, int | float]:
    """The median of the ratios of neighbouring runs, one flooded and one not; a hundredth of the runs, at least three."""
    warm_up()
    ratios, hangs, made = [], 0, 0
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        for number in range(max(3, runs // 20)):
            seconds = []
            for flooded in draw.sample((False, True), 2):
                place = _long_job(make_folder(Path(folder) / f"{number}-{flooded}", "concat"))
                port = int(yaml.safe_load((place / "job.yaml").read_text())["address"].rpartition(":")[2])
                child = _flood(port, draw.getrandbits(32), place / "flood.log") if flooded else 0
                try:
                    run = follow(Run(place, float("inf"), ()))
                finally:
                    if child:
                        os.kill(child, signal.SIGKILL)
                        os.waitpid(child, 0)
                        made += int((place / "flood.log").read_text() or 0)
                hangs += bool(run.trouble)
                for sentence in run.faults:
                    console.print(sentence, markup=False)
                seconds.append((flooded, run.seconds))
            calm, wild = (took for _, took in sorted(seconds))
            ratios.append(wild / calm)
            console.print(f"pair {number + 1}: {calm:.1f} s in peace, {wild:.1f} s under the flood: {ratios[-1]:.2f}")
    return {
        "flood_ratio": round(statistics.median(ratios), 3),
        "flood_ratio_most": round(max(ratios), 3),
        "flood_pairs": len(ratios),
        "flood_connections": made,
        "hangs": hangs,
    }


def _long_job(folder: Path) -> Path:
    job = yaml.safe_load((folder / "job.yaml").read_text())
    job["train"] |= {"epochs": EPOCHS, "checkpoint": {"steps": None, "seconds": 30}}
    job["train"].pop("early_stopping")
    (folder / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False))
    return folder


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
        log.write_text(str(made))
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
