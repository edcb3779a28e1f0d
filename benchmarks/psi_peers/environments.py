"""The peers, the promise that each of them gives, and an environment of its own for each library."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.psi_peers.conductor import Failure

CACHE = Path.home() / ".cache" / "vsplit-benchmarks"


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to find the rows in common: `requirement` is what pip installs for it, `learns` and `promise` are for the
    reader of the table."""

    name: str
    requirement: str
    module: str
    option: str
    learns: str
    promise: str


_SPU = ("spu==0.9.5", "secretflow")

PEERS = (
    Peer(
        "openmined_psi",
        "openmined.psi==2.0.6",
        "openmined",
        "",
        "one (the client)",
        "semi-honest; Diffie-Hellman on P-256",
    ),
    Peer(
        "spu_ecdh_25519",
        *_SPU,
        "PROTOCOL_ECDH CURVE_25519",
        "both",
        "semi-honest; the hash is taken as a u-coordinate as it is: one bit a record leaks",
    ),
    Peer(
        "spu_ecdh_elligator2",
        *_SPU,
        "PROTOCOL_ECDH CURVE_25519_ELLIGATOR2",
        "both",
        "semi-honest; Diffie-Hellman on Curve25519",
    ),
    Peer("spu_kkrt", *_SPU, "PROTOCOL_KKRT", "both (as run here)", "semi-honest; oblivious transfer"),
    Peer("spu_rr22", *_SPU, "PROTOCOL_RR22", "both (as run here)", "semi-honest; vector oblivious linear evaluation"),
)


def interpreter(requirement: str, folder: Path) -> Path:
    """The Python of the environment for `requirement` under `folder`, which is made where it does not stand yet.

    Raises Failure where pip cannot install it.
    """
    home = folder / f"{requirement}-python{sys.version_info.major}.{sys.version_info.minor}"
    python, ready = home / "bin" / "python", home / "ready"
    if ready.exists():
        return python
    _run([sys.executable, "-m", "venv", "--clear", str(home)], "no environment")
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement], "not installed")
    ready.touch()
    return python


def _run(command: list[str], failure: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise Failure(f"{failure}: {lines[-1] if lines else 'no reason given'}")
