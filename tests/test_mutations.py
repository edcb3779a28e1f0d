"""Mutated messages against the decoder and every role in every state: named errors, bounded memory, and no hang.

The same in full: `python benchmarks/faults.py --only mutations`.
"""

from __future__ import annotations

import pytest
import torch

from benchmarks.faults_parts.attack import Outcome, attack_decoder, attack_state, states_of
from benchmarks.faults_parts.scenes import LABEL, Arrival, Scene, at_hand, record, scenes
from vsplit.aggregation import noise_pool, paillier_sum
from vsplit.paillier import keys

SCENES = {scene.name: scene for scene in scenes()}
SLOW = 20  # mutations against a role that trains, which takes some thousandths of a second each
QUICK = 80


@pytest.fixture(autouse=True)
def _one_thread_and_keys_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that what `at_hand` puts there goes when the test ends.
    for module, name in (
        (paillier_sum, "generate"),
        (paillier_sum, "decrypt"),
        (keys, "is_prime"),
        (noise_pool, "noise_table"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    at_hand()
    torch.set_num_threads(1)


def good(outcome: Outcome) -> None:
    assert outcome.unnamed == []
    assert outcome.hangs == []
    assert outcome.named > outcome.tried / 4, "most mutations are no message that is due"


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_a_mutated_message_to_a_role_in_each_state_ends_in_a_named_error_or_in_nothing(scene: Scene) -> None:
    recording = record(scene.parties)
    found = Outcome()
    for state in states_of(scene, recording):
        found.add(attack_state(state, recording, SLOW if "training" in scene.name else QUICK, seed=1))
    good(found)


def test_every_state_is_found_once() -> None:
    """A label party that reads from two feature parties in one loop is in one state there, and so are the two of them."""
    seals = SCENES["seals"]
    states = states_of(seals, record(seals.parties))
    assert [(state.party, state.at) for state in states] == [
        (LABEL, [0, 1]),
        (LABEL, [2, 3]),
        ("lab0", [0]),
        ("lab0", [1]),
    ]


def test_a_mutated_message_to_the_decoder_ends_in_a_named_error_or_in_nothing() -> None:
    samples: list[Arrival] = []
    for scene in SCENES.values():
        samples += [arrival for arrivals in record(scene.parties).arrivals.values() for arrival in arrivals]
    good(attack_decoder(samples, 5_000, seed=1))


def test_the_attack_notices_what_it_looks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that is none of this program's, and a role that never comes back."""
    greeting = SCENES["greeting"]
    recording = record(greeting.parties)

    def broken(*_: object) -> None:
        raise IndexError

    [lab] = [state for state in states_of(greeting, recording) if state.party == "lab"]
    monkeypatch.setattr("parties.run.handshake._compare", broken)
    assert attack_state(lab, recording, 40, 2).unnamed

    def endless(*_: object) -> None:
        while True:
            pass

    monkeypatch.setattr("parties.run.handshake._compare", endless)
    monkeypatch.setattr("benchmarks.faults_parts.attack.PATIENCE", 0.1)
    assert attack_state(lab, recording, 40, 2).hangs
