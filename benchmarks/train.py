"""Split training over mutual TLS, compared with the same network trained in one process on pooled data.

    python benchmarks/train.py [--rounds 3] [--json FILE]

100,000 rows with 20 + 20 features; bottoms 20-64-32, top 64-32-1; the same fused Adam on both sides; one thread per
process; the two parties are processes of this machine, linked by TLS 1.3 on loopback. Each records every message in its ledger
before it is sent, and every 1,000 steps both store their states and sign each other's ledgers, which is the default of a job.
Pooled training, joint training, and joint training without records and checkpoints alternate. A round's ratio is to the mean
of the pooled training before it and the one after it, and each figure is the median over the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

# Python puts this folder first, where a file psi.py would hide the package psi. The folder above goes before it.
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from rich.console import Console
from rich.table import Table
from torch import nn

from parties.checkpoints.folder import CheckpointFolder
from parties.checkpoints.origin import Origin
from parties.checkpoints.schedule import CheckpointSchedule
from parties.checkpoints.snapshots import RunTimeline, store_step
from parties.ledger.heads import exchange_heads_feature, exchange_heads_label
from parties.ledger.ledger import Ledger
from parties.ledger.opening import About
from parties.local.allocator import keep_freed_memory
from parties.network.driver import drive
from parties.network.identity import PrivateIdentity, PublicIdentity
from parties.network.peer_connections import PartyListener, dial
from parties.network.route import Address
from parties.network.tls import TlsTransport
from parties.network.worker_pool import Pool
from vsplit.aggregation.plain import join
from vsplit.learn.batches import Split, epoch_batches
from vsplit.learn.feature import FeatureState, feature_role
from vsplit.learn.label import LabelSide, LabelState, label_role, never
from vsplit.learn.models import InputShape, Store, build_bottom, build_top, tabular
from vsplit.learn.plan import Plan
from vsplit.learn.training import build_optimizer, make_target
from vsplit.protocol import Checkpoint, Note, Role

ROWS = 100_000
FEATURES = 20
NAMES = ("clinic", "lab")
HELD_OUT = 2  # rows each for validation and test: the least that a split may have, since training is measured
WAIT = 60.0
STEPS = 1000  # between two checkpoints, as in a job that says nothing else


def data(name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """One party's features, float32 [ROWS, 20]."""
    return np.random.default_rng([7, NAMES.index(name)]).standard_normal((ROWS, FEATURES)).astype(np.float32)


def labels() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Labels 0/1 that depend on both parties' features."""
    signal = data("clinic")[:, :3].sum(1) + data("lab")[:, :3].sum(1)
    return (signal > 0).astype(np.float32)


def agreed(batch: int, epochs: int) -> tuple[Plan, Split]:
    """The plan and the split of one measurement."""
    plan = Plan(
        task="binary", contributors=NAMES, width=32, top_hidden=(32,), epochs=epochs, batch_size=batch, lr=0.001
    )
    order = np.random.default_rng(0).permutation(ROWS)
    return plan, Split(order[: -2 * HELD_OUT], order[-2 * HELD_OUT : -HELD_OUT], order[-HELD_OUT:])


def bottom(plan: Plan) -> nn.Module:
    """A bottom 20-64-32."""
    return build_bottom(tabular([64]), InputShape(FEATURES), plan.width)


def pooled(batch: int, epochs: int) -> float:
    """Samples a second of the pooled network, over `epochs` epochs after one to warm up."""
    plan, split = agreed(batch, epochs)
    torch.manual_seed(0)
    bottoms = [bottom(plan) for _ in NAMES]
    top = build_top(plan, 1)
    modules = nn.ModuleList([*bottoms, top])
    optimizer = build_optimizer(plan, modules.parameters())
    stores = [Store(data(name)) for name in NAMES]
    target = make_target(plan, labels(), split.train)
    start = time.perf_counter()
    for epoch in range(epochs + 1):
        if epoch == 1:
            start = time.perf_counter()
        for rows in epoch_batches(split.train, batch, plan.seed, epoch):
            joined = join("concat", [one(store.take(rows)) for one, store in zip(bottoms, stores, strict=True)])
            loss = target.loss(top(joined), target.of(rows))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return epochs * len(split.train) / (time.perf_counter() - start)


@dataclass(frozen=True, slots=True)
class Keeping:
    """One party's ledger and checkpoints, and the link over which it trains."""

    name: str
    transport: TlsTransport
    ledger: Ledger
    kept: CheckpointFolder

    def drive(self, role: Role[Any], note: Callable[[Note], None]) -> None:
        """Run a role to its end, with every message recorded."""
        drive(role, self.transport, Pool(), ledger=self.ledger, note=note, checkpoint=self._keep)

    def _keep(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.state
        if isinstance(state, FeatureState | LabelState):
            store_step(self.kept, bytes(16), state, RunTimeline(""))
        self.ledger.sync()
        signer = self.ledger.signer
        if self.name == "clinic":
            role = exchange_heads_label(signer, {"lab": self.ledger.state_with("lab")}, ["lab"])
            heads = drive(role, self.transport, Pool(), ledger=self.ledger)
        else:
            own = exchange_heads_feature(signer, self.ledger.state_with("clinic"), "clinic")
            heads = {"clinic": drive(own, self.transport, Pool(), ledger=self.ledger)}
        self.ledger.append_heads(heads)


@contextmanager
def keeping(name: str, own: PrivateIdentity, other: PublicIdentity, transport: TlsTransport) -> Iterator[Keeping]:
    """In a temporary folder: a ledger with a session and a key for its digests, and a folder for checkpoints."""
    peer = next(one for one in NAMES if one != name)
    identities = {name: own.public.line, peer: other.line}
    about = About(name, "label" if name == "clinic" else "feature", "benchmark", bytes(32), identities, own.sign)
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(dir=".")))
        kept = held.enter_context(CheckpointFolder(folder, Origin("0", name, {}, {}, {})))
        ledger = held.enter_context(Ledger.open(kept.folder / "ledger", about))
        ledger.begin_session(transport.session)
        ledger.set_key(peer, bytes(32))
        yield Keeping(name, transport, ledger, kept)
        ledger.end_session("finished")


def train(
    role: Role[Any],
    transport: TlsTransport,
    keep: Callable[[], contextlib.AbstractContextManager[Keeping]] | None,
    note: Callable[[Note], None] = lambda _note: None,
) -> None:
    """One party's training, which stores all that a run stores, or nothing."""
    if keep is None:
        drive(role, transport, Pool(), note=note)
    else:
        with keep() as home:
            home.drive(role, note)
    transport.finish()


def lab(identity: PrivateIdentity, clinic: Any, port: int, batch: int, epochs: int, kept: bool) -> None:
    """The feature party's process."""
    plan, split = agreed(batch, epochs)
    torch.manual_seed(1)
    model = bottom(plan)
    state = FeatureState(model, build_optimizer(plan, model.parameters()))
    store = Store(data("lab"))
    transport = dial(
        identity, "clinic", clinic, Address("127.0.0.1", port), wait=WAIT, waiting=lambda _names, _left: None
    )
    home = (lambda: keeping("lab", identity, clinic, transport)) if kept else None
    train(feature_role("clinic", state, store, split, plan), transport, home)


def clinic(pipe: Connection, batch: int, epochs: int, kept: bool) -> None:
    """The label party's process: sends its port, then samples a second over `epochs` epochs after one to warm up."""
    keep_freed_memory()
    mine, theirs = PrivateIdentity.generate(), PrivateIdentity.generate()
    listener = PartyListener(mine, Address("127.0.0.1", 0), {"lab": theirs.public}, WAIT)
    plan, split = agreed(batch, epochs + 1)
    torch.manual_seed(0)
    own = bottom(plan)
    top = build_top(plan, 1)
    state = LabelState(own, top, build_optimizer(plan, [*own.parameters(), *top.parameters()]))
    side = LabelSide("clinic", Store(data("clinic")), make_target(plan, labels(), split.train))
    key = theirs.private_key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    pipe.send((listener.port, mine.public, key))
    transport = listener.gather(lambda _names, _left: None)
    ends: list[float] = []
    role = label_role(["lab"], state, side, split, plan, due=CheckpointSchedule(STEPS, None) if kept else never)
    home = (lambda: keeping("clinic", mine, theirs.public, transport)) if kept else None
    train(role, transport, home, lambda _note: ends.append(time.perf_counter()))
    pipe.send(epochs * len(split.train) / (ends[-1] - ends[0]))


def start_lab(key: bytes, public: Any, port: int, batch: int, epochs: int, kept: bool) -> None:
    """Entry point of the feature party's process."""
    keep_freed_memory()
    torch.set_num_threads(1)
    lab(PrivateIdentity(Ed25519PrivateKey.from_private_bytes(key)), public, port, batch, epochs + 1, kept)


def joint(batch: int, epochs: int, kept: bool) -> float:
    """Samples a second of the two parties."""
    context = get_context("spawn")
    here, there = context.Pipe()
    one = context.Process(target=clinic, args=(there, batch, epochs, kept))
    one.start()
    port, public, key = here.recv()
    two = context.Process(target=start_lab, args=(key, public, port, batch, epochs, kept))
    two.start()
    rate: float = here.recv()
    for process in (one, two):
        process.join(WAIT)
    return rate


def main() -> int:
    """Measure, print a table, and write the figures where --json says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # for the pooled training as for the parties
    figures: dict[str, float] = {}
    table = Table(
        "batch", "pooled, samples/s", "joint, samples/s", "ratio", "its rounds", "keeping nothing", "its rounds"
    )
    for batch, epochs in ((256, 3), (2048, 20)):  # more than STEPS steps
        alone, kept, bare = [pooled(batch, epochs)], [], []
        for _ in range(arguments.rounds):
            kept.append(joint(batch, epochs, kept=True))
            bare.append(joint(batch, epochs, kept=False))
            alone.append(pooled(batch, epochs))
        around = [statistics.mean(pair) for pair in itertools.pairwise(alone)]
        ratios = [[a / b for a, b in zip(rates, around, strict=True)] for rates in (kept, bare)]
        medians = [statistics.median(each) for each in ratios]
        figures[f"ratio_{batch}"], figures[f"ratio_keeping_nothing_{batch}"] = medians
        figures[f"samples_per_s_{batch}"] = statistics.median(kept)
        figures[f"pooled_samples_per_s_{batch}"] = statistics.median(alone)
        told = [", ".join(f"{ratio:.2f}" for ratio in each) for each in ratios]
        rates = [f"{statistics.median(each):,.0f}" for each in (alone, kept)]
        table.add_row(str(batch), *rates, f"{medians[0]:.2f}", told[0], f"{medians[1]:.2f}", told[1])
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
