"""An encrypted sum of two embeddings: `vsplit.paillier` compared with phe, and with sf-heu where --peers is given.

    python benchmarks/secure_sum.py [--rounds 3] [--peers] [--json [FILE]]

Two feature parties have 256 x 32 float32 values each. The whole path is timed, on two cores, under keys of 2048 and 3072
bits: quantise, pack, make the noise, encrypt both, add, decrypt, decode. Keys, tables and the compilation of kernels are
excluded, since a training needs them once. The contenders alternate, a figure is the median over the rounds, and a ratio is
taken within a round. README.md in this folder describes how the peers are run.

Exits with 1 where a sum that vsplit decoded differs by more than the bound that vsplit/paillier/SPEC.md derives.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Run as a script, this file's own folder would come first, and `psi` would be a file of it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from benchmarks.curve import cpu_name
from benchmarks.psi_peers.conductor import Failure
from benchmarks.psi_peers.environments import CACHE, interpreter
from benchmarks.secure_sum_peers import by_hand, phe, vsplit
from benchmarks.secure_sum_peers.child import Child, started
from benchmarks.secure_sum_peers.embeddings import COUNT, REACH, ROWS, WIDTH, Measured, embeddings
from parties.network.worker_pool import Pool
from vsplit.kernels import engine

CORES = 2
LENGTHS = (2048, 3072)
SF_HEU = "sf-heu==0.5.2b0"
SCHEMES = ("ZPaillier", "OU")
KINDS = ("", "own_packing", "by_hand")
BOUND = vsplit.FIXED.error_bound / REACH
OURS = "vsplit"

NOTES = {
    OURS: "Paillier; short exponents on a fixed base",
    "phe": "Paillier; in one process, value by value",
    "phe_two_processes": "the same, spread by hand over two processes",
    "phe_by_hand": "Paillier; in one process, packed by hand",
    "phe_by_hand_two_processes": "the same, spread by hand over two processes",
    "sf_heu_zpaillier": "Paillier; value by value",
    "sf_heu_zpaillier_own_packing": "Paillier; two values a ciphertext",
    "sf_heu_zpaillier_by_hand": "Paillier; packed by hand",
    "sf_heu_ou": "Okamoto-Uchiyama, n = p^2 q; value by value",
    "sf_heu_ou_own_packing": "Okamoto-Uchiyama; two values a ciphertext",
    "sf_heu_ou_by_hand": "Okamoto-Uchiyama; packed by hand",
}


@dataclass(slots=True)
class Results:
    """What was measured so far, by contender and length of key: one entry a round."""

    found: dict[tuple[str, int], list[Measured]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Bench:
    """What is prepared before the first round."""

    keys: dict[int, vsplit.Key]
    threads: Pool
    processes: Pool
    children: dict[tuple[str, int], Child]


def main() -> int:
    """Measure, print a table, and write the figures where --json says."""
    arguments = _arguments()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    console = Console(stderr=arguments.json == "-", width=None if sys.stdout.isatty() else 160)
    results = Results()
    with ExitStack() as stack:
        bench = _ready(arguments, results, stack, console)
        for number in range(arguments.rounds):
            console.print(f"Round {number + 1} of {arguments.rounds}")
            for bits in LENGTHS:
                _round(bench, bits, number + 1, results)
        figures = _figures(arguments.rounds, bench, results)
    console.print(_table(figures))
    if arguments.json:
        text = json.dumps(figures, indent=1) + "\n"
        sys.stdout.write(text) if arguments.json == "-" else Path(arguments.json).write_text(text, encoding="utf-8")
    return 0 if figures["max_error"] <= BOUND else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", action="store_true", help=f"also {SF_HEU}, in an environment of its own")
    parser.add_argument("--environments", type=Path, default=CACHE, help=f"where it is installed ({CACHE})")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds after which a peer is given up")
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help="write the figures to FILE, or print them")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds is 1 or more")
    return arguments


def _ready(arguments: argparse.Namespace, results: Results, stack: ExitStack, console: Console) -> Bench:
    """Keys, tables and processes; every path of vsplit is run once before it is timed."""
    console.print("Keys and tables")
    children = _children(arguments, results, stack, console) if arguments.peers else {}
    threads = stack.enter_context(Pool(CORES))
    processes = stack.enter_context(Pool(CORES, threads=lambda: False))
    bench = Bench({bits: vsplit.Key(bits) for bits in LENGTHS}, threads, processes, children)
    for key in bench.keys.values():
        key.path(threads, *embeddings(0))
    phe.value_by_value(bench.keys[LENGTHS[0]].private, processes, *embeddings(0))
    return bench


def _children(
    arguments: argparse.Namespace, results: Results, stack: ExitStack, console: Console
) -> dict[tuple[str, int], Child]:
    """A process for each cipher and length of key; one that is unavailable is recorded as failed."""
    try:
        python = interpreter(SF_HEU, arguments.environments)
    except Failure as failure:
        results.failed.update((name, str(failure)) for name in NOTES if name.startswith("sf_heu"))
        return {}
    children = {}
    for scheme in SCHEMES:
        for bits in LENGTHS:
            console.print(f"sf-heu {scheme} with {bits} bits")
            child = stack.enter_context(started(python, [scheme, str(bits)], CORES, arguments.limit))
            try:
                child.ready()
            except Failure as failure:
                _note_failure(scheme, failure, results)
            else:
                children[scheme, bits] = child
    return children


def _round(bench: Bench, bits: int, seed: int, results: Results) -> None:
    """All paths with one length of key; that of vsplit before and after all others, of which the mean counts."""
    values, key, alone = embeddings(seed), bench.keys[bits], Pool(1)
    slots = (bits - 2) // by_hand.SLOT  # phe keeps a third of the numbers below n for overflow
    by_phe: dict[str, Callable[[], Measured]] = {
        "phe": lambda: phe.value_by_value(key.private, alone, *values),
        "phe_two_processes": lambda: phe.value_by_value(key.private, bench.processes, *values),
        "phe_by_hand": lambda: phe.packed_by_hand(key.private, alone, slots, *values),
        "phe_by_hand_two_processes": lambda: phe.packed_by_hand(key.private, bench.processes, slots, *values),
    }
    before = key.path(bench.threads, *values)
    for name, measure in by_phe.items():
        results.found[name, bits].append(measure())
    for scheme in SCHEMES:
        if (scheme, bits) in bench.children and _name(scheme) not in results.failed:
            try:
                answer = bench.children[scheme, bits].ask(str(seed))
            except Failure as failure:
                _note_failure(scheme, failure, results)
            else:
                for kind in KINDS:
                    results.found[_name(scheme, kind), bits].append(Measured(**answer[kind]))
    after = key.path(bench.threads, *values)
    both = (before.seconds + after.seconds) / 2
    results.found[OURS, bits].append(Measured(both, COUNT, max(before.error, after.error)))


def _name(scheme: str, kind: str = "") -> str:
    return "_".join(part for part in ("sf_heu", scheme.lower(), kind) if part)


def _note_failure(scheme: str, failure: Failure, results: Results) -> None:
    results.failed.update((_name(scheme, kind), str(failure)) for kind in KINDS)


def _figures(rounds: int, bench: Bench, results: Results) -> dict[str, Any]:
    figures: dict[str, Any] = _rates(OURS, results)
    for bits in LENGTHS:
        figures[f"speedup_vs_phe_{bits}"] = _ratio("phe", bits, results)
        figures[f"steps_{bits}"] = bench.keys[bits].steps
        figures[f"warm_up_{bits}"] = {"key_s": bench.keys[bits].key_s, "table_s": bench.keys[bits].table_s}
    figures["error_bound"] = BOUND
    names = dict.fromkeys(name for name in NOTES if (name, LENGTHS[0]) in results.found or name in results.failed)
    for name in names:
        if name in results.failed:
            figures[name] = {"failed": results.failed[name]}
        elif name != OURS:
            times = {f"times_vsplit_{bits}": _ratio(name, bits, results) for bits in LENGTHS}
            figures[name] = {**_rates(name, results), **times}
    context = {"values": COUNT, "rounds": rounds, "cores": CORES, "kernels": engine.choice().kind, "cpu": cpu_name()}
    return {**figures, **context}


def _rates(name: str, results: Results) -> dict[str, Any]:
    """Medians of sums a second by length of key, how many a path had, and the worst error of all rounds."""
    measured = {bits: results.found[name, bits] for bits in LENGTHS}
    rates = {f"values_per_s_{bits}": statistics.median(one.per_s for one in measured[bits]) for bits in LENGTHS}
    sizes = {f"values_of_a_path_{bits}": measured[bits][0].values for bits in LENGTHS}
    return {**rates, **sizes, "max_error": max(one.error for bits in LENGTHS for one in measured[bits])}


def _ratio(name: str, bits: int, results: Results) -> float:
    """The rate of vsplit divided by that of `name`: the median over rounds of the ratio within a round."""
    pairs = zip(results.found[OURS, bits], results.found[name, bits], strict=True)
    return statistics.median(ours.per_s / theirs.per_s for ours, theirs in pairs)


def _table(figures: dict[str, Any]) -> Table:
    title = f"Sums of {ROWS} x {WIDTH} values of two parties, {CORES} cores of {figures['cpu']}"
    table = Table("contender", title=title)
    for bits in LENGTHS:
        table.add_column(f"values/s, {bits}", justify="right")
        table.add_column("vsplit is", justify="right")
    table.add_column("error / range", justify="right")
    table.add_column("how")
    for name, note in NOTES.items():
        found = figures if name == OURS else figures.get(name)
        if found is None:
            continue
        if "failed" in found:
            table.add_row(name, "-", "-", "-", "-", "-", f"not measured: {found['failed']}")
            continue
        cells = []
        for bits in LENGTHS:
            times = found.get(f"times_vsplit_{bits}")
            ratio = "" if times is None else f"{times:,.0f} x" if times >= 100 else f"{times:.3g} x"
            cells += [f"{found[f'values_per_s_{bits}']:,.0f}", ratio]
        wrong = " WRONG" if found["max_error"] > BOUND else ""
        table.add_row(name, *cells, f"{found['max_error']:.1e}{wrong}", note)
    warm_up = ", ".join(f"{bits} bits: {figures[f'warm_up_{bits}']['table_s']:.1f} s" for bits in LENGTHS)
    table.caption = f"kernels: {figures['kernels']}; before the clock vsplit makes the table of its noise, {warm_up}"
    return table


if __name__ == "__main__":
    sys.exit(main())
