"""Processes that were started anew, in the middle of a session; and whoever pretends to be part of one."""

from __future__ import annotations

import time
from typing import Any

import pytest

from parties.network import heartbeat
from parties.network.frames import Type
from parties.network.stop_reasons import StartedAgain
from vsplit.protocol import ProtocolError, StoppedError

SAFETY = 20.0
LONG = 3600.0  # a wait that no test waits for
ONE = [memoryview(b"one")]


def test_a_feature_party_that_was_killed_and_started_ends_the_session_at_once_for_all(star: Any) -> None:
    clinic, bank, puppet = star.clinic_bank_and_puppet(wait=LONG)
    waiting, other = star.later(clinic.receive, "bank", 100), star.later(bank.receive, "clinic", 100)
    puppet.stream.close()
    fresh = star.puppet("lab", clinic._reconnector._listener._port.getsockname()[1])
    fresh.say(Type.JOIN)
    error = waiting.exception(SAFETY)
    assert isinstance(error, StartedAgain)
    assert (error.peer, error.reason_code, error.exit_code) == ("lab", "again", 5)
    assert str(error).startswith("lab was started again: start this party again too")
    clinic.stop(error.reason_code)
    told = other.exception(SAFETY)
    assert isinstance(told, StoppedError)
    assert "a party was started again. Start this party again too; a run resumes from its last checkpoint" in str(told)
    assert fresh.hear() == (Type.STOP, b"again")


def test_a_party_that_was_started_again_waits_for_the_next_session_of_the_others(star: Any) -> None:
    first = star.listen("lab", wait=LONG)
    port = first.port
    gathering = star.gather(first)
    puppet = star.puppet("lab", port).take_welcome()
    clinic = gathering.result(SAFETY)
    puppet.stream.close()
    dialling = star.later(star.dial, "lab", port, LONG)
    with pytest.raises(StartedAgain):
        clinic.receive("lab", 100)
    clinic.stop("again")
    gathering = star.gather(star.listen("lab", port=port, wait=LONG))
    lab = dialling.result(SAFETY)
    lab.send("clinic", ONE)
    again = gathering.result(SAFETY)
    assert again.receive("lab", 100).tobytes() == b"one"
    assert again.session == lab.session != clinic.session


def test_a_label_party_that_was_started_again_tells_those_who_know_the_old_session(star: Any) -> None:
    port, take = star.serve()
    dialling = star.later(star.dial, "lab", port, LONG)
    puppet = take()
    puppet.hear()
    puppet.writer.session = b"a session of 16."
    puppet.say(Type.WELCOME)
    lab = dialling.result(SAFETY)
    waiting = star.later(lab.receive, "clinic", 100)
    puppet.stream.close()
    puppet = take()
    assert puppet.hear() == (Type.RESUME, b"")
    assert puppet.heard_session == b"a session of 16."
    puppet.say(Type.STOP, b"again")
    error = waiting.exception(SAFETY)
    assert isinstance(error, StartedAgain)
    assert error.peer == "clinic"


@pytest.mark.parametrize("gathered", [False, True])
def test_who_asks_for_another_session_is_told_and_disturbs_nobody(star: Any, gathered: bool) -> None:
    names = ("lab",) if gathered else ("lab", "bank")
    listener = star.listen(*names, wait=LONG)
    gathering = star.gather(listener)
    lab = star.dial("lab", listener.port)
    for session in (bytes(16), b"another session!"):
        puppet = star.puppet("lab", listener.port)
        puppet.writer.session = session
        puppet.say(Type.RESUME)
        assert puppet.hear() == (Type.STOP, b"again")
    if not gathered:
        star.dial("bank", listener.port)
    lab.send("clinic", ONE)
    clinic = gathering.result(SAFETY)
    assert clinic.receive("lab", 100).tobytes() == b"one"
    assert clinic.retries["lab"] == 0


def test_another_listed_party_that_knows_the_session_gets_its_own_link_and_no_other(star: Any) -> None:
    clinic, bank, puppet = star.clinic_bank_and_puppet(wait=LONG)
    port = clinic._reconnector._listener._port.getsockname()[1]
    thief = star.puppet("bank", port)
    thief.writer.session = clinic.session
    thief.say(Type.RESUME)
    assert thief.hear() == (Type.RESUME, b"")
    puppet.message(b"one")
    assert clinic.receive("lab", 100).tobytes() == b"one"
    assert clinic.retries == {"lab": 0, "bank": 1}
    bank.stop("error")


def test_a_recorded_session_that_is_played_again_gets_nowhere(star: Any, proxies: Any) -> None:
    clinic, lab, proxy = star.clinic_and_labs(proxies, "lab")
    lab.send("clinic", [memoryview(b"secret" * 100)])
    assert len(clinic.receive("lab", 1000)) == 600
    recorded = bytes(proxy.recorded)
    assert len(recorded) > 600
    plain = star.connect(clinic._reconnector._listener._port.getsockname()[1])
    plain.sendall(recorded)
    answered = b""
    try:
        while more := plain.recv(1 << 16):
            answered += more
    except ConnectionResetError:
        pass
    assert len(answered) < 4096  # the server's own handshake, and no frame behind it
    lab.send("clinic", ONE)
    assert clinic.receive("lab", 100).tobytes() == b"one"
    assert clinic.retries["lab"] == 0
    assert clinic._reconnector._listener.refused == 1


def test_a_new_process_beside_one_that_hangs_waits_until_that_is_known_to_be_dead(
    star: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "SILENT", 1.0)
    clinic, _hangs = star.clinic_and_puppet(wait=LONG)  # a puppet never beats
    fresh = star.puppet("lab", clinic._reconnector._listener._port.getsockname()[1])
    began = time.monotonic()
    fresh.say(Type.JOIN)
    with pytest.raises(StartedAgain):
        clinic.receive("lab", 100)
    assert time.monotonic() - began < SAFETY
    assert fresh.hear() == (Type.STOP, b"again")


def test_a_party_that_has_said_its_last_word_may_be_started_again(star: Any) -> None:
    clinic, bank, puppet = star.clinic_bank_and_puppet(wait=LONG)
    puppet.say(Type.DONE)
    puppet.stream.close()
    fresh = star.puppet("lab", clinic._reconnector._listener._port.getsockname()[1])
    fresh.say(Type.JOIN)
    assert fresh.hear() == (Type.STOP, b"again")
    bank.send("clinic", ONE)
    assert clinic.receive("bank", 100).tobytes() == b"one"


def test_a_resumption_goes_on_behind_the_last_message_of_each_side(star: Any) -> None:
    clinic, puppet = star.clinic_and_puppet(wait=LONG)
    puppet.message(b"one")
    assert clinic.receive("lab", 100).tobytes() == b"one"
    clinic.send("lab", [memoryview(b"first")])
    assert puppet.hear() == (Type.DATA, b"first")
    puppet.stream.close()
    clinic.send("lab", [memoryview(b"second")])
    again = star.puppet("lab", clinic._reconnector._listener._port.getsockname()[1])
    again.writer = puppet.writer
    again.heard = 1
    again.say(Type.RESUME)
    assert again.hear() == (Type.RESUME, b"")
    assert again.acknowledged == 1  # one message of the puppet has come
    assert again.hear() == (Type.DATA, b"second")
    again.writer.sequence = 0
    again.message(b"one")  # once more, which is dropped
    again.message(b"two")
    assert clinic.receive("lab", 100).tobytes() == b"two"


def test_a_resumption_that_was_held_back_leaves_the_link_alone(star: Any) -> None:
    """The party has called again since and received more. Who delivers its old call late must not end the session by it."""
    clinic, puppet = star.clinic_and_puppet(wait=LONG)
    clinic.send("lab", ONE)
    puppet.hear()
    puppet.say(Type.BEAT)
    puppet.message(b"two")
    clinic.receive("lab", 100)
    late = star.puppet("lab", clinic._reconnector._listener._port.getsockname()[1])
    late.writer.session = clinic.session
    late.heard = 0
    late.say(Type.RESUME)
    waiting = star.later(clinic.receive, "lab", 100)
    assert late.stream.recv(1) == b""
    puppet.message(b"three")
    assert waiting.result(LONG).tobytes() == b"three"
    assert star.seen["clinic"].losses == []


@pytest.mark.parametrize("number", [2, 1 << 40])
def test_a_resumption_that_claims_what_cannot_be_is_a_broken_protocol(star: Any, number: int) -> None:
    clinic, puppet = star.clinic_and_puppet(wait=LONG)
    clinic.send("lab", ONE)
    puppet.hear()
    puppet.say(Type.BEAT)
    puppet.message(b"two")
    clinic.receive("lab", 100)
    puppet.stream.close()
    again = star.puppet("lab", clinic._reconnector._listener._port.getsockname()[1])
    again.writer.session = clinic.session
    again.heard = number
    again.say(Type.RESUME)
    with pytest.raises(ProtocolError, match="lab sent an acknowledgement"):
        clinic.receive("lab", 100)


@pytest.mark.parametrize("kind", [Type.WELCOME, Type.BEAT, Type.DATA, Type.DONE])
def test_a_listed_party_that_opens_otherwise_is_sent_away(star: Any, kind: Type) -> None:
    clinic, puppet = star.clinic_and_puppet(wait=LONG)
    port = clinic._reconnector._listener._port.getsockname()[1]
    odd = star.puppet("lab", port)
    odd.raw_head(kind, 0, 1, 1, clinic.session)
    with pytest.raises((EOFError, ConnectionError)):
        odd.hear()
    puppet.message(b"one")
    assert clinic.receive("lab", 100).tobytes() == b"one"
