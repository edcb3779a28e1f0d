"""How good the ready examples become: joint and alone, over several seeds, each a real launch with two processes.

    python benchmarks/accuracy.py [--example thyroid|credit|credit3] [--aggregate NAME ...] [--seeds 5] [--json FILE]

For seed s the job's split and training seeds and all parties' private seeds are s. Figures: mean test AUC of the joint
model and of the label party alone, each seed's, and the median seconds of an epoch. `--aggregate` takes other aggregations
than the example's own, one after another. The common order, and so who is in the test, is drawn afresh in every run: two
means of five seeds differ by some thousandths for that alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
EXAMPLES = ("thyroid", "credit", "credit3")


def prepare(example: str, aggregate: str | None, seed: int, folder: Path) -> str:
    """Write the example's configs for one seed into `folder`; returns the label party's name."""
    source = ROOT / "configs" / example
    label = ""
    for file in source.glob("*.yaml"):
        content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        if "parties" in content:
            content["address"] = "127.0.0.1:0"
            content["split"]["seed"] = content["train"]["seed"] = seed
            content["model"]["aggregate"] = aggregate or content["model"]["aggregate"]
            label = next(name for name, party in content["parties"].items() if party["role"] == "label")
        else:
            content["seed"] = seed
            content["data"]["source"] = str((source / content["data"]["source"]).resolve())
            content["output"] = content["party"]
        (folder / file.name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return label


def measure(example: str, aggregate: str | None, seed: int) -> tuple[float, float, float]:
    """Test AUC of the joint model and of the label party alone, and the median seconds of an epoch."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        label = prepare(example, aggregate, seed, folder)
        command = [sys.executable, "-m", "parties", "launch", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        test = json.loads((folder / label / "metrics.json").read_text(encoding="utf-8"))["test"]
        run = json.loads((folder / label / "run.json").read_text(encoding="utf-8"))
        seconds = statistics.median(epoch["seconds"] for epoch in run["training"]["epochs"])
        return test["joint"]["auc"]["value"], test["alone"]["auc"]["value"], seconds


def main() -> int:
    """Measure, print a table, and write the figures where --json says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--example", choices=EXAMPLES)
    parser.add_argument("--aggregate", nargs="+", default=[None], help="aggregations in the place of the example's own")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    table = Table("example", "joint AUC, mean", "alone, mean", "s an epoch", "joint, each seed")
    examples = [arguments.example] if arguments.example else EXAMPLES
    for example, aggregate in itertools.product(examples, arguments.aggregate):
        found = [measure(example, aggregate, seed) for seed in range(arguments.seeds)]
        joint, alone, seconds = (statistics.mean(column) for column in zip(*found, strict=True))
        name = f"{example}_{aggregate}" if aggregate else example
        figures |= {f"{name}_joint_auc": joint, f"{name}_alone_auc": alone, f"{name}_epoch_seconds": seconds}
        each = ", ".join(f"{one[0]:.4f}" for one in found)
        table.add_row(name, f"{joint:.4f}", f"{alone:.4f}", f"{seconds:.2f}", each)
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
