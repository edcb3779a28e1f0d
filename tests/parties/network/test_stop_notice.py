"""What a party that failed before all had met says on the wire, to whom, and what others make of it."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from parties.network import peer_connections
from parties.network.dialling import Target
from parties.network.frames import Type
from parties.network.route import Address
from parties.network.stop_notice import notify_label_party
from parties.network.stop_reasons import STOP_REASONS, StartedAgain, reason_of, stopped
from vsplit.protocol import DataError, MismatchError, PeerAbsent, StoppedError

SAFETY = 20.0
ONE = [memoryview(b"one")]


def target(star: Any, port: int, name: str = "lab") -> Target:
    return Target(star.keys[name], "clinic", star.keys["clinic"].public, Address("127.0.0.1", port))


def always(_missing: Any) -> bool:
    return True


def test_a_feature_party_says_one_word_and_nothing_else(star: Any) -> None:
    port, take = star.serve()
    telling = star.later(notify_label_party, target(star, port), "data", always)
    puppet = take()
    assert puppet.hear() == (Type.STOP, b"data")
    assert puppet.heard_session != bytes(16) and puppet.acknowledged == puppet.heard == 0
    puppet.say(Type.STOP, b"stopped")
    with pytest.raises(EOFError):
        puppet.hear()
    assert telling.result(SAFETY) is None


def test_it_dials_until_the_label_party_is_there_and_no_longer_than_it_may(star: Any) -> None:
    port = peer_connections.free_port("127.0.0.1")
    telling = star.later(notify_label_party, target(star, port), "data", always)
    time.sleep(0.3)
    gathering = star.gather(star.listen("lab", port=port))
    with pytest.raises(StoppedError, match="lab stopped before the run began: its data cannot be used") as caught:
        gathering.result(SAFETY)
    assert (caught.value.peer, caught.value.why, caught.value.exit_code) == ("lab", "data", 5)
    assert telling.result(SAFETY) is None
    asked: list[Any] = []

    def twice(missing: Any) -> bool:
        asked.append(list(missing))
        return len(asked) < 3

    notify_label_party(target(star, peer_connections.free_port("127.0.0.1")), "data", twice)
    assert asked == [["clinic"]] * 3


def test_it_tells_nothing_to_somebody_else(star: Any) -> None:
    listener = star.listen("lab")
    star.gather(listener)
    wrong = Target(star.keys["lab"], "clinic", star.keys["bank"].public, Address("127.0.0.1", listener.port))
    with pytest.raises(MismatchError, match="Do not continue"):
        notify_label_party(wrong, "data", always)


def test_those_who_are_there_hear_whose_failure_it_was(star: Any) -> None:
    listener = star.listen("lab", "bank")
    gathering = star.gather(listener)
    bank = star.puppet("bank", listener.port).take_welcome()
    notify_label_party(target(star, listener.port), "storage", always)
    assert bank.hear() == (Type.STOP, b"storage lab")
    error = gathering.exception(SAFETY)
    assert isinstance(error, StoppedError) and reason_of(error) == "storage lab"
    assert listener.notified == ("bank",)


@pytest.mark.parametrize("opening", [Type.JOIN, Type.RESUME, Type.STOP])
def test_a_failed_label_party_answers_whoever_proves_to_be_listed(star: Any, opening: Type) -> None:
    listener = star.listen("lab", "bank")
    missing: list[list[str]] = []

    def go(names: Any) -> bool:
        missing.append(list(names))
        return True

    telling = star.later(listener.stop_notice(["lab", "bank"], "data").serve, go)
    with pytest.raises(MismatchError):
        star.dial("stranger", listener.port)
    puppet = star.puppet("lab", listener.port)
    puppet.say(opening, b"config" if opening is Type.STOP else b"")
    assert puppet.hear() == (Type.STOP, b"data")
    puppet.reset()  # which leaves open whether it was heard: so it is told again
    again = star.puppet("lab", listener.port)
    again.say(opening, b"config" if opening is Type.STOP else b"")
    assert again.hear() == (Type.STOP, b"data")
    again.stream.close()
    with pytest.raises(StoppedError, match="clinic stopped before the run began: its data cannot be used"):
        star.dial("bank", listener.port)
    assert telling.result(SAFETY) is None
    assert missing[0] == ["lab", "bank"] and missing[-1] == ["bank"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", listener.port), SAFETY).close()


def test_the_party_whose_failure_it_was_goes_on_dialling_when_it_was_started_again(star: Any) -> None:
    listener = star.listen("lab", "bank")
    telling = star.later(listener.stop_notice(["bank"], "data lab", failed_party="lab").serve, always)
    dialling = star.later(star.dial, "lab", listener.port)
    puppet = star.puppet("bank", listener.port)
    puppet.say(Type.JOIN)
    assert puppet.hear() == (Type.STOP, b"data lab")
    assert not dialling.done()
    puppet.stream.close()
    telling.result(SAFETY)
    gathering = star.gather(star.listen("lab", port=listener.port))
    dialling.result(SAFETY).send("clinic", ONE)
    assert gathering.result(SAFETY).receive("lab", 100).tobytes() == b"one"


def test_a_process_that_failed_beside_one_that_is_at_work_does_not_end_it(star: Any) -> None:
    listener = star.listen("lab", wait=3600.0)
    gathering = star.gather(listener)
    lab = star.dial("lab", listener.port, 3600.0)
    clinic = gathering.result(SAFETY)
    second = star.puppet("lab", listener.port)
    second.say(Type.STOP, b"data")
    waiting = star.later(clinic.receive, "lab", 100)
    assert second.hear() == (Type.STOP, b"twice")
    lab.send("clinic", ONE)
    assert waiting.result(SAFETY).tobytes() == b"one"


def test_a_process_that_failed_in_the_place_of_one_that_is_gone_ends_the_session(star: Any) -> None:
    clinic, puppet = star.clinic_and_puppet(wait=3600.0)
    waiting = star.later(clinic.receive, "lab", 100)
    puppet.stream.close()
    notify_label_party(target(star, clinic._reconnector._listener._port.getsockname()[1]), "data", always)
    error = waiting.exception(SAFETY)
    assert isinstance(error, StoppedError)
    assert "lab stopped the session: it cannot use its data as they are" in str(error)


def test_one_that_could_join_does_not_go_for_one_that_cannot(star: Any) -> None:
    """Both wait until it is known whether the party's link is alive."""
    listener = star.listen("lab", "bank", wait=3600.0)
    gathering = star.gather(listener)
    hangs = star.puppet("lab", listener.port).take_welcome()  # a puppet never beats
    joins = star.puppet("lab", listener.port)
    joins.say(Type.JOIN)
    time.sleep(0.5)
    fails = star.puppet("lab", listener.port)
    fails.say(Type.STOP, b"data")
    assert fails.hear() == (Type.STOP, b"twice")
    hangs.stream.close()
    assert joins.hear()[0] is Type.WELCOME
    star.dial("bank", listener.port)
    gathering.result(SAFETY)


@pytest.mark.parametrize("word", sorted(STOP_REASONS))
def test_every_word_has_a_sentence_for_each_moment(word: str) -> None:
    for begun in (True, False):
        own = stopped("clinic", word, begun=begun)
        assert str(own).startswith("clinic stopped ") and own.why == word
    passed_on = stopped("clinic", f"{word} lab", begun=False)
    if word in ("twice", "again"):  # which no party says of another one
        assert "gave no known reason" in str(passed_on)
    else:
        assert str(passed_on).startswith("lab ") and ", as clinic reports" in str(passed_on)
    assert passed_on.why == "" and passed_on.peer == "clinic"


@pytest.mark.parametrize(
    "reason",
    ["", "nonsense", "data ", "data \x1b[31mlab", "data lab gym", "data clinic", "nonsense lab", " lab", "\ufffd"],
)
@pytest.mark.parametrize("begun", [True, False])
def test_what_is_no_known_reason_is_not_repeated(reason: str, begun: bool) -> None:
    error = stopped("clinic", reason, begun=begun)
    assert "gave no known reason" in str(error) or str(error) == str(stopped("clinic", "data", begun=begun))
    assert not {"nonsense", "\x1b", "lab", "gym", "\ufffd"} & set(str(error).replace(":", " ").split())
    assert "\x1b" not in str(error)


def test_what_the_others_are_told_of_an_error() -> None:
    assert reason_of(DataError("column secret")) == "data"
    assert reason_of(ZeroDivisionError("secret")) == "error"
    assert reason_of(PeerAbsent("bank", "…")) == "link bank"
    assert reason_of(stopped("lab", "refused", begun=False)) == "refused lab"
    assert reason_of(stopped("clinic", "refused lab", begun=False)) == "stopped"
    assert reason_of(StartedAgain("lab")) == "again"
