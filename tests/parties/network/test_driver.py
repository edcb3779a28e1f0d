"""The driver: what a role yields is done, and what goes wrong with it is raised inside the role."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest

from parties.network import codec
from parties.network.driver import OUT_OF_MEMORY, UNREADABLE, Traffic, Unrecorded, drive
from parties.network.worker_pool import Pool
from vsplit.protocol import (
    Array,
    Bytes,
    Checkpoint,
    Collect,
    LocalError,
    Message,
    Note,
    PeerLost,
    ProtocolError,
    Receive,
    Role,
    Send,
    VsplitError,
    Work,
    receive,
    work,
)


class Parcel(Message, frozen=True, kw_only=True, eq=False):
    reveals: ClassVar[str] = "the test's own bytes"

    data: Annotated[Bytes, Array("uint8", (None,))]


class Letter(Message, frozen=True, kw_only=True, eq=False):
    reveals: ClassVar[str] = "nothing"

    number: int


class Tape:
    """A transport that plays what is on it and records what it is given."""

    def __init__(self, *coming: Message | bytes | VsplitError) -> None:
        self.coming = list(coming)
        self.sent: list[tuple[str, bytes]] = []
        self.asked: list[tuple[str, int]] = []

    def send(self, to: str, parts: Sequence[memoryview]) -> None:
        self.sent.append((to, b"".join(parts)))

    def receive(self, sender: str, limit: int) -> Bytes:
        self.asked.append((sender, limit))
        item = self.coming.pop(0)
        if isinstance(item, VsplitError):
            raise item
        raw = item if isinstance(item, bytes) else b"".join(codec.encode(item))
        data = codec.buffer(len(raw))
        data[:] = np.frombuffer(raw, np.uint8)
        return data

    def finish(self) -> list[VsplitError]:
        return []

    def stop(self, word: str) -> None:
        pass


def test_every_effect_is_answered() -> None:
    notes: list[Note] = []

    def role() -> Role[Any]:
        answers: list[Any] = []
        answers.append((yield Send("lab", Letter(number=1))))
        answers.append((yield from receive("lab", Letter, 1234)).number)
        answers.append((yield from work(divmod, [(7, 2)])))
        ticket = yield Work(divmod, [(9, 4), (5, 5)], later=True)
        answers.append((yield Note("stage", 1, 2)))
        answers.append((yield Collect(ticket)))
        return answers

    tape = Tape(Letter(number=5))
    result = drive(role(), tape, Pool(), note=notes.append)
    assert result == [None, 5, [(3, 1)], None, [(2, 1), (1, 0)]]
    assert tape.asked == [("lab", 1234)]
    assert notes == [Note("stage", 1, 2)]


def test_a_role_that_asks_for_nothing_ends_at_once() -> None:
    def role() -> Role[str]:
        return "done"
        yield

    assert drive(role(), Tape(), Pool()) == "done"


def test_the_error_of_an_effect_is_raised_inside_the_role_which_may_say_more() -> None:
    def role() -> Role[None]:
        try:
            yield from work(divmod, [(1, 0)])
        except ZeroDivisionError:
            raise ProtocolError("lab", "lab sent a zero.") from None

    with pytest.raises(ProtocolError, match="lab sent a zero"):
        drive(role(), Tape(), Pool())


def test_a_role_may_go_on_after_an_error() -> None:
    def role() -> Role[int]:
        try:
            yield from receive("lab", Letter, 100)
        except PeerLost:
            return (yield from receive("bank", Letter, 100)).number
        return 0

    assert drive(role(), Tape(PeerLost("lab", "gone."), Letter(number=3)), Pool()) == 3


def test_an_error_that_the_role_does_not_catch_ends_it_as_it_is() -> None:
    closed = []

    def role() -> Role[None]:
        try:
            yield from receive("lab", Letter, 100)
        finally:
            closed.append(True)

    error = PeerLost("lab", "gone.")
    with pytest.raises(PeerLost) as caught:
        drive(role(), Tape(error), Pool())
    assert caught.value is error
    assert closed == [True]


def test_bytes_that_are_no_such_message_are_the_fault_of_the_sender() -> None:
    for wrong, sentence in ((b"\0\0\0\0garbage", "head"), (Letter(number=1), "of kind Letter where Parcel was due")):

        def role() -> Role[None]:
            yield from receive("lab", Parcel, 100)

        with pytest.raises(ProtocolError, match=sentence) as caught:
            drive(role(), Tape(wrong), Pool())
        assert caught.value.peer == "lab"
        assert str(caught.value).startswith("lab sent ")


def test_what_is_no_message_cannot_be_sent_and_is_not_counted() -> None:
    class Loose(Message, frozen=True, kw_only=True, eq=False):
        reveals: ClassVar[str] = "nothing"
        value: Any

    def role() -> Role[None]:
        yield Send("lab", Loose(value=object()))

    tape, traffic = Tape(), Traffic()
    with pytest.raises(TypeError):
        drive(role(), tape, Pool(), traffic=traffic)
    assert tape.sent == []
    assert not traffic.counts


def test_traffic_counts_messages_and_bytes_by_direction_party_and_kind() -> None:
    def role() -> Role[None]:
        for size in (0, 100):
            yield Send("lab", Parcel(data=np.zeros(size, np.uint8)))
        yield Send("bank", Letter(number=1))
        yield from receive("lab", Letter, 100)

    tape, traffic = Tape(Letter(number=5)), Traffic()
    drive(role(), tape, Pool(), traffic=traffic)
    counts = {key: (count.messages, count.bytes) for key, count in traffic.counts.items()}
    sizes = [len(raw) for _, raw in tape.sent]
    assert counts == {
        ("sent", "lab", "Parcel"): (2, sizes[0] + sizes[1]),
        ("sent", "bank", "Letter"): (1, sizes[2]),
        ("received", "lab", "Letter"): (1, codec.size_of(codec.encode(Letter(number=5)))),
    }


class Diary:
    """A recorder that writes down what it is told, and what the transport had sent by then."""

    def __init__(self, tape: Tape, failing: bool = False) -> None:
        self.tape = tape
        self.failing = failing
        self.told: list[tuple[str, str, str, bytes, int]] = []

    def sent(self, to: str, kind: str, parts: Sequence[memoryview]) -> None:
        self._tell("sent", to, kind, b"".join(parts))

    def received(self, sender: str, kind: str, data: Bytes) -> None:
        self._tell("received", sender, kind, data.tobytes())

    def _tell(self, direction: str, peer: str, kind: str, raw: bytes) -> None:
        if self.failing:
            raise LocalError("The disk is full.")
        self.told.append((direction, peer, kind, raw, len(self.tape.sent)))


def lines_of(diary: Diary) -> list[tuple[str, str, int]]:
    """Direction and other party of each line, and how many messages had left by then."""
    return [(direction, peer, sent) for direction, peer, _, _, sent in diary.told]


def test_a_message_is_on_record_before_it_leaves_and_before_the_role_has_it() -> None:
    seen = []

    def role() -> Role[None]:
        yield Send("lab", Letter(number=1))
        yield from receive("lab", Letter, 100)
        seen.append(len(diary.told))
        yield Send("bank", Letter(number=2))

    tape = Tape(Letter(number=5))
    diary = Diary(tape)
    drive(role(), tape, Pool(), ledger=diary)
    assert lines_of(diary) == [("sent", "lab", 0), ("received", "lab", 1), ("sent", "bank", 1)]
    assert [raw for direction, _, _, raw, _ in diary.told if direction == "sent"] == [raw for _, raw in tape.sent]
    assert [raw for direction, _, _, raw, _ in diary.told if direction == "received"] == [
        b"".join(codec.encode(Letter(number=5)))
    ]
    assert seen == [2]


@pytest.mark.parametrize("to", ["lab", "bank"])
def test_what_may_wait_for_its_answer_is_on_record_as_soon_as_one_message_has_left(to: str) -> None:
    def role() -> Role[None]:
        yield from receive("lab", Letter, 100, answer_first=True)
        yield Send(to, Letter(number=2))
        yield Send("bank", Letter(number=3))

    tape = Tape(Letter(number=5))
    diary = Diary(tape)
    drive(role(), tape, Pool(), ledger=diary)
    assert lines_of(diary) == [("sent", to, 0), ("received", "lab", 1), ("sent", "bank", 1)]


def test_what_may_wait_for_its_answer_is_on_record_before_anything_else_is_done() -> None:
    seen: list[int] = []

    def look(*_: object) -> None:
        seen.append(len(diary.told))

    class WatchedTape(Tape):
        def receive(self, sender: str, limit: int) -> Bytes:
            if sender == "bank":
                look()
            return super().receive(sender, limit)

    class WatchedPool(Pool):
        def start(self, function: Any, pieces: Any) -> object:
            look()
            return super().start(function, pieces)

        def collect(self, ticket: Any) -> list[Any]:
            look()
            return super().collect(ticket)

    def role() -> Role[None]:
        ticket = yield Work(divmod, [(7, 2)], later=True)
        seen.clear()
        for effect in (
            Note("stage", 1, 2),
            Work(divmod, [(7, 2)]),
            Work(divmod, [(7, 2)], later=True),
            Collect(ticket),
            Checkpoint(3, "state"),
            Receive("bank", Letter, 100, answer_first=True),
        ):
            yield from receive("lab", Letter, 100, answer_first=True)
            yield effect

    tape = WatchedTape(*[Letter(number=number) for number in range(7)])
    diary = Diary(tape)
    drive(role(), tape, WatchedPool(), ledger=diary, note=look, checkpoint=look)
    assert seen == [1, 2, 2, 3, 4, 5, 6]  # what is not for later is begun and collected
    assert len(diary.told) == 7


@pytest.mark.parametrize("error", [None, ProtocolError("lab", "lab sent an odd number."), KeyboardInterrupt()])
def test_what_may_wait_for_its_answer_is_on_record_when_the_role_ends_without_one(error: BaseException | None) -> None:
    def role() -> Role[None]:
        yield from receive("lab", Letter, 100, answer_first=True)
        if error is not None:
            raise error

    tape = Tape(Letter(number=5))
    diary = Diary(tape)
    with nullcontext() if error is None else pytest.raises(type(error)):
        drive(role(), tape, Pool(), ledger=diary)
    assert lines_of(diary) == [("received", "lab", 0)]


def test_what_may_wait_for_its_answer_is_on_record_when_this_cannot_leave() -> None:
    class Gone(Tape):
        def send(self, to: str, parts: Sequence[memoryview]) -> None:
            raise PeerLost(to, "gone.")

    def role() -> Role[None]:
        yield from receive("lab", Letter, 100, answer_first=True)
        yield Send("lab", Letter(number=2))

    tape = Gone(Letter(number=5))
    diary = Diary(tape)
    with pytest.raises(PeerLost):
        drive(role(), tape, Pool(), ledger=diary)
    assert lines_of(diary) == [("sent", "lab", 0), ("received", "lab", 0)]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (LocalError("The disk is full."), LocalError("The disk is full.")),
        (MemoryError(), LocalError(OUT_OF_MEMORY)),
        (KeyboardInterrupt(), KeyboardInterrupt()),
    ],
)
@pytest.mark.parametrize("answer_first", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_what_came_and_cannot_be_recorded_ends_the_role_and_is_tried_once(
    error: BaseException, raised: BaseException, answer_first: bool, last: bool
) -> None:
    steps = []

    class Failing(Unrecorded):
        def received(self, sender: str, kind: str, data: Bytes) -> None:
            steps.append("record")
            raise error

    def role() -> Role[str]:
        try:
            yield from receive("lab", Letter, 100, answer_first=answer_first)
            steps.append("got it")
            if not last:
                yield Note("stage", 1, 2)
                steps.append("went on")
        finally:
            steps.append("closed")
        return "done"

    with pytest.raises(type(raised), match=f"^{raised}$"):
        drive(role(), Tape(Letter(number=5)), Pool(), ledger=Failing())
    before, after = ["record", "closed"], ["got it", "closed", "record"] if last else ["got it", "record", "closed"]
    assert steps == (after if answer_first else before)


def test_nothing_leaves_that_cannot_be_recorded() -> None:
    def role() -> Role[None]:
        yield Send("lab", Letter(number=1))

    tape = Tape()
    with pytest.raises(LocalError, match="The disk is full"):
        drive(role(), tape, Pool(), ledger=Diary(tape, failing=True))
    assert tape.sent == []


def test_bytes_that_are_no_message_are_on_record_as_such() -> None:
    def role() -> Role[None]:
        yield from receive("lab", Parcel, 100)

    tape = Tape(Letter(number=1))
    diary = Diary(tape)
    with pytest.raises(ProtocolError):
        drive(role(), tape, Pool(), ledger=diary)
    assert [(direction, peer, kind) for direction, peer, kind, _, _ in diary.told] == [("received", "lab", UNREADABLE)]


def test_each_wait_is_told_with_its_cause() -> None:
    def role() -> Role[None]:
        yield Send("lab", Letter(number=1))
        yield from receive("bank", Letter, 100)
        yield from work(divmod, [(7, 2)])
        yield Collect((yield Work(divmod, [(9, 4)], later=True)))

    waits: list[tuple[str, str]] = []

    def waited(cause: str, peer: str, seconds: float) -> None:
        assert seconds >= 0
        waits.append((cause, peer))

    drive(role(), Tape(Letter(number=5)), Pool(), waited=waited)
    assert waits == [("send", "lab"), ("receive", "bank"), ("pool", ""), ("pool", "")]


def test_a_wait_that_ends_in_an_error_is_told_as_well() -> None:
    def role() -> Role[None]:
        yield from receive("lab", Letter, 100)

    waits: list[str] = []
    with pytest.raises(PeerLost):
        drive(role(), Tape(PeerLost("lab", "gone.")), Pool(), waited=lambda cause, _peer, _seconds: waits.append(cause))
    assert waits == ["receive"]


def test_a_state_is_kept_before_the_role_goes_on() -> None:
    kept: list[Checkpoint] = []

    def role() -> Role[int]:
        yield Checkpoint(3, "state")
        return len(kept)

    assert drive(role(), Tape(), Pool(), checkpoint=kept.append) == 1
    assert kept == [Checkpoint(3, "state")]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_a_person_who_interrupts_lets_the_role_clean_up(interruption: type[BaseException]) -> None:
    steps = []

    def interrupted() -> None:
        raise interruption

    def role() -> Role[None]:
        try:
            yield from work(interrupted, [()])
        except Exception:
            steps.append("taken for an error")
        finally:
            steps.append("closed")

    with pytest.raises(interruption):
        drive(role(), Tape(), Pool())
    assert steps == ["closed"]


def test_a_function_that_raises_stop_iteration_does_not_end_the_role_with_success() -> None:
    def role() -> Role[str]:
        yield from work(next, [(iter(()),)])
        return "success"

    with pytest.raises(RuntimeError):
        drive(role(), Tape(), Pool())


def test_a_role_that_runs_out_of_memory_itself_ends_with_a_sentence() -> None:
    """As one may that makes room for a list of the size that a peer announced."""

    def greedy() -> Role[None]:
        yield Note("before", 0, 1)
        raise MemoryError

    with pytest.raises(LocalError, match=OUT_OF_MEMORY):
        drive(greedy(), Tape(), Pool())
