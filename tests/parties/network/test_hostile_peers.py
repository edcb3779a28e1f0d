"""After the handshake: a listed party that breaks off, falls silent, lies or floods is named, and nobody hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from parties.network import heartbeat, tls
from parties.network import link as link_module
from parties.network.frames import CHUNK, Type
from vsplit.protocol import PeerLost, ProtocolError, StoppedError

SAFETY = 20.0
ONE = [memoryview(b"one")]


@pytest.fixture
def small_queues(monkeypatch: pytest.MonkeyPatch) -> int:
    """Bounds both queues of every link at 64 KiB."""
    monkeypatch.setattr(link_module, "QUEUE", 1 << 16)
    return 1 << 16


def half_a_message(puppet: Any) -> None:
    puppet.raw_head(Type.DATA, CHUNK, 1, 2 * CHUNK)
    puppet.stream.sendall(bytes(CHUNK // 2))


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_party_that_breaks_off_in_the_middle_of_a_message_is_lost_and_every_other_party_hears_of_it(
    star: Any, how: str
) -> None:
    clinic, bank, puppet = star.clinic_bank_and_puppet(wait=1.0)
    waiting = star.later(bank.receive, "clinic", 100)
    half_a_message(puppet)
    puppet.stream.close() if how == "close" else puppet.reset()
    with pytest.raises(PeerLost, match="The link to lab") as caught:
        clinic.receive("lab", 1 << 30)
    assert caught.value.peer == "lab"
    clinic.stop(caught.value.reason_code)
    error = waiting.exception(SAFETY)
    assert isinstance(error, StoppedError)
    assert error.peer == "clinic"
    assert "lost its link to another party" in str(error)


def test_a_lost_party_ends_the_wait_for_another(star: Any) -> None:
    clinic, _bank, puppet = star.clinic_bank_and_puppet(wait=1.0)
    waiting = star.later(clinic.receive, "bank", 100)
    puppet.stream.close()
    error = waiting.exception(SAFETY)
    assert isinstance(error, PeerLost)
    assert error.peer == "lab"


def test_a_lost_party_ends_the_wait_for_room_at_another(star: Any, small_queues: int) -> None:
    listener = star.listen("lab", "bank", wait=1.0)
    gathering = star.gather(listener)
    puppets = [star.puppet(name, listener.port).take_welcome() for name in ("lab", "bank")]
    clinic = gathering.result(SAFETY)

    def fill() -> None:
        while True:
            clinic.send("bank", [memoryview(bytes(small_queues))])

    filling = star.later(fill)
    puppets[0].stream.close()
    error = filling.exception(SAFETY)
    assert isinstance(error, PeerLost)
    assert error.peer == "lab"


def test_a_silent_party_is_given_up_after_the_wait(star: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "SILENT", 0.5)
    clinic, _puppet = star.clinic_and_puppet(wait=1.0)
    began = time.monotonic()
    with pytest.raises(PeerLost, match=r"The link to lab was silent for 0\.5 s, and was not re-established within 1 s"):
        clinic.receive("lab", 100)
    assert time.monotonic() - began < SAFETY


def test_a_silent_label_party_is_given_up_after_the_wait(star: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "SILENT", 0.5)
    lab, _puppet = star.lab_and_puppet(wait=1.0)
    with pytest.raises(PeerLost, match=r"The link to clinic was silent for 0\.5 s, and .* from its last checkpoint"):
        lab.receive("clinic", 100)


LIES: dict[str, tuple[Callable[[Any], None], str]] = {
    "garbage": (lambda puppet: puppet.stream.sendall(bytes(48)), "bytes that are no vsplit frame"),
    "another session": (lambda puppet: puppet.raw_head(Type.BEAT, 0, 0, 0, b"another session!"), "another session"),
    "a message without a number": (lambda puppet: puppet.raw_head(Type.DATA, 3, 0, 3), "out of order"),
    "a message too long": (lambda puppet: puppet.raw_head(Type.DATA, 10, 1, 101), "101 bytes where at most 100"),
    "a giant message": (lambda puppet: puppet.raw_head(Type.DATA, CHUNK, 1, 1 << 29), "536,870,912 bytes where at"),
    "beyond all bounds": (lambda puppet: puppet.raw_head(Type.DATA, CHUNK, 1, 1 << 60), "1,152,921,504,606,846,976"),
    "a second welcome": (lambda puppet: puppet.say(Type.WELCOME), "the opening of a link in the middle of it"),
    "a message left out": (lambda puppet: puppet.raw_head(Type.DATA, 3, 2, 3), "out of order"),
    "an end too soon": (lambda puppet: puppet.raw_head(Type.DONE, 0, 2, 0), "DONE out of order"),
    "thanks for nothing": (lambda puppet: puppet.raw_head(Type.BEAT, 0, 0, 0, None, 1), "what it was never sent"),
    "an early end": (lambda puppet: puppet.say(Type.DONE), "ended the session before this party had all"),
}


@pytest.mark.parametrize("side", ["clinic", "lab"])
@pytest.mark.parametrize(("lie", "sentence"), LIES.values(), ids=LIES.keys())
def test_a_lie_names_the_party_before_all_its_bytes_have_come(
    star: Any, side: str, lie: Callable[[Any], None], sentence: str
) -> None:
    liar = "lab" if side == "clinic" else "clinic"
    transport, puppet = star.clinic_and_puppet() if side == "clinic" else star.lab_and_puppet()
    lie(puppet)
    with pytest.raises(ProtocolError, match=f"^{liar} .*{sentence}") as caught:
        transport.receive(liar, 100)
    assert caught.value.peer == liar
    transport.stop(caught.value.reason_code)
    while (heard := puppet.hear())[0] is not Type.STOP:
        pass
    assert heard[1] == b"protocol"


def test_a_flood_that_nobody_asks_for_is_held_back_and_loses_nothing(star: Any, small_queues: int) -> None:
    clinic, puppet = star.clinic_and_puppet()
    size, bound = 10_000, 64 << 20
    sent = 0
    puppet.stream.settimeout(1.0)
    with pytest.raises(TimeoutError):
        while sent < bound:  # well above what both kernels keep
            frames = puppet.writer.message([memoryview(sent.to_bytes(8, "big") + bytes(size))], 0)
            puppet.stream.sendall(b"".join(piece for frame in frames for piece in frame))
            sent += 1
            assert sent * size < bound
    link = clinic._links["lab"]
    assert sum(map(len, link.receive_queue.messages)) < 2 * small_queues
    for number in range(sent):
        assert clinic.receive("lab", 2 * size)[:8].tobytes() == number.to_bytes(8, "big")


def test_a_flood_of_beats_does_not_keep_the_others_waiting(star: Any) -> None:
    clinic, bank, puppet = star.clinic_bank_and_puppet()
    beats = puppet.writer.control(Type.BEAT, 0) * 5000
    flooding = True

    def flood() -> None:
        while flooding:
            puppet.stream.sendall(beats)

    flow = star.later(flood)
    try:
        for _ in range(5):
            bank.send("clinic", ONE)
            assert clinic.receive("bank", 100).tobytes() == b"one"
    finally:
        flooding = False
    flow.result(SAFETY)


def test_a_link_that_is_reset_while_its_queue_is_full_is_noticed_at_once(star: Any, small_queues: int) -> None:
    clinic, _bank, puppet = star.clinic_bank_and_puppet(wait=1.0)
    puppet.message(bytes(2 * small_queues))
    puppet.message(b"one more")
    waiting = star.later(clinic.receive, "bank", 100)
    puppet.reset()
    error = waiting.exception(SAFETY)
    assert isinstance(error, PeerLost)
    assert error.peer == "lab"


def test_to_stop_is_bounded_when_the_other_side_does_not_read(star: Any) -> None:
    clinic, _puppet = star.clinic_and_puppet()
    clinic.send("lab", [memoryview(bytes(16 << 20))])
    star.later(clinic.stop, "data").result(SAFETY)
    clinic.stop("data")  # and may be called again


def test_a_word_gets_through_while_much_is_queued(star: Any) -> None:
    clinic, puppet = star.clinic_and_puppet()
    for _ in range(3):
        clinic.send("lab", [memoryview(bytes(8 << 20))])
    stopping = star.later(clinic.stop, "data")
    while (heard := puppet.hear())[0] is Type.DATA:
        pass
    assert heard == (Type.STOP, b"data")
    stopping.result(SAFETY)


def test_finish_waits_for_the_others_and_delivers_what_is_queued(star: Any) -> None:
    clinic, puppet = star.clinic_and_puppet()
    clinic.send("lab", [memoryview(bytes(5 << 20))])
    finishing = star.later(clinic.finish)
    left = 5 << 20
    while left:
        kind, payload = puppet.hear()
        assert kind is Type.DATA
        left -= len(payload)
    assert puppet.hear() == (Type.DONE, b"")
    assert not finishing.done()
    puppet.say(Type.DONE)
    assert finishing.result(SAFETY) == []


def test_finish_names_a_party_that_dies_before_its_farewell(star: Any) -> None:
    clinic, puppet = star.clinic_and_puppet(wait=1.0)
    finishing = star.later(clinic.finish)
    assert puppet.hear()[0] is Type.DONE
    puppet.stream.close()
    (failure,) = finishing.result(SAFETY)
    assert isinstance(failure, PeerLost)
    assert failure.peer == "lab"


@pytest.mark.parametrize("size", [3, 1 << 20])
def test_finish_refuses_what_nobody_asked_for(star: Any, small_queues: int, size: int) -> None:
    assert small_queues < 1 << 20
    clinic, puppet = star.clinic_and_puppet()
    sending = star.later(puppet.message, bytes(size))  # the larger one is never read to its end
    (failure,) = star.later(clinic.finish).result(SAFETY)
    assert isinstance(failure, ProtocolError)
    assert "lab sent a message that no role of this party asked for" in str(failure)
    sending.exception(SAFETY)


def test_what_is_sent_to_a_party_that_needs_no_more_and_has_gone_holds_nobody_up(
    star: Any, small_queues: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_LINGER", 0.2)
    clinic, bank, puppet = star.clinic_bank_and_puppet()
    puppet.say(Type.DONE)
    puppet.stream.close()

    def send_much() -> None:
        for _ in range(300):
            clinic.send("lab", [memoryview(bytes(small_queues))])

    star.later(send_much).result(SAFETY)
    bank.send("clinic", ONE)
    assert clinic.receive("bank", 100).tobytes() == b"one"
    farewell = star.later(bank.finish)
    assert star.later(clinic.finish).result(SAFETY) == []
    assert farewell.result(SAFETY) == []


def test_every_error_of_a_transport_is_raised_again_by_the_next_call(star: Any) -> None:
    clinic, puppet = star.clinic_and_puppet()
    puppet.stream.sendall(bytes(48))
    for call in (lambda: clinic.receive("lab", 100), lambda: clinic.send("lab", ONE), lambda: clinic.receive("lab", 1)):
        with pytest.raises(ProtocolError):
            call()


def test_what_came_before_a_stop_is_still_handed_out(star: Any) -> None:
    clinic, puppet = star.clinic_and_puppet()
    puppet.message(b"one")
    puppet.say(Type.STOP, b"mismatch")
    assert clinic.receive("lab", 100).tobytes() == b"one"
    with pytest.raises(
        StoppedError, match="lab stopped the session: it reports that the parties do not run the same job"
    ):
        clinic.receive("lab", 100)
