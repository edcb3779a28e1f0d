"""One conformance suite for every transport."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
import pytest

from parties.network.transport import QUEUE
from vsplit.protocol import (
    Array,
    Bytes,
    DataError,
    Message,
    ProtocolError,
    Role,
    Send,
    StoppedError,
    receive,
    work,
)


class Parcel(Message, frozen=True, kw_only=True, eq=False):
    reveals: ClassVar[str] = "the test's own bytes"

    number: int
    data: Annotated[Bytes, Array("uint8", (None,))]


class Other(Message, frozen=True, kw_only=True, eq=False):
    reveals: ClassVar[str] = "nothing"

    number: int


def parcel(number: int, size: int) -> Parcel:
    return Parcel(number=number, data=np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8))


def sender(to: str, sizes: list[int]) -> Role[None]:
    for number, size in enumerate(sizes):
        yield Send(to, parcel(number, size))


def receiver(source: str, sizes: list[int], limit: int = 1 << 30) -> Role[int]:
    for number, size in enumerate(sizes):
        message = yield from receive(source, Parcel, limit)
        assert message.number == number
        assert np.array_equal(message.data, parcel(number, size).data)
        assert message.data.flags.writeable
        assert message.data.ctypes.data % 64 == 0
    return len(sizes)


SIZES = [0, 1, 63, 64, 65, 16_384, 262_143, 262_144, 262_145, 3_000_000]


def test_messages_arrive_whole_and_in_order_in_both_directions(networks: Any) -> None:
    for giver, taker in (("lab", "clinic"), ("clinic", "lab")):
        roles = {"clinic": None, "lab": None}
        roles |= {giver: sender(taker, SIZES), taker: receiver(giver, SIZES)}
        outcome = networks.run(roles)
        assert outcome.all()[taker] == len(SIZES)
        assert outcome.farewells == {"clinic": [], "lab": []}


def test_two_parties_may_send_more_than_the_queues_hold_at_the_same_time_if_they_also_receive(networks: Any) -> None:
    def both(other: str) -> Role[int]:
        got = 0
        for number in range(12):
            yield Send(other, parcel(number, QUEUE // 8))
            got += (yield from receive(other, Parcel, QUEUE)).number
        return got

    outcome = networks.run({"clinic": both("lab"), "lab": both("clinic")})
    assert outcome.all() == {"clinic": 66, "lab": 66}


def test_a_receiver_that_is_slower_than_the_sender_holds_it_back_and_loses_nothing(networks: Any) -> None:
    sizes = [QUEUE // 4] * 12  # three times what a queue holds
    outcome = networks.run({"clinic": receiver("lab", sizes), "lab": sender("clinic", sizes)})
    assert outcome.all()["clinic"] == len(sizes)


def test_one_message_may_be_larger_than_the_queue_if_its_role_asks_for_it(networks: Any) -> None:
    sizes = [2 * QUEUE]
    outcome = networks.run({"clinic": receiver("lab", sizes, 3 * QUEUE), "lab": sender("clinic", sizes)})
    assert outcome.all()["clinic"] == 1


def test_three_feature_parties_are_kept_apart(networks: Any) -> None:
    names = ["lab", "bank", "vendor"]

    def label() -> Role[list[int]]:
        got = []
        for name in reversed(names):
            for _ in range(3):
                got.append((yield from receive(name, Other, 1000)).number)
        return got

    def feature(start: int) -> Role[None]:
        for number in range(3):
            yield Send("clinic", Other(number=start + number))

    roles = {"clinic": label()} | {name: feature(10 * index) for index, name in enumerate(names)}
    assert networks.run(roles).all()["clinic"] == [20, 21, 22, 10, 11, 12, 0, 1, 2]


def test_a_message_of_another_kind_names_the_peer_and_both_kinds(networks: Any) -> None:
    outcome = networks.run({"clinic": receiver("lab", [1]), "lab": sender_of_other("clinic")})
    error = outcome.errors["clinic"]
    assert isinstance(error, ProtocolError)
    assert error.peer == "lab"
    assert "Other" in str(error) and "Parcel" in str(error)


def sender_of_other(to: str) -> Role[None]:
    yield Send(to, Other(number=1))
    yield from receive(to, Other, 1000)  # stays, so that the other side's verdict is seen


def test_the_party_that_was_told_to_stop_says_who_stopped_and_why(networks: Any) -> None:
    outcome = networks.run({"clinic": receiver("lab", [1]), "lab": sender_of_other("clinic")})
    error = outcome.errors["lab"]
    assert isinstance(error, StoppedError)
    assert error.peer == "clinic"
    assert "violated the protocol" in str(error)


def test_a_message_longer_than_the_role_takes_is_refused_by_name(networks: Any) -> None:
    outcome = networks.run({"clinic": receiver("lab", [5000], limit=4000), "lab": sender("clinic", [5000])})
    error = outcome.errors["clinic"]
    assert isinstance(error, ProtocolError)
    assert error.peer == "lab"
    assert "4,000" in str(error)


def test_a_peer_that_ends_too_early_is_named(networks: Any) -> None:
    outcome = networks.run({"clinic": receiver("lab", [1, 1]), "lab": sender("clinic", [1])})
    error = outcome.errors["clinic"]
    assert isinstance(error, ProtocolError)
    assert "lab ended the session before" in str(error)


def test_when_one_party_fails_at_home_all_others_stop_and_learn_one_word_only(networks: Any) -> None:
    def failing() -> Role[None]:
        yield from receive("clinic", Other, 1000)
        raise DataError("the column canary-7f3a holds nothing")

    def label() -> Role[None]:
        yield from receive("bank", Other, 1000)
        yield Send("lab", Other(number=1))  # all are here by now
        yield from receive("lab", Other, 1000)

    def bystander() -> Role[None]:
        yield Send("clinic", Other(number=1))
        yield from receive("clinic", Other, 1000)

    outcome = networks.run({"clinic": label(), "lab": failing(), "bank": bystander()})
    assert isinstance(outcome.errors["lab"], DataError)
    for name in ("clinic", "bank"):
        error = outcome.errors[name]
        assert isinstance(error, StoppedError)
        assert error.peer in {"lab", "clinic"}  # over TLS the bank has a link to the clinic only
        assert "canary" not in str(error)


def test_work_runs_and_its_errors_reach_the_role(networks: Any) -> None:
    def role() -> Role[str]:
        assert (yield from work(divmod, [(7, 2), (9, 4)])) == [(3, 1), (2, 1)]
        try:
            yield from work(divmod, [(1, 0)])
        except ZeroDivisionError:
            return "seen"
        return "missed"

    def idle() -> Role[None]:
        return
        yield

    assert networks.run({"clinic": role(), "lab": idle()}).all()["clinic"] == "seen"


def test_traffic_is_counted_alike_on_both_sides(networks: Any) -> None:
    outcome = networks.run({"clinic": receiver("lab", SIZES), "lab": sender("clinic", SIZES)})
    outcome.all()
    sent = outcome.traffic["lab"].counts["sent", "clinic", "Parcel"]
    received = outcome.traffic["clinic"].counts["received", "lab", "Parcel"]
    assert (sent.messages, sent.bytes) == (received.messages, received.bytes)
    assert sent.messages == len(SIZES)
    assert sent.bytes > sum(SIZES)


@pytest.mark.parametrize("size", [32_768])
def test_a_round_trip_can_be_repeated_many_times(networks: Any, size: int) -> None:
    def ping() -> Role[int]:
        for number in range(200):
            yield Send("lab", parcel(number, size))
            assert (yield from receive("lab", Parcel, size + 1000)).number == number
        return 200

    def pong() -> Role[None]:
        for _ in range(200):
            yield Send("clinic", (yield from receive("clinic", Parcel, size + 1000)))

    assert networks.run({"clinic": ping(), "lab": pong()}).all()["clinic"] == 200
