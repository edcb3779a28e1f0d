"""Test AUC of the ready examples, joint and alone, over several seeds; each run is a real launch of all parties.

    python benchmarks/accuracy.py [--example thyroid|credit|credit3] [--aggregate NAME ...] [--seeds 5] [--json FILE]

For seed s the job's split and training seeds and all parties' private seeds are s. Figures: mean test AUC of the joint
model and of the label party alone, each seed's, and the median seconds of an epoch. `--aggregate` selects other aggregations
than the example's own; for these, the mean and the largest difference of AUC from that of the first, seed by seed, and the
median ratio of their seconds are printed. All runs of one seed use the common order that the first of them drew, so that they
have the same records in training and test. Each call draws a new order, which alone changes a mean of five seeds by some
thousandths.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Column, Table

ROOT = Path(__file__).parent.parent
EXAMPLES = ("thyroid", "credit", "credit3")


@dataclass(frozen=True, slots=True)
class Run:
    """Test AUC of the joint model and of the label party alone, and the median seconds of an epoch."""

    joint: float
    alone: float
    seconds: float


def prepare(example: str, aggregate: str | None, seed: int, folder: Path, order: Path) -> str:
    """Write the example's configs for one seed into `folder`; returns the label party's name.

    `order` is where the secret of the common order stands, if an earlier run has drawn one.
    """
    source = ROOT / "configs" / example
    job: dict[str, Any] = yaml.safe_load((source / "job.yaml").read_text(encoding="utf-8"))
    job["address"] = "127.0.0.1:0"
    job["split"]["seed"] = job["train"]["seed"] = seed
    job["model"]["aggregate"] = aggregate or job["model"]["aggregate"]
    label: str = next(name for name, party in job["parties"].items() if party["role"] == "label")
    write(folder / "job.yaml", job)
    for name in job["parties"]:
        own: dict[str, Any] = yaml.safe_load((source / f"{name}.yaml").read_text(encoding="utf-8"))
        own |= {"seed": seed, "output": name}
        own["data"]["source"] = str((source / own["data"]["source"]).resolve())
        if name == label and order.exists():
            own["order"] = str(order)
        write(folder / f"{name}.yaml", own)
    return label


def write(file: Path, content: dict[str, Any]) -> None:
    """Write a config file."""
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def measure(example: str, aggregate: str | None, seed: int, order: Path) -> Run:
    """One launch. It uses the common order whose secret is in the file `order`, or writes the secret of its own there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        label = prepare(example, aggregate, seed, folder, order)
        command = [sys.executable, "-m", "parties", "launch", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        shutil.copyfile(folder / label / "order.secret", order)
        test = json.loads((folder / label / "metrics.json").read_text(encoding="utf-8"))["test"]
        run = json.loads((folder / label / "run.json").read_text(encoding="utf-8"))
        seconds = statistics.median(epoch["seconds"] for epoch in run["training"]["epochs"])
        return Run(test["joint"]["auc"]["value"], test["alone"]["auc"]["value"], seconds)


def compared(example: str, aggregates: Sequence[str | None], seeds: int) -> dict[str, list[Run]]:
    """The runs of each aggregation, one for each seed, by the name of its figures.

    Aggregations take turns, so that what else the machine does slows all of them alike.
    """
    runs: dict[str, list[Run]] = {f"{example}_{one}" if one else example: [] for one in aggregates}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as name:
            for aggregate, found in zip(aggregates, runs.values(), strict=True):
                found.append(measure(example, aggregate, seed, Path(name) / "order.secret"))
    return runs


def figures_of(runs: dict[str, list[Run]]) -> dict[str, float]:
    """Means, and for all but the first aggregation the difference from the first, seed by seed."""
    figures: dict[str, float] = {}
    first = next(iter(runs.values()))
    for name, found in runs.items():
        figures[f"{name}_joint_auc"] = statistics.mean(run.joint for run in found)
        figures[f"{name}_alone_auc"] = statistics.mean(run.alone for run in found)
        figures[f"{name}_epoch_seconds"] = statistics.mean(run.seconds for run in found)
        if found is not first:
            pairs = list(zip(found, first, strict=True))
            figures[f"{name}_difference"] = statistics.mean(run.joint - other.joint for run, other in pairs)
            figures[f"{name}_largest_difference"] = max(abs(run.joint - other.joint) for run, other in pairs)
            figures[f"{name}_time_ratio"] = statistics.median(run.seconds / other.seconds for run, other in pairs)
    return figures


def row_of(name: str, runs: list[Run], figures: dict[str, float]) -> list[str]:
    """A row of the table."""
    beside = [""] * 2
    if f"{name}_difference" in figures:
        mean, most = figures[f"{name}_difference"], figures[f"{name}_largest_difference"]
        beside = [f"{mean:+.4f} (at most {most:.4f})", f"{figures[f'{name}_time_ratio']:.2f}"]
    means = [f"{figures[f'{name}_{what}']:.4f}" for what in ("joint_auc", "alone_auc")]
    seconds, each = f"{figures[f'{name}_epoch_seconds']:.2f}", ", ".join(f"{run.joint:.4f}" for run in runs)
    return [name, *means, beside[0], seconds, beside[1], each]


def main() -> int:
    """Measure, print a table, and write the figures where --json says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--example", choices=EXAMPLES)
    parser.add_argument(
        "--aggregate", nargs="+", default=[None], help="the example's own if absent; all are compared with the first"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    table = Table(
        Column("example", no_wrap=True),
        "joint AUC, mean",
        "alone, mean",
        "beside the first",
        "s an epoch",
        "ratio",
        "joint, each seed",
    )
    for example in [arguments.example] if arguments.example else EXAMPLES:
        runs = compared(example, arguments.aggregate, arguments.seeds)
        figures |= figures_of(runs)
        for name, found in runs.items():
            table.add_row(*row_of(name, found, figures))
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
