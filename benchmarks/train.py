"""Split training over mutual TLS beside the same network trained in one process on pooled data.

    python benchmarks/train.py [--rounds 3] [--without-ledger] [--json FILE]

100,000 rows with 20 + 20 features; bottoms 20-64-32, top 64-32-1; the same fused Adam on both sides; one thread per
process; the two parties are processes of this machine, linked by TLS 1.3 on loopback, and each has every message on record
in its ledger before it leaves. Pooled and joint training take turns, and each figure is the median over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from parties.driver import drive
from parties.identity import PrivateIdentity, PublicIdentity
from parties.ledger.ledger import Ledger
from parties.ledger.opening import About
from parties.network.sockets import Address, Listener, dial
from parties.pool import Pool
from vsplit.learn.aggregation import join
from vsplit.learn.batches import Split, epoch_batches
from vsplit.learn.feature import FeatureState, feature_role
from vsplit.learn.label import LabelSide, LabelState, label_role
from vsplit.learn.models import InputShape, Store, build_bottom, build_top, tabular
from vsplit.learn.plan import Plan
from vsplit.learn.training import build_optimizer, make_target

ROWS = 100_000
FEATURES = 20
NAMES = ("clinic", "lab")
HELD_OUT = 2  # rows each for validation and test: the least that a split may have, since training is measured
WAIT = 60.0
WITHOUT_LEDGER = "VSPLIT_BENCHMARK_WITHOUT_LEDGER"  # in the environment, which the parties' processes inherit


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
            loss = target.loss(top(joined), torch.from_numpy(rows))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return epochs * len(split.train) / (time.perf_counter() - start)


@contextmanager
def recording(name: str, own: PrivateIdentity, other: PublicIdentity, session: bytes) -> Iterator[Ledger | None]:
    """A ledger in a folder that goes afterwards, with a session and a key for its digests; None without ledgers."""
    if WITHOUT_LEDGER in os.environ:
        yield None
        return
    peer = next(one for one in NAMES if one != name)
    identities = {name: own.public.line, peer: other.line}
    about = About(name, "label" if name == "clinic" else "feature", "benchmark", bytes(32), identities, own.sign)
    with tempfile.TemporaryDirectory(dir=".") as folder, Ledger.open(Path(folder) / "ledger", about) as ledger:
        ledger.begin_session(session)
        ledger.set_key(peer, bytes(32))
        yield ledger
        ledger.end_session("finished")


def lab(identity: PrivateIdentity, clinic: Any, port: int, batch: int, epochs: int) -> None:
    """The feature party's process."""
    plan, split = agreed(batch, epochs)
    torch.manual_seed(1)
    model = bottom(plan)
    state = FeatureState(model, build_optimizer(plan, model.parameters()))
    store = Store(data("lab"))
    transport = dial(
        identity, "clinic", clinic, Address("127.0.0.1", port), wait=WAIT, waiting=lambda _names, _left: None
    )
    with recording("lab", identity, clinic, transport.session) as ledger:
        drive(feature_role("clinic", state, store, split, plan), transport, Pool(), ledger=ledger)
        transport.finish()


def clinic(pipe: Connection, batch: int, epochs: int) -> None:
    """The label party's process: sends its port, then samples a second over `epochs` epochs after one to warm up."""
    mine, theirs = PrivateIdentity.generate(), PrivateIdentity.generate()
    listener = Listener(mine, Address("127.0.0.1", 0), {"lab": theirs.public}, WAIT)
    plan, split = agreed(batch, epochs + 1)
    torch.manual_seed(0)
    own = bottom(plan)
    top = build_top(plan, 1)
    state = LabelState(own, top, build_optimizer(plan, [*own.parameters(), *top.parameters()]))
    side = LabelSide("clinic", Store(data("clinic")), make_target(plan, labels(), split.train))
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = theirs.private_key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    pipe.send((listener.port, mine.public, key))
    transport = listener.gather(lambda _names, _left: None)
    ends: list[float] = []
    with recording("clinic", mine, theirs.public, transport.session) as ledger:
        drive(
            label_role(["lab"], state, side, split, plan),
            transport,
            Pool(),
            ledger=ledger,
            note=lambda _: ends.append(time.perf_counter()),
        )
        transport.finish()
    pipe.send(epochs * len(split.train) / (ends[-1] - ends[0]))


def start_lab(key: bytes, public: Any, port: int, batch: int, epochs: int) -> None:
    """Entry point of the feature party's process."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    torch.set_num_threads(1)
    lab(PrivateIdentity(Ed25519PrivateKey.from_private_bytes(key)), public, port, batch, epochs + 1)


def joint(batch: int, epochs: int) -> float:
    """Samples a second of the two parties."""
    context = get_context("spawn")
    here, there = context.Pipe()
    one = context.Process(target=clinic, args=(there, batch, epochs))
    one.start()
    port, public, key = here.recv()
    two = context.Process(target=start_lab, args=(key, public, port, batch, epochs))
    two.start()
    rate: float = here.recv()
    for process in (one, two):
        process.join(WAIT)
    return rate


def main() -> int:
    """Measure, print a table, and write the figures where --json says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-ledger", action="store_true", help="keep no record, to see what it costs")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.without_ledger:
        os.environ[WITHOUT_LEDGER] = "1"
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    table = Table("batch", "pooled, samples/s", "joint, samples/s", "ratio", "ratios of the rounds")
    for batch, epochs in ((256, 3), (2048, 8)):
        rates = [(pooled(batch, epochs), joint(batch, epochs)) for _ in range(arguments.rounds)]
        alone, together = (statistics.median(column) for column in zip(*rates, strict=True))
        ratios = [b / a for a, b in rates]
        figures[f"ratio_{batch}"] = statistics.median(ratios)
        figures[f"samples_per_s_{batch}"] = together
        figures[f"pooled_samples_per_s_{batch}"] = alone
        table.add_row(
            str(batch),
            f"{alone:,.0f}",
            f"{together:,.0f}",
            f"{figures[f'ratio_{batch}']:.2f}",
            ", ".join(f"{ratio:.2f}" for ratio in ratios),
        )
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
