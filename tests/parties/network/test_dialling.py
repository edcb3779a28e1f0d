"""Pauses between attempts, and what an answer means."""

from __future__ import annotations

import itertools

import pytest

from parties.network.dialling import pauses
from parties.network.frames import Opening, Type
from parties.network.stop_reasons import StartedAgain, refusal
from vsplit.protocol import ProtocolError, StoppedError

BOUNDS = [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_pauses_grow_to_a_bound_and_are_drawn_evenly_below_it() -> None:
    drawn = [list(itertools.islice(pauses(), len(BOUNDS))) for _ in range(400)]
    for bound, column in zip(BOUNDS, zip(*drawn, strict=True), strict=True):
        assert all(0 <= pause <= bound for pause in column)
        assert 0.35 * bound < sum(column) / len(column) < 0.65 * bound  # full jitter: the whole range, not its end


def test_pauses_go_on_after_attempts_that_failed_before() -> None:
    assert max(next(pauses(4)) for _ in range(300)) > 2.0
    assert max(next(pauses(0)) for _ in range(300)) <= 0.25


@pytest.mark.parametrize(
    ("opening", "kind", "sentence"),
    [
        (Opening(Type.STOP, bytes(16), 0, b"again"), StartedAgain, "clinic was started again"),
        (Opening(Type.STOP, bytes(16), 0, b"twice"), StoppedError, "started twice"),
        (Opening(Type.STOP, bytes(16), 0, b"\xff\x1b[31m"), StoppedError, "gave no known reason"),
        (Opening(Type.WELCOME, bytes(16), 0), ProtocolError, "answered with a frame that the protocol does not allow"),
        (Opening(Type.JOIN, bytes(16), 0), ProtocolError, "answered with a frame that the protocol does not allow"),
    ],
)
def test_what_is_not_the_answer_that_was_hoped_for(opening: Opening, kind: type, sentence: str) -> None:
    error = refusal("clinic", opening)
    assert type(error) is kind
    assert error.peer == "clinic"
    assert sentence in str(error)
