"""Alignment from ids in memory to row numbers at every party, compared with other PSI libraries that pip installs.

    python benchmarks/psi.py --size 100000 [--parties 2] [--rounds 3] [--peers [NAME ...]] [--json [FILE]]

Every party is a process of this machine; all of them share two cores. Party by party, half of the ids are in common.
The time is measured from a common start signal to the end of the last party. It includes normalising the ids, and excludes
importing, connecting and compiling the kernels. `over_arithmetic` divides it by the time of the scalar multiplications alone:
parties^2 x size of them, at the rate of both cores, measured just before and just after. The contenders alternate, a figure is
the median over the rounds (for memory, the maximum), and a ratio is taken within a round. README.md in this folder describes
how the peers are run and what each figure counts.

Exits with 1 where a match was missed or was wrong. Runs on Linux only, since memory and bytes are read from /proc and TCP_INFO.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Run as a script, this file's own folder would come first, and `psi` would be this file.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from benchmarks.psi_peers.conductor import Failure, Measurement, measure
from benchmarks.psi_peers.environments import CACHE, PEERS, Peer, interpreter
from benchmarks.psi_peers.people import expected

CORES = 2
OURS = "vsplit"
PROMISE = "semi-honest; Diffie-Hellman on Curve25519, inside mutual TLS"


@dataclass(slots=True)
class Results:
    """What was measured so far, by contender."""

    ours: list[Measurement] = field(default_factory=list)
    of_two: list[Measurement] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    peers: dict[str, list[Measurement]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[str, str] = field(default_factory=dict)


def main() -> int:
    """Measure, print a table, and write the figures where --json says."""
    arguments = _arguments()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    console = Console(stderr=arguments.json == "-", width=None if sys.stdout.isatty() else 160)
    peers = [peer for peer in PEERS if arguments.peers == [] or peer.name in (arguments.peers or [])]
    results = Results()
    try:
        pythons = _installed(peers, arguments.environments, results, console)
        for number in range(arguments.rounds):
            console.print(f"Round {number + 1} of {arguments.rounds}")
            _round(arguments, [peer for peer in peers if peer.name not in results.failed], pythons, results)
    except Failure as failure:
        console.print(f"vsplit could not be measured: {failure}")
        return 1
    figures = _figures(arguments, peers, results)
    console.print(_table(figures, peers))
    if arguments.json:
        text = json.dumps(figures, indent=1) + "\n"
        sys.stdout.write(text) if arguments.json == "-" else Path(arguments.json).write_text(text, encoding="utf-8")
    return 0 if figures["matches"] == figures["expected"] and all(one.right for one in results.ours) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [peer.name for peer in PEERS]
    parser.add_argument("--size", type=int, default=100_000, help="ids of each party")
    parser.add_argument("--parties", type=int, default=2, help="peers are compared with two parties alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="*", metavar="NAME", choices=names, help=f"all, or some of {', '.join(names)}")
    parser.add_argument("--environments", type=Path, default=CACHE, help=f"where the peers are installed ({CACHE})")
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds after which a run is given up")
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help="write the figures to FILE, or print them")
    arguments = parser.parse_args()
    if arguments.size < 2 or arguments.parties < 2 or arguments.rounds < 1:
        parser.error("--size and --parties are 2 or more, --rounds is 1 or more")
    return arguments


def _installed(peers: list[Peer], folder: Path, results: Results, console: Console) -> dict[str, Path]:
    """The interpreter for each requirement; a peer that cannot be installed is recorded as failed."""
    pythons: dict[str, Path] = {}
    for requirement in dict.fromkeys(peer.requirement for peer in peers):
        console.print(f"Environment for {requirement}")
        try:
            pythons[requirement] = interpreter(requirement, folder)
        except Failure as failure:
            results.failed.update((peer.name, str(failure)) for peer in peers if peer.requirement == requirement)
    return pythons


def _round(arguments: argparse.Namespace, peers: list[Peer], pythons: dict[str, Path], results: Results) -> None:
    own = Path(sys.executable)
    size, limit = arguments.size, arguments.limit
    before = _rate(own, limit)
    results.ours.append(measure(own, "vsplit", parties=arguments.parties, size=size, limit=limit))
    results.per_second.append((before + _rate(own, limit)) / 2)
    if arguments.parties > 2:
        results.of_two.append(measure(own, "vsplit", parties=2, size=size, limit=limit))
    for peer in peers:
        python = pythons[peer.requirement]
        try:
            found = measure(python, peer.module, parties=2, size=size, option=peer.option, limit=limit)
        except Failure as failure:
            results.failed[peer.name] = str(failure)
        else:
            results.peers[peer.name].append(found)


def _rate(python: Path, limit: float) -> float:
    """Scalar multiplications a second of one process on each core, both at once."""
    cores = measure(python, "arithmetic", parties=CORES, size=1, limit=limit)
    return float(sum(report["per_second"] for report in cores.reports))


def _figures(arguments: argparse.Namespace, peers: list[Peer], results: Results) -> dict[str, Any]:
    ours, size = results.ours, arguments.size
    work = arguments.parties**2 * size
    figures: dict[str, Any] = _medians(ours, size)
    figures["over_arithmetic"] = statistics.median(
        one.seconds / (work / rate) for one, rate in zip(ours, results.per_second, strict=True)
    )
    figures["multiplications_per_s"] = statistics.median(results.per_second)
    figures["warm_up_s"] = statistics.median(max(report["warm_up_s"] for report in one.reports) for one in ours)
    if results.of_two:
        figures["two_parties"] = _medians(results.of_two, size)
        figures["over_two_parties"] = statistics.median(
            one.seconds / two.seconds for one, two in zip(ours, results.of_two, strict=True)
        )
    same = results.of_two or ours
    for peer in peers:
        if peer.name in results.failed:
            figures[peer.name] = {"failed": results.failed[peer.name]}
            continue
        measured = results.peers[peer.name]
        times = statistics.median(one.seconds / two.seconds for one, two in zip(measured, same, strict=True))
        figures[peer.name] = {**_medians(measured, size), "times_vsplit": times, "learns": peer.learns}
    context = {"size": size, "parties": arguments.parties, "rounds": arguments.rounds, "cpu": _cpu()}
    return {**figures, **context}


def _medians(measured: list[Measurement], size: int) -> dict[str, Any]:
    worst = min(measured, key=lambda one: (one.right, -abs(one.matches - expected(size))))
    return {
        "seconds": statistics.median(one.seconds for one in measured),
        "bytes_per_record": statistics.median(one.bytes_per_record for one in measured),
        "peak_mb": max(one.peak_mb for one in measured),
        "start_mb": max(one.start_mb for one in measured),
        "matches": worst.matches,
        "expected": expected(size),
        "right": worst.right,
    }


def _table(figures: dict[str, Any], peers: list[Peer]) -> Table:
    title = f"{figures['parties']} parties of {figures['size']:,} ids on {CORES} cores of {figures['cpu']}"
    table = Table("contender", "s", "x vsplit", "bytes/id", "peak MB", "matches", "who learns", "promise", title=title)
    table.add_row(*_cells(OURS, figures), "all", PROMISE)
    if "two_parties" in figures:
        table.add_row(*_cells(f"{OURS}, two parties", figures["two_parties"]), "both", PROMISE)
    for peer in peers:
        found = figures[peer.name]
        if "failed" in found:
            table.add_row(peer.name, "-", "-", "-", "-", "-", peer.learns, f"not measured: {found['failed']}")
        else:
            table.add_row(*_cells(peer.name, found), peer.learns, peer.promise)
    caption = [f"over its own arithmetic: {figures['over_arithmetic']:.2f}"]
    if "over_two_parties" in figures:
        caption.append(f"over two parties: {figures['over_two_parties']:.2f}")
    table.caption = "; ".join(caption)
    return table


def _cells(name: str, found: dict[str, Any]) -> list[str]:
    times = f"{found['times_vsplit']:.2f}" if "times_vsplit" in found else "-"
    right = "" if found["right"] and found["matches"] == found["expected"] else f" of {found['expected']:,}: WRONG"
    return [
        name,
        f"{found['seconds']:.2f}",
        times,
        f"{found['bytes_per_record']:.0f}",
        f"{found['peak_mb']:,.0f}",
        f"{found['matches']:,}{right}",
    ]


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
