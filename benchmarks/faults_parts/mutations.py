"""Mutated messages: 10,000 a run against the decoder, and 1,000 a run against each role in each state that it waits in.

Two processes, each with a bound on its memory, so that a message which made a role ask for more would be seen as an error
without a name. See `attack` beside this file.
"""

from __future__ import annotations

import random
import resource
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.faults_parts.attack import Outcome, attack_decoder, attack_role
from benchmarks.faults_parts.scenes import Scene, key_at_hand, record, scenes
from vsplit.learn import chain

PROCESSES = 2
DECODER, ROLE = 10_000, 1_000
PIECE = 2_000  # mutations in one piece of work
ROOM = 2 << 30  # bytes of address space that a process may ask for beyond what it has

Piece = tuple[str, str, int, int]
"""Name of a scene, party, number of mutations and seed; the decoder's have no names."""


def measure_mutations(runs: int, rng: random.Random, console: Console) -> dict[str, int | float]:
    """How many mutations were tried, and how many ended without a name or not at all."""
    chain.generate = key_at_hand  # type: ignore[attr-defined,assignment]
    pieces: list[Piece] = _cut("", "", runs * DECODER, rng)
    for scene in scenes():
        for party in record(scene.parties).arrivals:
            pieces += _cut(scene.name, party, runs * ROLE, rng)
    total, done = Outcome(), 0
    with get_context("spawn").Pool(PROCESSES, _begin) as pool:
        for outcome in pool.imap_unordered(_attack, pieces):
            total.add(outcome)
            done += 1
            console.print(f"mutations: {done} of {len(pieces)} pieces", end="\r")
    for what in (*total.unnamed[:20], *total.hangs[:20]):
        console.print(what, markup=False)
    return {
        "mutations": total.tried,
        "mutations_named": total.named + total.at_home,
        "mutations_taken": total.taken,
        "unnamed_errors": len(total.unnamed),
        "hangs": len(total.hangs),
    }


def _cut(scene: str, party: str, count: int, rng: random.Random) -> list[Piece]:
    return [(scene, party, min(PIECE, count - first), rng.getrandbits(32)) for first in range(0, count, PIECE)]


def _begin() -> None:
    torch.set_num_threads(1)
    chain.generate = key_at_hand  # type: ignore[attr-defined,assignment]
    for scene in scenes():
        record(scene.parties)  # so that everything is loaded and compiled before the bound is drawn
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + ROOM, resource.RLIM_INFINITY))


def _attack(piece: Piece) -> Outcome:
    name, party, count, seed = piece
    every: Sequence[Scene] = scenes()
    if not name:
        samples = [one for scene in every for arrivals in record(scene.parties).arrivals.values() for one in arrivals]
        return attack_decoder(samples, count, seed)
    scene = next(scene for scene in every if scene.name == name)
    return attack_role(scene, party, record(scene.parties), count, seed)
