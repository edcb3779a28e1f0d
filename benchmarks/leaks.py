"""What a semi-honest side can reconstruct, in real runs of the ready examples.

    python benchmarks/leaks.py [--only SCENE ...] [--runs 3] [--json FILE]

All parties of an example align and train in this process, over the in-memory network and with the roles of a real run.
The messages that the label party and the feature parties receive are stored, and each side's attack gets what that side has;
see benchmarks/README.md for the figures. Each run draws new initial weights and a new common order.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

# Python puts this folder first, where a file psi.py would hide the package psi. The folder above goes before it.
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.leaks_parts.attacks import (
    inversion_error,
    of_the_gradients,
    rank_correlation,
    read_labels,
    read_scores,
    trees,
)
from benchmarks.leaks_parts.watched_run import ROOT, Floats, WatchedRun, play

KNOWN = (200, 1000)
Figures = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Scene:
    """A ready example, with an aggregation and a width; None: the example's own."""

    example: str
    aggregate: str | None = None
    embedding: int | None = None


SCENES = {
    "thyroid": Scene("thyroid"),
    "thyroid_one_number": Scene("thyroid", embedding=1),
    "credit": Scene("credit"),
    "credit3_sum": Scene("credit3", "sum"),
    "credit3_masked_sum": Scene("credit3", "masked_sum"),
    "credit3_paillier_sum": Scene("credit3", "paillier_sum"),
}
TITLES = {
    "labels_first_epoch": "labels read, first epoch",
    "labels_all_epochs": "all epochs",
    "score_rank": "score, Spearman",
    **{f"inversion_{known}_known": f"inversion, {known:,} known" for known in KNOWN},
    "others_without_gradients": "other feature party, 1,000 known, without gradients",
    "others_with_gradients": "with them",
}


def figures_of(run: WatchedRun, random: np.random.Generator) -> Figures:
    """Every attack on one run; a figure has one value for each side that was attacked in this way."""
    figures: Figures = defaultdict(list)
    batches, labels, rows = run.batches(), run.labels, len(run.rows)
    starts = np.cumsum([0, *map(len, batches)])
    epochs = [run.steps[start:end] for start, end in itertools.pairwise(starts)]
    feature_parties = list(run.steps[0].gradients)
    sent: dict[str, list[list[Floats]]] = {
        party: [[step.gradients[party] for step in epoch] for epoch in epochs] for party in feature_parties
    }

    def by_record(arrays: list[list[Floats]]) -> Floats:
        """What was received for each record in each epoch, [rows, epochs, width]."""
        found = np.zeros((rows, len(arrays), arrays[0][0].shape[1]), np.float32)
        for number, (epoch, cut) in enumerate(zip(arrays, batches, strict=True)):
            for values, batch in zip(epoch, cut, strict=True):
                found[batch, number] = values
        return found

    for party in feature_parties:
        first, read = read_labels(sent[party], batches, labels, random)
        figures["labels_first_epoch"].append(float(np.mean(first == labels)))
        figures["labels_all_epochs"].append(float(np.mean(read == labels)))
        figures["score_rank"].append(rank_correlation(read_scores(sent[party], batches, read), run.scores()))
        if len(feature_parties) > 1:
            own = run.columns(party)
            others = np.hstack([run.columns(other) for other in feature_parties if other != party])
            seen = np.hstack([own, of_the_gradients(by_record(sent[party]), read)])
            figures["others_without_gradients"].append(inversion_error(own, others, 1000, random, trees))
            figures["others_with_gradients"].append(inversion_error(seen, others, 1000, random, trees))
    for name in run.steps[0].embeddings:
        shown = by_record([[step.embeddings[name] for step in epoch] for epoch in epochs]).reshape(rows, -1)
        seen = np.hstack([shown, run.columns(run.label_party)])
        for party in feature_parties if name == "sum" else [name]:
            for known in KNOWN:
                error = inversion_error(seen, run.columns(party), known, random)
                figures[f"inversion_{known}_known"].append(error)
    return figures


def measure(scene: Scene, runs: int, random: np.random.Generator) -> Figures:
    """All values of all runs."""
    figures: Figures = defaultdict(list)
    for _ in range(runs):
        run = play(ROOT / "configs" / scene.example, scene.aggregate, scene.embedding)
        for name, values in figures_of(run, random).items():
            figures[name] += values
    return figures


def main() -> int:
    """Measure, print a table, and write the figures where --json says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--runs", type=int, default=3, help="runs of each scene")
    parser.add_argument("--json", type=Path, help="a file for the figures; - for standard output")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table, random = Table("scene", *TITLES.values()), np.random.default_rng(0)
    told: dict[str, float] = {}
    for name in arguments.only:
        figures = measure(SCENES[name], arguments.runs, random)
        cells = {key: f"{min(values):.3f} to {max(values):.3f}" for key, values in figures.items()}
        table.add_row(name, *(cells.get(key, "") for key in TITLES))
        for key, values in figures.items():
            told |= {f"{name}_{key}_least": min(values), f"{name}_{key}_most": max(values)}
    Console(stderr=True, width=150).print(table)
    if arguments.json:
        text = json.dumps(told, indent=1) + "\n"
        sys.stdout.write(text) if str(arguments.json) == "-" else arguments.json.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
