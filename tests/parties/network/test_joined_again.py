"""A party whose connection was cut before it heard its welcome comes again, and is not taken for another process."""

from __future__ import annotations

import time
from typing import Any

import pytest

from parties.network.frames import Type
from parties.network.stop_reasons import StartedAgain

SAFETY = 20.0
LONG = 3600.0  # a wait that no test waits for
ONE = [memoryview(b"one")]


def port_of(clinic: Any) -> int:
    port: int = clinic._reconnector._listener._port.getsockname()[1]
    return port


def again(star: Any, puppet: Any, port: int) -> Any:
    """Another connection of the same process, which says once more that it has just started."""
    other = star.puppet("lab", port)
    other.writer.session = puppet.process
    other.say(Type.JOIN)
    return other


def join(star: Any, port: int) -> Any:
    puppet = star.puppet("lab", port)
    puppet.process = puppet.writer.session
    return puppet.take_welcome()


def test_a_party_says_the_same_of_itself_until_it_hears_its_welcome(star: Any) -> None:
    port, take = star.serve()
    dialling = star.later(star.dial, "lab", port, LONG)
    said = []
    for _ in range(3):
        puppet = take()
        assert puppet.hear()[0] is Type.JOIN
        said.append(puppet.heard_session)
        if len(said) < 3:
            puppet.stream.close()
    puppet.writer.session = b"a session of 16."
    puppet.say(Type.WELCOME)
    assert dialling.result(SAFETY).session == b"a session of 16."
    assert len(set(said)) == 1 and any(said[0])
    star.later(star.dial, "lab", port, LONG)
    other = take()
    other.hear()
    assert other.heard_session not in said
    other.say(Type.WELCOME)


@pytest.mark.parametrize("lost", [False, True])
def test_a_welcome_that_did_not_arrive_is_said_again_and_all_that_followed_it_as_well(star: Any, lost: bool) -> None:
    listener = star.listen("lab", wait=LONG)
    gathering = star.gather(listener)
    first = join(star, listener.port)
    clinic = gathering.result(SAFETY)
    clinic.send("lab", ONE)
    if lost:
        first.reset()
    second = again(star, first, listener.port)
    assert second.hear() == (Type.WELCOME, b"")
    assert second.heard_session == clinic.session
    assert second.hear() == (Type.DATA, b"one")
    assert star.seen["clinic"].again == [("lab", 1, 1)]
    second.writer.session, second.writer.sequence = clinic.session, 0
    second.message(b"two")
    assert clinic.receive("lab", 100).tobytes() == b"two"
    assert clinic.retries == {"lab": 1}


def test_while_others_are_awaited_the_link_stays_the_one_that_it_was(star: Any) -> None:
    listener = star.listen("lab", "bank", wait=LONG)
    gathering = star.gather(listener)
    first = join(star, listener.port)
    first.reset()
    second = again(star, first, listener.port)
    assert second.hear() == (Type.WELCOME, b"")
    second.writer.session = second.heard_session
    second.message(b"one")
    star.dial("bank", listener.port)
    clinic = gathering.result(SAFETY)
    assert clinic.receive("lab", 100).tobytes() == b"one"
    assert clinic.retries["lab"] == 1


def test_what_was_heard_while_others_are_awaited_is_not_lost_by_a_call_that_was_held_back(star: Any) -> None:
    listener = star.listen("lab", "bank", wait=LONG)
    gathering = star.gather(listener)
    first = join(star, listener.port)
    first.message(b"one")
    first.stream.close()
    late = again(star, first, listener.port)
    assert late.stream.recv(1) == b""
    back = star.puppet("lab", listener.port)
    back.writer = first.writer
    back.say(Type.RESUME)
    assert back.hear() == (Type.RESUME, b"")
    assert back.acknowledged == 1
    star.dial("bank", listener.port)
    assert gathering.result(SAFETY).receive("lab", 100).tobytes() == b"one"


@pytest.mark.parametrize("how", [Type.BEAT, Type.DATA, Type.RESUME])
@pytest.mark.parametrize("lost", [False, True])
def test_a_first_word_that_was_held_back_ends_no_session(star: Any, how: Type, lost: bool) -> None:
    """The network delivers it when the link has gone beyond it; it may cut the link as well."""
    listener = star.listen("lab", wait=LONG)
    gathering = star.gather(listener)
    puppet = first = join(star, listener.port)
    clinic = gathering.result(SAFETY)
    if how is Type.DATA:
        puppet.message(b"one")
        assert clinic.receive("lab", 100).tobytes() == b"one"
    elif how is Type.BEAT:
        puppet.say(Type.BEAT)
    else:
        puppet = star.puppet("lab", listener.port)
        puppet.writer.session = clinic.session
        puppet.say(Type.RESUME)
        assert puppet.hear() == (Type.RESUME, b"")
    if lost:
        puppet.stream.close()
    late = again(star, first, listener.port)
    assert late.stream.recv(1) == b""
    if lost:
        writer, puppet = puppet.writer, star.puppet("lab", listener.port)
        puppet.writer = writer
        puppet.say(Type.RESUME)
        assert puppet.hear() == (Type.RESUME, b"")
    puppet.message(b"two")
    assert clinic.receive("lab", 100).tobytes() == b"two"


def test_another_process_is_another_process_although_nothing_was_heard_of_the_first(star: Any) -> None:
    listener = star.listen("lab", wait=LONG)
    gathering = star.gather(listener)
    first = join(star, listener.port)
    clinic = gathering.result(SAFETY)
    first.stream.close()
    fresh = star.puppet("lab", listener.port)
    fresh.say(Type.JOIN)
    with pytest.raises(StartedAgain):
        clinic.receive("lab", 100)
    assert fresh.hear() == (Type.STOP, b"again")


def test_a_new_process_that_comes_again_while_it_is_not_known_whether_the_old_one_lives_is_not_two(star: Any) -> None:
    """Its first connection may be the one that arrives last; the word `twice` would end the process that waits."""
    listener = star.listen("lab", wait=LONG)
    gathering = star.gather(listener)
    join(star, listener.port)
    clinic = gathering.result(SAFETY)
    fresh = star.puppet("lab", listener.port)
    fresh.process = fresh.writer.session
    fresh.say(Type.JOIN)
    until = time.monotonic() + SAFETY
    while "lab" not in clinic._reconnector._callers and time.monotonic() < until:
        time.sleep(0.01)
    second = again(star, fresh, listener.port)
    assert fresh.stream.recv(1) == b""
    other = star.puppet("lab", listener.port)
    other.say(Type.JOIN)
    assert second.hear() == (Type.STOP, b"twice")
