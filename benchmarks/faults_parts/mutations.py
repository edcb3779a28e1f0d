"""Mutated messages: 10,000 a run against the decoder, and 1,000 a run against each role in each state in which it waits.

Two processes, each with a bound on its memory, so that a message which made a role ask for more would be seen as an error
without a name. See `attack` beside this file.
"""

from __future__ import annotations

import random
import resource
from collections import Counter
from functools import cache
from multiprocessing import TimeoutError as PoolTimeoutError
from multiprocessing import get_context
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.faults_parts.attack import Outcome, State, attack_decoder, attack_state, states_of
from benchmarks.faults_parts.scenes import Arrival, Recording, Scene, at_hand, record, scenes

PROCESSES = 2
DECODER, ROLE = 10_000, 1_000
PIECE = 2_000  # mutations in one piece of work
ROOM = 2 << 30  # bytes of address space that a process may ask for beyond what it has
LOST = 900.0  # seconds in which some piece ends, or a process hangs where no alarm of Python's reaches it

Piece = tuple[str, int, int, int]
"""Name of a scene, number of a state of it, number of mutations and seed; the decoder's has no name."""


def measure_mutations(runs: int, rng: random.Random, console: Console) -> dict[str, int | float]:
    """How many mutations were tried, and how many ended without a name or not at all."""
    at_hand()
    pieces: list[Piece] = _cut("", 0, runs * DECODER, rng)
    for scene in scenes():
        for number in range(len(_states(scene.name))):
            pieces += _cut(scene.name, number, runs * ROLE, rng)
    states = len({piece[:2] for piece in pieces}) - 1
    # In any order, so that the time which is left can be seen from what is done.
    rng.shuffle(pieces)
    total, by_state, grown = Outcome(), Counter[str](), 0
    with get_context("spawn").Pool(PROCESSES, _begin) as pool:
        coming = pool.imap_unordered(_attack, pieces)
        for done in range(1, len(pieces) + 1):
            try:
                name, outcome, more = coming.next(LOST)
            except PoolTimeoutError:
                total.hangs.append(f"no piece of work has ended for {LOST:g} s")
                break
            total.add(outcome)
            by_state[name] += outcome.tried
            grown = max(grown, more)
            for what in (*outcome.unnamed[:5], *outcome.hangs[:5]):
                console.print(what, markup=False)
            console.print(f"mutations: {done} of {len(pieces)} pieces, {total.tried:,} messages", end="\r")
    for name, tried in sorted(by_state.items()):
        console.print(f"{tried:10,} {name or 'decoder'}", markup=False)
    return {
        "mutations": total.tried,
        "mutations_named": total.named + total.at_home,
        "mutations_taken": total.taken,
        "mutated_states": states,
        "mutations_memory_mib": grown >> 20,
        "unnamed_errors": len(total.unnamed),
        "hangs": len(total.hangs),
    }


def _cut(scene: str, state: int, count: int, rng: random.Random) -> list[Piece]:
    return [(scene, state, min(PIECE, count - first), rng.getrandbits(32)) for first in range(0, count, PIECE)]


@cache
def _scenes() -> dict[str, tuple[Scene, Recording]]:
    return {scene.name: (scene, record(scene.parties)) for scene in scenes()}


@cache
def _states(name: str) -> list[State]:
    return states_of(*_scenes()[name])


@cache
def _samples() -> list[Arrival]:
    every = (arrivals for _, recording in _scenes().values() for arrivals in recording.arrivals.values())
    return [one for arrivals in every for one in arrivals]


_held = 0  # bytes of memory in use when the first piece begins


def _begin() -> None:
    global _held
    torch.set_num_threads(1)
    at_hand()
    for name in _scenes():  # so that everything is loaded and compiled before the bound is drawn
        _states(name)
    size, _held = (
        int(word) * resource.getpagesize() for word in Path("/proc/self/statm").read_text(encoding="utf-8").split()[:2]
    )
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, resource.RLIM_INFINITY))


def _attack(piece: Piece) -> tuple[str, Outcome, int]:
    """Which scene, what became of it, and by how many bytes this process has grown since its beginning."""
    name, state, count, seed = piece
    if name:
        outcome = attack_state(_states(name)[state], _scenes()[name][1], count, seed)
    else:
        outcome = attack_decoder(_samples(), count, seed)
    return name, outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - _held
