"""Runs over a bad network: a proxy before the label party's port cuts, resets, holds, delays and throttles, again and again.

No party is started a second time, and each run ends as one with the same alignment that was not interrupted, bit for bit.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import yaml
from rich.console import Console

from benchmarks.faults_parts.kills import DID_NOT_END, Run, ended_as_uninterrupted, follow
from benchmarks.faults_parts.processes import AGGREGATES, NAMES, make_folder, warm_up
from parties.network import link
from tests.parties.network.proxy import Proxy

SILENT = 1.0
"""Seconds without a sign of life after which a link is dead in these runs: much less than usual, so that more happens."""

WAIT = 30.0
LONGEST_PAUSE = 0.8
"""Seconds between two events at the most."""


def measure_cuts(runs: int, draw: random.Random, console: Console) -> dict[str, int | float]:
    """So many runs over a bad network; `cuts_equal` of them end with what an uninterrupted run ends with."""
    warm_up()
    link.SILENT = SILENT
    equal, hangs, events = 0, 0, Counter[str]()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        for number in range(runs):
            aggregate = list(AGGREGATES)[number % len(AGGREGATES)]
            place = make_folder(Path(folder) / f"{number}", aggregate)
            weather = Weather(place, draw.getrandbits(32))
            try:
                run = follow(Run(place, float("inf"), ()))
            finally:
                seen = weather.end()
            events += seen
            what = f"{number + 1:4}/{runs} {aggregate:13} {run.seconds:6.1f} s, {seen.total():3} events"
            equal += ended_as_uninterrupted(run, what, console)
            hangs += run.trouble == DID_NOT_END
    console.print(", ".join(f"{what}: {count}" for what, count in sorted(events.items())))
    return {"cuts": runs, "cuts_equal": equal, "hangs": hangs, "events": events.total()}


class Weather:
    """A proxy in a process of its own, between the label party of `folder` and the others, and what it does to them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._log = folder / "weather.log"
        self._log.touch()
        port, told = self._move_label_party(folder), os.pipe()
        self._child = os.fork()
        if self._child == 0:
            self._blow(port, seed, told[1])
        with os.fdopen(told[0], "rb") as pipe:
            os.close(told[1])
            proxy = int.from_bytes(pipe.read(4), "big")
        self._job, self._fair = folder / "job.yaml", port
        self._set_address(proxy)

    def end(self) -> Counter[str]:
        """Fair weather, and no proxy any more; what happened."""
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
        self._set_address(self._fair)
        return Counter(line.split()[1] for line in self._log.read_text().splitlines())

    def _set_address(self, port: int) -> None:
        job = yaml.safe_load(self._job.read_text()) | {"address": f"127.0.0.1:{port}"}
        self._job.write_text(yaml.safe_dump(job, sort_keys=False))

    def _move_label_party(self, folder: Path) -> int:
        """The port that the job named, at which the label party listens from now on."""
        address = yaml.safe_load((folder / "job.yaml").read_text())["address"]
        for name in NAMES:
            file = folder / f"{name}.yaml"
            settings = yaml.safe_load(file.read_text()) | {"first_wait": WAIT, "wait": WAIT}
            if name == NAMES[0]:
                settings["listen"] = address
            file.write_text(yaml.safe_dump(settings, sort_keys=False))
        return int(address.rpartition(":")[2])

    def _blow(self, port: int, seed: int, told: int) -> None:
        draw, proxy = random.Random(seed), Proxy(port)
        os.write(told, proxy.port.to_bytes(4, "big"))
        os.close(told)
        while True:
            time.sleep(draw.uniform(0.0, LONGEST_PAUSE))
            what = draw.choice(("cut", "reset", "hold", "delay", "throttle", "shut"))
            with self._log.open("a") as log:
                log.write(f"{datetime.now(UTC):%H:%M:%S.%f} {what}\n")
            if what in ("cut", "reset"):
                proxy.cut(reset=what == "reset")
            elif what == "hold":
                proxy.hold()
                time.sleep(draw.uniform(0.0, 1.5 * SILENT))
                proxy.cut()
            elif what == "delay":
                proxy.delay = draw.uniform(0.0, 0.01)
            elif what == "throttle":
                proxy.rate = draw.choice((0, 200_000, 2_000_000))
            else:
                proxy.shut()
                proxy.cut()
                time.sleep(draw.uniform(0.0, 1.0))
                proxy.shut(False)
            if draw.random() < 0.5:
                proxy.delay, proxy.rate = 0.0, 0
