"""A small federation of three real processes that can be killed, begun again and compared.

A life is a fork of this process, which has loaded everything already: it gives the command `vsplit run`, as a person would, and
begins within milliseconds. A life that is killed is really killed: SIGKILL, without a word.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from parties.checkpoints.checksummed_file import DamagedError, read_checksummed
from parties.checkpoints.folder_lock import UNFINISHED
from parties.command.cli import app
from parties.ledger.compare import compare
from parties.ledger.exchange import IN_RUN_FOLDER
from parties.ledger.verify import examine
from parties.network.identity import PrivateIdentity
from parties.network.peer_connections import free_port
from parties.run import results
from parties.run.party_run import run_party
from vsplit.kernels import engine

NAMES = ("clinic", "lab", "gym")
PEOPLE = 240
KNOWN = {"clinic": range(200), "lab": range(20, 240), "gym": range(40, 240)}
COLUMNS = {"clinic": ["person", "age", "sex", "outcome"], "lab": ["person", "tsh", "t3"], "gym": ["person", "weight"]}
AGGREGATES: dict[str, dict[str, Any]] = {
    "concat": {},
    "sum": {},
    "masked_sum": {"secure_sum": {"range": 2.0, "bits": 16}},
    "paillier_sum": {"secure_sum": {"range": 2.0, "bits": 16, "key_bits": 2048}},
}
WAIT = 3.0


def warm_up() -> None:
    """Load and compile once what every life needs, and draw no plots: they are most of a small life."""
    torch.set_num_threads(1)
    engine.choice()
    weight = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.Adam([weight], fused=True)  # the first one of a process loads half of torch
    weight.sum().backward()
    optimizer.step()
    results.render_report = lambda content: f"<html>{content.job}</html>"
    if not callable(run_party):
        raise TypeError("a life can be lived")


def make_folder(folder: Path, aggregate: str) -> Path:
    """The files of three parties: a clinic with labels, a lab and a gym."""
    draw = np.random.default_rng(5)
    people = pd.DataFrame({name: draw.normal(size=PEOPLE) for name in ("age", "tsh", "t3", "weight")})
    people["sex"] = draw.choice(["f", "m"], PEOPLE)
    risk = 2 * people.tsh + people.age + people.weight + 0.3 * draw.normal(size=PEOPLE)
    people["outcome"] = np.where(risk > 0, "sick", "healthy")
    people.insert(0, "person", [f"KEY{number:04d}" for number in range(PEOPLE)])
    keys = {name: PrivateIdentity.generate() for name in NAMES}
    (folder / "keys").mkdir(parents=True)
    job = {
        "job": "faults",
        "task": "binary",
        "address": f"127.0.0.1:{free_port('127.0.0.1')}",
        "parties": {
            name: {"role": "feature" if number else "label", "identity": keys[name].public.line}
            for number, name in enumerate(NAMES)
        },
        "align": {"key": ["person"]},
        "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
        "model": {"embedding": 4, "aggregate": aggregate, "top": {"hidden": [8]}} | AGGREGATES[aggregate],
        "train": {
            "epochs": 25, "batch_size": 16, "optimizer": "adam", "lr": 0.01, "early_stopping": {"patience": 25},
            "checkpoint": {"steps": 7, "seconds": 0.2},
        },
    }  # fmt: skip
    (folder / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False))
    for name in NAMES:
        keys[name].save(folder / f"keys/{name}.key")
        people.iloc[KNOWN[name]][COLUMNS[name]].to_csv(folder / f"{name}.csv", index=False)
        data = {"source": f"{name}.csv"} | ({"label": "outcome", "positive": "sick"} if name == "clinic" else {})
        file = {
            "job": "job.yaml", "party": name, "identity": f"keys/{name}.key", "data": data, "bottom": {"hidden": [8]},
            "accept": {"tasks": ["binary"], "aggregations": [aggregate], "max_embedding": 4},
            "first_wait": WAIT, "wait": WAIT, "output": f"runs/{name}", "log": {"level": "info"},
        }  # fmt: skip
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(file, sort_keys=False))
    return folder


class Lives:
    """The lives of all parties of a folder. `ended` has the exit code of those that are over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: dict[str, int] = {}
        self.ended: dict[str, int] = {}
        self.starts = dict.fromkeys(NAMES, 0)

    def start(self, name: str) -> None:
        """Give the command `vsplit run` for this party."""
        self.ended.pop(name, None)
        self.starts[name] += 1
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            _live(self.folder, name, self.starts[name])
        self.children[name] = child

    def kill(self, name: str) -> None:
        """End this party's process without a word."""
        if name in self.children:
            os.kill(self.children[name], signal.SIGKILL)
            os.waitpid(self.children.pop(name), 0)
            self.ended[name] = -signal.SIGKILL

    def look(self) -> None:
        """See who has ended since."""
        for name, child in list(self.children.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                del self.children[name]
                self.ended[name] = os.waitstatus_to_exitcode(status)

    def stop(self) -> None:
        """End whoever still lives."""
        for name in list(self.children):
            self.kill(name)

    def log(self, name: str) -> str:
        """What this party has said since it was last started."""
        return _log(self.folder, name, self.starts[name]).read_text(errors="replace")


def keep_logs(folder: Path) -> Path:
    """Copy what every start of every party has said to where it outlives this program; returns that folder."""
    kept = Path(tempfile.mkdtemp(prefix=f"faults-logs-{folder.name}-"))
    for file in folder.glob("*.log"):
        shutil.copy(file, kept)
    return kept


def _log(folder: Path, name: str, start: int) -> Path:
    return folder / f"{name}-{start}.log"


def _live(folder: Path, name: str, start: int) -> None:
    """In a fresh child: live, and never come back."""
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        code = give_command(folder, name, start)
    finally:
        os._exit(code)


def give_command(folder: Path, name: str, start: int) -> int:
    """`vsplit run` in this process, with all that it says in a file; its exit code."""
    log = os.open(_log(folder, name, start), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    try:
        app(["run", str(folder / f"{name}.yaml"), "--debug"], prog_name="vsplit")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Exception:  # a party that ends without a sentence
        traceback.print_exc()
        return 1
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
    return 0


def alignments(folder: Path) -> tuple[str, dict[str, Path]] | None:
    """The name of the run whose alignment all parties have, and each one's file of it."""
    files = {name: folder / "runs" / name / UNFINISHED / "alignment" for name in NAMES}
    try:
        runs = {read_checksummed(file).head.run for file in files.values()}
    except (OSError, DamagedError):
        return None
    return (runs.pop(), files) if len(runs) == 1 else None


def copy_alignments(files: dict[str, Path], into: Path) -> bool:
    """Put the parties' alignments where a run in peace can begin with them; whether they were all still there."""
    shutil.rmtree(into, ignore_errors=True)
    try:
        for name, file in files.items():
            target = into / name / UNFINISHED
            target.mkdir(parents=True)
            shutil.copy(file, target / "alignment")
    except FileNotFoundError:
        return False
    return True


def run_in_peace(folder: Path, peace: Path, begin: Callable[[Path], Lives] = Lives) -> tuple[dict[str, Any], float]:
    """The outcome of the same run from the alignments in `peace`, without any fault; and the seconds that it took."""
    other = folder.with_name(f"{folder.name}-peace")
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("runs", "*.log"))
    shutil.copytree(peace, other / "runs")
    lives = begin(other)
    try:
        for name in NAMES:
            lives.start(name)
        seconds = 0.0
        for passed in watching(60.0):
            seconds = passed
            lives.look()
            if not lives.children:
                break
        if any(lives.ended.get(name) != 0 for name in NAMES):
            raise RuntimeError(f"a run in peace failed: {lives.ended}\n{lives.log(NAMES[0])}")
        return outcome(other), seconds
    finally:
        lives.stop()


def outcome(folder: Path) -> dict[str, Any]:
    """All that training decides: weights, predictions, scores, losses."""
    found: dict[str, Any] = {}
    for name in NAMES:
        run = folder / "runs" / name
        found |= {f"{name}/{file.name}": file.read_bytes() for file in run.glob("*.safetensors")}
        training = json.loads((run / "run.json").read_text())["training"]
        found[f"{name}/losses"] = [(one["train_loss"], one["validation_loss"]) for one in training["epochs"]]
        found[f"{name}/kept"] = training["kept"], training["secure_sum"]
    found["predictions"] = (folder / "runs" / "clinic" / "predictions.parquet").read_bytes()
    return found


def ledgers_disagree(folder: Path) -> list[str]:
    """Where the ledger of a party is broken, or that of the label party tells another story than that of another one."""
    ledgers = [examine(folder / "runs" / name / IN_RUN_FOLDER) for name in NAMES]
    found = [f"{ledger.path}, {fault.sentence}" for ledger in ledgers for fault in ledger.faults]
    return found + [fault for other in ledgers[1:] for fault in compare(ledgers[0], other).faults]


def watching(seconds: float, pause: float = 0.004) -> Iterator[float]:
    """The seconds passed, every few milliseconds, until so many are over."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        yield passed
        time.sleep(pause)
