"""Runs between network namespaces, with the weather that the kernel itself makes there: `tc netem`, and a plug that is pulled.

The label party is in one namespace and the other two are in another. Where the kernel has no netem, all of it happens in a
kernel of its own, Debian's user-mode-linux, if the machine has that; otherwise no run is counted, and why is said.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import yaml
from rich.console import Console

from benchmarks.faults_parts.crew import Crew
from benchmarks.faults_parts.kills import DID_NOT_END, Run, ended_as_uninterrupted, follow
from benchmarks.faults_parts.processes import AGGREGATES, NAMES, make_folder, warm_up
from parties.network import link
from tests.parties.network.namespaces import HERE, Wire, why_no_netem
from tests.parties.network.usermode import run_inside, why_no_kernel

SILENT = 1.0
"""Seconds without a sign of life after which a link is dead in these runs: much less than usual, so that more happens."""

WAIT = 60.0
FOLDER = Path(__file__).parents[2]
MAPS = Path("/proc/sys/vm/max_map_count")
ENOUGH_MAPS = 1 << 20
SECONDS_A_RUN = 240.0


def measure_weather(runs: int, draw: random.Random, console: Console) -> dict[str, int | float]:
    """So many runs in bad weather; `weather_equal` of them end with what an uninterrupted run ends with."""
    why = why_no_netem()
    if not why:
        return _measure(runs, draw, console)
    if why := f"{why}; {no_kernel}" if (no_kernel := why_no_kernel()) else _why_too_few_maps():
        console.print(f"No weather: {why}.", markup=False)
        return {"weather": 0, "weather_equal": 0, "hangs": 0, "weather_changes": 0}
    console.print("This kernel has no netem, so these runs are in a user-mode-linux.")
    return _measure_inside(runs, draw.getrandbits(32), console)


def _why_too_few_maps() -> str:
    if int(MAPS.read_text(encoding="utf-8")) >= ENOUGH_MAPS:
        return ""
    return f"a user-mode-linux with such processes needs `sysctl vm.max_map_count={ENOUGH_MAPS}` on this machine"


def _measure_inside(runs: int, seed: int, console: Console) -> dict[str, int | float]:
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        figures = Path(folder) / "figures"
        words = [sys.executable, "benchmarks/faults.py", "--only", "weather", "--runs", str(runs), "--seed", str(seed)]
        environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(FOLDER), "HOME": os.environ.get("HOME", "/")}

        def tell(line: str) -> None:
            console.print(f"inside: {line}", markup=False, highlight=False)

        run_inside([*words, "--json", str(figures)], SECONDS_A_RUN * (runs + 1), "8G", environment, tell)
        found: dict[str, int | float] = json.loads(figures.read_text())
    return found


def _measure(runs: int, draw: random.Random, console: Console) -> dict[str, int | float]:
    warm_up()
    link.SILENT = SILENT
    equal, hangs, changes = 0, 0, Counter[str]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        wire = Wire()
        wire.open()
        stack.callback(wire.close)
        crew = Crew(lambda name: wire.enter(wire.here if name == NAMES[0] else wire.there))
        stack.callback(crew.dismiss)
        for number in range(runs):
            aggregate = list(AGGREGATES)[number % len(AGGREGATES)]
            place = _make_folder(folder / f"{number}", aggregate)
            weather = Weather(wire, place / "weather.log", draw.getrandbits(32))
            try:
                run = follow(Run(place, float("inf"), (), crew.processes))
            finally:
                seen = weather.end()
            changes += seen
            what = f"{number + 1:4}/{runs} {aggregate:13} {run.seconds:6.1f} s, {seen.total():3} changes"
            equal += ended_as_uninterrupted(run, what, console)
            hangs += run.trouble == DID_NOT_END
    console.print(", ".join(f"{what}: {count}" for what, count in sorted(changes.items())))
    return {"weather": runs, "weather_equal": equal, "hangs": hangs, "weather_changes": changes.total()}


def _make_folder(folder: Path, aggregate: str) -> Path:
    """The files of three parties, the first of which listens in its namespace."""
    make_folder(folder, aggregate)
    job = yaml.safe_load((folder / "job.yaml").read_text())
    job["address"] = f"{HERE}:{job['address'].rpartition(':')[2]}"
    (folder / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False))
    for name in NAMES:
        file = folder / f"{name}.yaml"
        file.write_text(
            yaml.safe_dump(yaml.safe_load(file.read_text()) | {"first_wait": WAIT, "wait": WAIT}, sort_keys=False)
        )
    return folder


class Weather:
    """A process that changes the weather on a wire every second or so, until it is told to end.

    It is a small one that imports little, since a large one begins `tc` slowly where a kernel is slow.
    """

    def __init__(self, wire: Wire, log: Path, seed: int) -> None:
        self._log = log
        self._log.touch()
        words = [sys.executable, "-m", "tests.parties.network.weather", wire.here, wire.there, str(log), str(seed)]
        self._child = subprocess.Popen(words, stdin=subprocess.PIPE, cwd=FOLDER)

    def end(self) -> Counter[str]:
        """Fair weather again; what there was. RuntimeError where it could not be made."""
        self._child.communicate()
        if self._child.returncode:
            raise RuntimeError("the weather could not be changed any more")
        return Counter(line.split()[0] for line in self._log.read_text().splitlines())
