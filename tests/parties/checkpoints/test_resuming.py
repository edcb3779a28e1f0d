"""From where all parties begin: every mixture of what they hold, and answers that a party must not accept."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.checkpoints.local_state import LocalState
from parties.checkpoints.resuming import (
    agree_on_start_feature,
    agree_on_start_label,
    confirm_stored_feature,
    confirm_stored_label,
)
from parties.checkpoints.start_decision import Start
from parties.checkpoints.start_messages import LocalStateOffer, StartDecision, StateKept
from parties.network.driver import drive
from parties.network.memory import MemoryNetwork
from parties.network.worker_pool import Pool
from vsplit.protocol import MismatchError, ProtocolError, Role, Send, VsplitError, receive

PARTIES = ["clinic", "lab", "gym"]
ONE, OTHER, FINISHED, FRESH = (bytes([number] * 16) for number in (1, 2, 3, 9))


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
            transport.stop(error.reason_code)

    threads = [threading.Thread(target=one, args=(name,)) for name in roles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return ends


def agree(*held: LocalState) -> dict[str, Any]:
    """What all parties agree on, who hold this, in the order of the job."""
    clinic, lab, gym = held
    return play(
        {
            "clinic": agree_on_start_label("clinic", PARTIES[1:], clinic, FRESH),
            "lab": agree_on_start_feature("lab", "clinic", PARTIES, lab),
            "gym": agree_on_start_feature("gym", "clinic", PARTIES, gym),
        }
    )


def holding(
    *steps: int, run: bytes = ONE, agreed: bool = True, final: bool = False, finished: bytes = b""
) -> LocalState:
    """Without steps: no state has been kept, so that it can begin with its training."""
    return LocalState(run, agreed, steps or (0,), final, finished=finished)


def done(run: bytes = ONE) -> LocalState:
    """A party that has finished this run, and holds nothing more of it."""
    return LocalState(finished=run)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([LocalState(), LocalState(), LocalState()], Start(FRESH, None)),
        ([holding(10, 20), holding(10, 20), holding(10, 20)], Start(ONE, 20)),
        ([holding(10, 20), holding(20, 30), holding(10, 20)], Start(ONE, 20)),
        ([holding(20), holding(20, 30), holding(10, 20)], Start(ONE, 20)),
        ([holding(0, 10), holding(0, 10), holding(0, 10)], Start(ONE, 10)),
        # One was killed before its first state.
        ([holding(0, 10), holding(), holding(0, 10)], Start(ONE, 0)),
        ([holding(), holding(), holding()], Start(ONE, 0)),
        ([holding(agreed=False)] * 3, Start(ONE, 0)),
        ([holding(0, 10), holding(agreed=False), holding(0, 10)], Start(ONE, 0)),
        ([LocalState(), holding(agreed=False), holding(agreed=False)], Start(FRESH, None)),
        ([holding(agreed=False), holding(run=OTHER, agreed=False), LocalState()], Start(FRESH, None)),
        ([holding(10, final=True)] * 3, Start(ONE, 10, final=True)),
        ([holding(10, final=True), holding(10), holding(10, final=True)], Start(ONE, 10)),
        # The clinic has finished by itself, and holds its part ready for others who now begin a new run.
        ([holding(10, agreed=False, final=True), LocalState(), LocalState()], Start(FRESH, None)),
        ([holding(10, agreed=False, final=True, finished=ONE), done(), done()], Start(FRESH, None)),
        ([done(), done(), done()], Start(FRESH, None)),
        ([done(), LocalState(), done(OTHER)], Start(FRESH, None)),
        # Where all have their outcome no state is gone back to.
        ([holding(10, 20, final=True), holding(30, 40, final=True), holding(final=True)], Start(ONE, 0, final=True)),
        # Some have finished the run, and nobody needs them any more.
        ([done(), holding(10, 20, final=True), done()], Start(ONE, None, finished_by_all=True)),
        ([holding(10, 20, final=True), done(), done()], Start(ONE, None, finished_by_all=True)),
        ([holding(10, final=True), done(), holding(20, final=True)], Start(ONE, None, finished_by_all=True)),
        (
            [done(), holding(10, final=True), holding(10, agreed=False, final=True, finished=ONE)],
            Start(ONE, None, finished_by_all=True),
        ),
        (
            [done(), holding(10, final=True), holding(10, agreed=False, finished=ONE)],
            Start(ONE, None, finished_by_all=True),
        ),
        (
            [done(), holding(10, final=True), holding(run=OTHER, agreed=False, finished=ONE)],
            Start(ONE, None, finished_by_all=True),
        ),
    ],
)
def test_all_begin_at_the_latest_step_that_all_hold(held: list[LocalState], expected: Start) -> None:
    assert agree(*held) == dict.fromkeys(PARTIES, expected)


@pytest.mark.parametrize(
    ("held", "lacking"),
    [
        ([LocalState(), holding(10), holding(10)], "clinic"),
        ([holding(10), LocalState(), holding(10)], "lab"),
        ([holding(10), holding(10), holding(run=OTHER, agreed=False)], "gym"),
        ([holding(10), holding(10), holding(10, run=OTHER)], "gym"),
        ([holding(agreed=True), holding(agreed=False), LocalState()], "gym"),
        # Of those that have finished the run none lacks it.
        ([done(), LocalState(), holding(10, final=True)], "lab"),
        ([done(), done(OTHER), holding(10, final=True)], "lab"),
        # Two have begun another run since, and one an old copy of its folder.
        ([holding(10, final=True), holding(run=OTHER, finished=ONE), holding(run=OTHER, finished=ONE)], "clinic"),
    ],
)
def test_nobody_loses_what_all_had_begun_because_one_has_lost_it(held: list[LocalState], lacking: str) -> None:
    for name, error in agree(*held).items():
        assert isinstance(error, MismatchError), error
        who = "this party" if name == lacking else lacking
        assert f"{who} has nothing of it" in str(error)
        assert "--restart at every party" in str(error)


@pytest.mark.parametrize("who", ["clinic", "lab"])
def test_who_alone_was_given_restart_is_told_so(who: str) -> None:
    held = [LocalState(restart=True) if name == who else holding(10) for name in ("clinic", "lab", "gym")]
    for name, error in agree(*held).items():
        assert isinstance(error, MismatchError)
        own = "This party was given --restart" in str(error) and "Nothing was discarded" in str(error)
        assert own == (name == who)


@pytest.mark.parametrize(
    ("held", "behind", "ahead"),
    [
        ([holding(10, 20), holding(30, 40), holding(30, 40)], "clinic", "lab"),
        ([holding(30, 40), holding(30, 40), holding(10, 20)], "gym", "clinic"),
        ([holding(30, 40), holding(0, 10), holding(30, 40)], "lab", "clinic"),
        ([holding(30, 40), holding(), holding(40)], "lab", "clinic"),  # its states are damaged, or were taken away
        ([holding(30), holding(40), holding(30, 40)], "clinic", "lab"),
        ([holding(20), holding(0, 10), holding(0, 10)], "lab", "clinic"),
        ([holding(20), holding(), holding()], "lab", "clinic"),
        ([holding(30, 40, final=True), holding(10, 20), holding(30, 40, final=True)], "lab", "clinic"),
    ],
)
def test_nobody_goes_back_by_more_than_one_state(held: list[LocalState], behind: str, ahead: str) -> None:
    """Neither for an old copy of somebody's folder, nor for somebody who lies about what he holds."""
    for name, error in agree(*held).items():
        assert isinstance(error, MismatchError), error
        first, second = ("this party" if party == name else party for party in (behind, ahead))
        assert f"the latest of {first} is too far behind that of {second}" in str(error)
        assert "Nothing was removed" in str(error) and "--restart at every party" in str(error)


@pytest.mark.parametrize(
    "held", [[done(), holding(10, 20), done()], [holding(10, 20), done(), holding(10, final=True)]]
)
def test_an_outcome_that_is_lost_is_missed_by_name(held: list[LocalState]) -> None:
    """Who has finished the run cannot help any more: all had their outcome on their disks by then."""
    without = next(name for name, one in zip(PARTIES, held, strict=True) if one.run and not one.final)
    for name, error in agree(*held).items():
        assert isinstance(error, MismatchError), error
        assert f"{'this party' if name == without else without} does not have its outcome" in str(error)


_held = st.builds(
    LocalState,
    st.sampled_from([b"", ONE, OTHER]),
    st.booleans(),
    st.lists(st.integers(0, 4), min_size=1, max_size=2, unique=True).map(tuple),
    st.booleans(),
    finished=st.sampled_from([b"", ONE, OTHER]),
).map(lambda held: held if held.run else LocalState(finished=held.finished))


@given(st.lists(_held, min_size=3, max_size=3))
@settings(max_examples=150, deadline=None)
def test_whatever_they_hold_all_parties_come_to_the_same(held: list[LocalState]) -> None:
    ends = list(agree(*held).values())
    if isinstance(ends[0], MismatchError):
        assert all(isinstance(end, MismatchError) for end in ends)
        assert any(one.run for one in held)
        return
    assert ends[0] == ends[1] == ends[2]
    if ends[0].finished_by_all:
        assert all(one.finished == ends[0].run or (one.run == ends[0].run and one.final) for one in held)
        assert any(one.run == ends[0].run for one in held)
    elif ends[0].step is None:
        assert not any(one.agreed for one in held)
    else:
        assert all(one.run == ends[0].run for one in held)
        assert all(one.final if ends[0].final else ends[0].step in one.steps for one in held)


def test_two_runs_that_were_finished_crosswise_are_nobodys() -> None:
    """Each was begun by all and is finished by whoever holds the other: a folder was put in the place of another."""
    one = LocalState(ONE, agreed=True, steps=(0,), final=True, finished=OTHER)
    other = LocalState(OTHER, agreed=True, steps=(0,), final=True, finished=ONE)
    assert {type(end) for end in agree(one, other, one).values()} == {MismatchError}


# --- answers that were not offered ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        StartDecision(run=ONE, step=30, final=False, end="", about=[]),
        StartDecision(run=OTHER, step=20, final=False, end="", about=[]),
        StartDecision(run=OTHER, step=0, final=False, end="", about=[]),
        StartDecision(run=ONE, step=20, final=True, end="", about=[]),
        StartDecision(run=OTHER, step=-1, final=False, end="", about=[]),
        StartDecision(run=ONE, step=-1, final=False, end="", about=[]),
        StartDecision(run=ONE, step=0, final=False, end="", about=[]),
        StartDecision(run=FINISHED, step=-1, final=False, end="", about=[]),
        StartDecision(run=ONE, step=20, final=False, end="lacking", about=["../nobody"]),
        StartDecision(run=ONE, step=20, final=False, end="apart", about=["lab", "../nobody"]),
        StartDecision(run=ONE, step=-1, final=False, end="over", about=[]),
        StartDecision(run=OTHER, step=-1, final=False, end="over", about=[]),
        # It has finished this one, and holds another that all had begun.
        StartDecision(run=FINISHED, step=-1, final=False, end="over", about=[]),
    ],
    ids=lambda answer: f"{answer.run[0]} {answer.step} {answer.final} {answer.end} {' '.join(answer.about)}",
)
def test_a_beginning_that_was_not_offered_is_refused(answer: StartDecision) -> None:
    def lying_clinic() -> Role[None]:
        yield from receive("lab", LocalStateOffer, 1000)
        yield Send("lab", answer)
        yield from receive("lab", StateKept, 1000)

    lab = agree_on_start_feature("lab", "clinic", PARTIES, holding(10, 20, finished=FINISHED))
    error = play({"clinic": lying_clinic(), "lab": lab})["lab"]
    assert isinstance(error, ProtocolError) and error.peer == "clinic"
    assert "nobody" not in str(error)


@pytest.mark.parametrize("step", [-1, 10, 1 << 40])
def test_an_outcome_of_a_step_that_was_not_offered_is_refused(step: int) -> None:
    def lying_clinic() -> Role[None]:
        yield from receive("lab", LocalStateOffer, 1000)
        yield Send("lab", StartDecision(run=ONE, step=step, final=True, end="", about=[]))
        yield from receive("lab", StateKept, 1000)

    lab = agree_on_start_feature("lab", "clinic", PARTIES, holding(20, 30, final=True))
    error = play({"clinic": lying_clinic(), "lab": lab})["lab"]
    assert isinstance(error, ProtocolError) and error.peer == "clinic"


def test_a_party_without_a_run_begins_afresh_and_not_in_the_middle() -> None:
    def lying_clinic() -> Role[None]:
        yield from receive("lab", LocalStateOffer, 1000)
        yield Send("lab", StartDecision(run=ONE, step=0, final=False, end="", about=[]))
        yield from receive("lab", StateKept, 1000)

    lab = agree_on_start_feature("lab", "clinic", PARTIES, LocalState())
    assert isinstance(play({"clinic": lying_clinic(), "lab": lab})["lab"], ProtocolError)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"run": b"short"}, "16 bytes"),
        ({"steps": [1, 2, 3]}, "last steps"),
        ({"finished": b"short"}, "16 bytes"),
        ({"steps": [-4]}, "last steps"),
        ({"steps": [1 << 62]}, "last steps"),
        ({"steps": []}, "and only then"),
        ({"run": b""}, "and only then"),
    ],
)
def test_a_holding_has_its_bounds(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LocalStateOffer(**({"run": ONE, "agreed": True, "steps": [7], "final": False, "finished": b""} | fields))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"step": -2}, "starts at a step"),
        ({"run": b""}, "has a name"),
        ({"end": "over", "about": ["lab"]}, "certain number of parties"),
        ({"end": "lacking"}, "certain number of parties"),
        ({"end": "apart", "about": ["lab"]}, "certain number of parties"),
        ({"about": ["lab"]}, "certain number of parties"),
    ],
)
def test_a_beginning_has_its_bounds(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        StartDecision(**({"run": ONE, "step": 0, "final": False, "end": "", "about": []} | fields))


# --- what all have on their disks -------------------------------------------------------------------------------------


def test_nobody_goes_on_before_all_have_theirs() -> None:
    ends = play(
        {
            "clinic": confirm_stored_label(["lab", "gym"], "alignment"),
            "lab": confirm_stored_feature("clinic", "alignment"),
            "gym": confirm_stored_feature("clinic", "alignment"),
        }
    )
    assert ends == dict.fromkeys(PARTIES)


def test_parties_that_have_come_to_different_places_are_told_apart() -> None:
    ends = play(
        {"clinic": confirm_stored_label(["lab"], "final"), "lab": confirm_stored_feature("clinic", "alignment")}
    )
    assert isinstance(ends["clinic"], ProtocolError) and ends["clinic"].peer == "lab"
