"""Scalar multiplication on Curve25519: the kernels compared with the exchange loop of `cryptography`, on one core.

    python benchmarks/curve.py [--random 1000000] [--rounds 7] [--json [FILE]]

Every kind of kernel that this CPU can run alternates with the loop, and each figure is the median over the rounds. Then
the chosen kernels are compared with `cryptography` on random scalars and points, and with the published vectors in
tests/vectors. The command ends with 1 if any product differs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from rich.console import Console
from rich.table import Table

from vsplit.kernels import compiled, engine, portable
from vsplit.protocol import Bytes

VECTORS = Path(__file__).parent.parent / "tests" / "vectors"
PIECE = 4096  # points of one call, as in an alignment
LOOP = 8192  # exchanges of one round
A_ROUND = 32_768  # products of one round by the kernels
LOW_ORDER = bytes(32)


def exchange_loop(scalar: bytes, points: list[bytes]) -> list[bytes]:
    """The plain Python loop: one exchange after another, zero where `cryptography` refuses."""
    secret = X25519PrivateKey.from_private_bytes(scalar)
    out = []
    for point in points:
        try:
            out.append(secret.exchange(X25519PublicKey.from_public_bytes(point)))
        except ValueError:
            out.append(LOW_ORDER)
    return out


def random_points(count: int) -> Bytes:
    """`count` random numbers of 256 bits, uint8 [count, 32]."""
    return np.frombuffer(os.urandom(32 * count), dtype=np.uint8).reshape(-1, 32)


def per_second(work: Callable[[], object], records: int) -> float:
    """Records in a second of this process's CPU time."""
    start = time.perf_counter()
    work()
    return records / (time.perf_counter() - start)


def rates(kinds: list[engine.Kind], rounds: int) -> dict[str, list[float]]:
    """Products a second by each kind and by the loop, round by round."""
    built = {kind: engine.build(kind) for kind in kinds if kind != "portable"}
    scalar, points = os.urandom(32), random_points(A_ROUND)
    pieces = [points[first : first + PIECE] for first in range(0, A_ROUND, PIECE)]
    raw = [row.tobytes() for row in points[:LOOP]]
    found: dict[str, list[float]] = {"cryptography": [], **{kind: [] for kind in built}}
    for _ in range(rounds):
        found["cryptography"].append(per_second(lambda: exchange_loop(scalar, raw), LOOP))
        for kind, kernels in built.items():
            found[kind].append(
                per_second(lambda k=kernels: [compiled.multiply(k, scalar, one) for one in pieces], A_ROUND)  # type: ignore[misc]
            )
    return found


def hashes_per_second(kernels: engine.Kernels) -> float:
    """Keys hashed to the curve in a second, on one core."""
    keys = [f"member-{number:012}".encode() for number in range(PIECE)]
    data = np.frombuffer(b"".join(keys), dtype=np.uint8)
    ends = np.arange(len(keys) + 1, dtype=np.int64) * len(keys[0])
    return statistics.median(
        per_second(lambda: compiled.encode_to_curve(kernels, data, ends, b"benchmark"), PIECE) for _ in range(5)
    )


def mismatches(kernels: engine.Kernels | None, random: int) -> int:
    """Products that differ from `cryptography`'s on `random` random inputs, 1,000 scalars, and from the published vectors."""

    def multiply(scalar: bytes, points: Bytes) -> Bytes:
        return portable.multiply(scalar, points) if kernels is None else compiled.multiply(kernels, scalar, points)

    wrong = done = 0
    while done < random:
        count = min(max(1, random // 1000), random - done)
        scalar, points = os.urandom(32), random_points(count)
        expected = b"".join(exchange_loop(scalar, [row.tobytes() for row in points]))
        wrong += int((multiply(scalar, points) != as_points(expected)).any(axis=1).sum())
        done += count
    for group in json.loads((VECTORS / "wycheproof_x25519.json").read_text())["testGroups"]:
        for case in group["tests"]:
            point = as_points(bytes.fromhex(case["public"]))
            wrong += multiply(bytes.fromhex(case["private"]), point).tobytes().hex() != case["shared"]
    return wrong + wrong_hashes(kernels)


def wrong_hashes(kernels: engine.Kernels | None) -> int:
    """How many vectors of RFC 9380 the hash to the curve does not reproduce."""
    data = json.loads((VECTORS / "curve25519_XMD_SHA-512_ELL2_NU_.json").read_text())
    messages, tag = [case["msg"].encode() for case in data["vectors"]], data["dst"].encode()
    ends = np.cumsum([0, *map(len, messages)]).astype(np.int64)
    packed = np.frombuffer(b"".join(messages), dtype=np.uint8)
    points = (
        portable.encode_to_curve(messages, tag)
        if kernels is None
        else compiled.encode_to_curve(kernels, packed, ends, tag)
    )
    expected = [int(case["P"]["x"], 16).to_bytes(32, "little") for case in data["vectors"]]
    return sum(row.tobytes() != one for row, one in zip(points, expected, strict=True))


def as_points(raw: bytes) -> Bytes:
    """Bytes as rows of 32."""
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, 32)


def show(figures: dict[str, object], found: dict[str, list[float]], console: Console) -> None:
    """Print the table."""
    table = Table(title=f"X25519 by one scalar, one core of {figures['cpu']}", title_justify="left")
    for column in ("by", "a second", "lowest", "highest", "times cryptography"):
        table.add_column(column, justify="left" if column == "by" else "right")
    loop = found["cryptography"]
    for name, values in found.items():
        ratio = statistics.median(one / other for one, other in zip(values, loop, strict=True))
        chosen = " (chosen)" if name == figures["kind"] else ""
        table.add_row(
            name + chosen,
            f"{statistics.median(values):,.0f}",
            f"{min(values):,.0f}",
            f"{max(values):,.0f}",
            f"{ratio:.2f}",
        )
    console.print(table)
    console.print(
        f"Chosen: {figures['kind']}, {figures['why']}. Hashing to the curve: {figures['hashes_per_s']:,} a second."
    )
    console.print(f"{figures['mismatches']} mismatches in {figures['compared']:,} random products and the vectors.")


def cpu_name() -> str:
    """The processor's name, where Linux reports it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def main() -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, default=1_000_000, help="random products to compare")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="write the figures; without FILE to stdout"
    )
    wanted = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    choice = engine.choice()
    found = rates(engine.supported(), wanted.rounds)
    chosen = found["cryptography" if choice.kind == "portable" else choice.kind]
    kernels = None if choice.kind == "portable" else engine.kernels()
    figures: dict[str, object] = {
        "speedup_vs_cryptography": round(
            statistics.median(one / other for one, other in zip(chosen, found["cryptography"], strict=True)), 3
        ),
        "per_s_one_core": round(statistics.median(chosen)),
        "cryptography_per_s": round(statistics.median(found["cryptography"])),
        "hashes_per_s": 0 if kernels is None else round(hashes_per_second(kernels)),
        "mismatches": mismatches(kernels, wanted.random),
        "compared": wanted.random,
        "kind": choice.kind,
        "why": choice.why,
        "cpu": cpu_name(),
        "rounds": wanted.rounds,
    }
    show(figures, found, Console(stderr=wanted.json == "-"))
    if wanted.json == "-":
        print(json.dumps(figures))
    elif wanted.json:
        Path(wanted.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if figures["mismatches"] else 0


if __name__ == "__main__":
    sys.exit(main())
