"""From where all parties begin: every mixture of what they hold, and answers that a party must not accept."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.driver import drive
from parties.network.memory import MemoryNetwork
from parties.pool import Pool
from parties.unfinished.checkpoints import Held
from parties.unfinished.resuming import (
    Beginning,
    Holding,
    Kept,
    Start,
    agree_on_start_feature,
    agree_on_start_label,
    all_keep_feature,
    all_keep_label,
)
from vsplit.protocol import MismatchError, ProtocolError, Role, Send, VsplitError, receive

PARTIES = ["clinic", "lab", "gym"]
ONE, OTHER, FRESH = bytes([1] * 16), bytes([2] * 16), bytes([9] * 16)


def play(roles: dict[str, Role[Any]]) -> dict[str, Any]:
    """Each role's result, or the error that ended it."""
    network = MemoryNetwork(list(roles))
    ends: dict[str, Any] = {}

    def one(name: str) -> None:
        transport = network.endpoint(name)
        try:
            ends[name] = drive(roles[name], transport, Pool())
            transport.finish()
        except VsplitError as error:
            ends[name] = error
            transport.stop(error.word)

    threads = [threading.Thread(target=one, args=(name,)) for name in roles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return ends


def agree(*held: Held) -> dict[str, Any]:
    """What all parties agree on, who hold this, in the order of the job."""
    clinic, lab, gym = held
    return play(
        {
            "clinic": agree_on_start_label("clinic", PARTIES[1:], clinic, FRESH),
            "lab": agree_on_start_feature("lab", "clinic", PARTIES, lab),
            "gym": agree_on_start_feature("gym", "clinic", PARTIES, gym),
        }
    )


def holding(*steps: int, run: bytes = ONE, agreed: bool = True, final: bool = False) -> Held:
    return Held(run, agreed, steps, final)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([Held(), Held(), Held()], Start(FRESH, None)),
        ([holding(10, 20), holding(10, 20), holding(10, 20)], Start(ONE, 20)),
        ([holding(10, 20), holding(20, 30), holding(10, 20)], Start(ONE, 20)),
        ([holding(20), holding(20, 30), holding(10, 20)], Start(ONE, 20)),
        ([holding(10), holding(20), holding(10, 20)], Start(ONE, 0)),
        ([holding(10), holding(), holding(10)], Start(ONE, 0)),
        ([holding(agreed=False)] * 3, Start(ONE, 0)),
        ([holding(10), holding(agreed=False), holding(10)], Start(ONE, 0)),
        ([Held(), holding(agreed=False), holding(agreed=False)], Start(FRESH, None)),
        ([holding(agreed=False), holding(run=OTHER, agreed=False), Held()], Start(FRESH, None)),
        ([holding(10, final=True)] * 3, Start(ONE, 10, final=True)),
        ([holding(10, final=True), holding(10), holding(10, final=True)], Start(ONE, 10)),
        # The clinic has finished by itself, and holds its part ready for others who now begin a new run.
        ([holding(10, agreed=False, final=True), Held(), Held()], Start(FRESH, None)),
    ],
)
def test_all_begin_at_the_latest_step_that_all_hold(held: list[Held], expected: Start) -> None:
    assert agree(*held) == dict.fromkeys(PARTIES, expected)


@pytest.mark.parametrize(
    ("held", "lacking"),
    [
        ([Held(), holding(10), holding(10)], "clinic"),
        ([holding(10), Held(), holding(10)], "lab"),
        ([holding(10), holding(10), holding(run=OTHER, agreed=False)], "gym"),
        ([holding(10), holding(10), holding(10, run=OTHER)], "gym"),
        ([holding(agreed=True), holding(agreed=False), Held()], "gym"),
    ],
)
def test_nobody_loses_what_all_had_begun_because_one_has_lost_it(held: list[Held], lacking: str) -> None:
    for name, error in agree(*held).items():
        assert isinstance(error, MismatchError), error
        who = "this party" if name == lacking else lacking
        assert f"{who} holds nothing of it" in str(error)
        assert "--restart at every party" in str(error)


_held = st.builds(
    Held,
    st.sampled_from([b"", ONE, OTHER]),
    st.booleans(),
    st.lists(st.integers(1, 4), max_size=2, unique=True).map(tuple),
    st.booleans(),
).map(lambda held: held if held.run else Held())


@given(st.lists(_held, min_size=3, max_size=3))
@settings(max_examples=150, deadline=None)
def test_whatever_they_hold_all_parties_come_to_the_same(held: list[Held]) -> None:
    ends = list(agree(*held).values())
    if isinstance(ends[0], MismatchError):
        assert all(isinstance(end, MismatchError) for end in ends)
        assert any(one.agreed for one in held)
        return
    assert ends[0] == ends[1] == ends[2]
    if ends[0].step is None:
        assert not any(one.agreed for one in held)
    else:
        assert all(one.run == ends[0].run for one in held)
        assert ends[0].step == 0 or all(ends[0].step in one.steps for one in held)


# --- answers that were not offered ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Beginning(run=ONE, step=30, final=False, lacking=""),
        Beginning(run=OTHER, step=20, final=False, lacking=""),
        Beginning(run=OTHER, step=0, final=False, lacking=""),
        Beginning(run=ONE, step=20, final=True, lacking=""),
        Beginning(run=OTHER, step=-1, final=False, lacking=""),
        Beginning(run=ONE, step=-1, final=False, lacking=""),
        Beginning(run=ONE, step=20, final=False, lacking="../nobody"),
    ],
    ids=lambda answer: f"{answer.run[0]} {answer.step} {answer.final} {answer.lacking}",
)
def test_a_beginning_that_was_not_offered_is_refused(answer: Beginning) -> None:
    def lying_clinic() -> Role[None]:
        yield from receive("lab", Holding, 1000)
        yield Send("lab", answer)
        yield from receive("lab", Kept, 1000)

    lab = agree_on_start_feature("lab", "clinic", PARTIES, holding(10, 20))
    error = play({"clinic": lying_clinic(), "lab": lab})["lab"]
    assert isinstance(error, ProtocolError) and error.peer == "clinic"
    assert "nobody" not in str(error)


def test_a_party_without_a_run_begins_afresh_and_not_in_the_middle() -> None:
    def lying_clinic() -> Role[None]:
        yield from receive("lab", Holding, 1000)
        yield Send("lab", Beginning(run=ONE, step=0, final=False, lacking=""))
        yield from receive("lab", Kept, 1000)

    lab = agree_on_start_feature("lab", "clinic", PARTIES, Held())
    assert isinstance(play({"clinic": lying_clinic(), "lab": lab})["lab"], ProtocolError)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"run": b"short"}, "16 bytes"),
        ({"steps": [1, 2, 3]}, "last steps"),
        ({"steps": [0]}, "last steps"),
        ({"steps": [-4]}, "last steps"),
        ({"steps": [1 << 62]}, "last steps"),
    ],
)
def test_a_holding_has_its_bounds(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Holding(**({"run": ONE, "agreed": True, "steps": [], "final": False} | fields))
    with pytest.raises(ValueError, match="run"):
        Beginning(run=ONE, step=-2, final=False, lacking="")


# --- what all have on their disks -------------------------------------------------------------------------------------


def test_nobody_goes_on_before_all_have_theirs() -> None:
    ends = play(
        {
            "clinic": all_keep_label(["lab", "gym"], "alignment"),
            "lab": all_keep_feature("clinic", "alignment"),
            "gym": all_keep_feature("clinic", "alignment"),
        }
    )
    assert ends == dict.fromkeys(PARTIES)


def test_parties_that_have_come_to_different_places_are_told_apart() -> None:
    ends = play({"clinic": all_keep_label(["lab"], "final"), "lab": all_keep_feature("clinic", "alignment")})
    assert isinstance(ends["clinic"], ProtocolError) and ends["clinic"].peer == "lab"
