"""Fault tests of whole runs: killed parties, cut networks, mutated messages, and floods of unknown connections.

    python benchmarks/faults.py [--only kills|cuts|weather|mutations|flood] [--bare] [--runs 100] [--seed 0] [--json FILE]

Every part has its own module in faults_parts, and its own figures; see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

# Python puts this folder first, where a file psi.py would hide the package psi. The folder above goes before it.
sys.path.insert(0, str(Path(__file__).parent.parent))

from rich.console import Console
from rich.table import Table

from benchmarks.faults_parts.bare import measure_bare
from benchmarks.faults_parts.cuts import measure_cuts
from benchmarks.faults_parts.flood import measure_flood
from benchmarks.faults_parts.kills import measure_kills
from benchmarks.faults_parts.mutations import measure_mutations
from benchmarks.faults_parts.weather import measure_weather

Figures = dict[str, int | float]
Part = Callable[[int, random.Random, Console], Figures]

# Each takes the number of its runs, what it draws from, and where it tells how far it is.
PARTS: dict[str, Part] = {
    "kills": measure_kills,
    "cuts": measure_cuts,
    "weather": measure_weather,
    "mutations": measure_mutations,
    "flood": measure_flood,
}


def main() -> int:
    """Run the selected parts; returns 1 if anything was lost, hung, or ended in an unhandled exception."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", action="append", choices=sorted(PARTS), help="a part; may be given several times")
    arguments.add_argument("--bare", action="store_true", help="as the flood: bare connections, 4,000 a second")
    arguments.add_argument("--runs", type=int, default=100, help="runs of each part")
    arguments.add_argument("--seed", type=int, default=0, help="of what is done when and to whom")
    arguments.add_argument("--json", type=Path, help="a file for the figures; - for standard output")
    given = arguments.parse_args()
    signal.signal(signal.SIGTERM, _end)
    console = Console(stderr=True)
    figures: Figures = {}
    parts = PARTS | ({"flood": measure_bare} if given.bare else {})
    for name in given.only or PARTS:
        found = parts[name](given.runs, random.Random(f"{name} {given.seed}"), console)
        found["hangs"] += figures.get("hangs", 0)
        figures |= found
    table = Table("figure", "value")
    for key, value in figures.items():
        table.add_row(key, f"{value:,}")
    console.print(table)
    if given.json is not None:
        text = json.dumps(figures)
        print(text) if str(given.json) == "-" else given.json.write_text(text + "\n", encoding="utf-8")
    equal = all(figures[key] == figures[key.removesuffix("_equal")] for key in figures if key.endswith("_equal"))
    equal &= figures.get("bare_in") == figures.get("bare_runs")
    return 0 if equal and not figures.get("hangs") and not figures.get("unnamed_errors") else 1


def _end(number: int, _frame: object) -> None:
    """Terminated by a signal: end what the parts have started, and remove their folders."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
