"""Connections that have proved nothing: sources, shares, turns, callers, and what counts as the first words of TLS."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from benchmarks.faults_parts.strangers import client_hello as fresh_hello
from parties.network.caller_mark import CallerMarks, caller_mark
from parties.network.identity import PrivateIdentity
from parties.network.pending import CALLS, Pace, Pending, PendingConnections, client_hello, source_of


@pytest.fixture
def plain() -> Iterator[socket.socket]:
    with socket.socket() as one:
        yield one


def come(pending: PendingConnections, plain: socket.socket, source: bytes, numbers: range) -> list[Pending]:
    """Connections with these descriptors; too many end as they do at the port."""
    ended = []
    for number in numbers:
        if pending.full and (surplus := pending.surplus()) is not None:
            pending.remove(surplus)
            ended.append(surplus)
        pending.add(Pending(plain, source, 0.0, number))
    return ended


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("::ffff:10.1.2.3", "10.1.2.3", True),
        ("::ffff:10.1.2.3", "::ffff:10.1.2.4", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::1", True),
        ("::1", "10.1.2.3", False),
    ],
)
def test_what_counts_as_one_source(one: str, other: str, same: bool) -> None:
    assert (source_of(one) == source_of(other)) is same


def test_the_source_with_most_gives_way_and_its_oldest_goes_first(plain: socket.socket) -> None:
    pending = PendingConnections(8)
    come(pending, plain, b"honest", range(1))
    ended = come(pending, plain, b"flood", range(100, 120))
    assert [one.descriptor for one in ended] == list(range(100, 113))
    assert pending.get(0) is not None
    assert len(pending) == 8


def test_of_many_sources_none_has_more_than_its_share(plain: socket.socket) -> None:
    pending = PendingConnections(8)
    for source in range(100, 107):
        come(pending, plain, bytes([source]), range(source, source + 1))
    come(pending, plain, b"two", range(2))
    assert [one.source for one in come(pending, plain, b"honest", range(50, 51))] == [b"two"]


def test_silence_however_much_of_it_ends_no_handshake_and_handshakes_leave_room(plain: socket.socket) -> None:
    pending = PendingConnections(8)
    for number in range(8):
        come(pending, plain, b"same address", range(number, number + 1))
        pending.hello_came(next(one for one in pending if one.descriptor == number), None)
        if number < 3:
            pending.next_turn()
    ended = come(pending, plain, b"same address", range(100, 200))
    assert not {0, 1, 2} & {one.descriptor for one in ended}
    while pending.any_ready:
        pending.next_turn()
    pending.hello_came(next(one for one in pending if one.descriptor == 199), None)
    pending.next_turn()
    for number in (200, 201):
        come(pending, plain, b"same address", range(number, number + 1))
        pending.hello_came(next(one for one in pending if one.descriptor == number), None)
        pending.next_turn()
    come(pending, plain, b"same address", range(300, 310))
    assert sum(one.descriptor >= 300 for one in pending) == 4  # half of all, at any time


def test_sources_take_turns(plain: socket.socket) -> None:
    pending = PendingConnections(100)
    come(pending, plain, b"flood", range(50))
    for one in pending:
        pending.hello_came(one, None)
    come(pending, plain, b"honest", range(50, 52))
    for one in list(pending)[50:]:
        pending.hello_came(one, None)
    turns = [pending.next_turn().source for _ in range(5)]
    assert turns == [b"flood", b"honest", b"flood", b"honest", b"flood"]


def test_a_caller_is_served_first_and_only_another_call_of_its_party_ends_it(plain: socket.socket) -> None:
    pending = PendingConnections(8)
    come(pending, plain, b"flood", range(8))
    for one in pending:
        pending.hello_came(one, None)
    come(pending, plain, b"flood", range(8, 9))
    caller = pending.get(8)
    assert caller is not None
    assert pending.hello_came(caller, "lab") is None
    assert pending.next_turn() is caller
    assert caller not in come(pending, plain, b"flood", range(100, 200))
    older = None
    for number in range(200, 200 + CALLS):
        come(pending, plain, b"elsewhere", range(number, number + 1))
        again = pending.get(number)
        assert again is not None
        older = pending.hello_came(again, "lab")
    assert older is caller


def test_a_pace_has_a_burst_and_a_rate() -> None:
    pace = Pace(10.0, 4)
    assert [pace.take(100.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert pace.wait(100.0) == pytest.approx(0.1)
    assert [pace.take(100.11), pace.take(100.12)] == [True, False]
    assert [pace.take(200.0) for _ in range(6)] == [True] * 4 + [False] * 2


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (b"", None),
        (fresh_hello()[:1], None),
        (fresh_hello()[:5], None),
        (fresh_hello()[:-1], None),
        (fresh_hello(), True),
        (fresh_hello() + b"more", True),
        (b"GET / HTTP/1.1\r\n\r\n", ConnectionError),
        (bytes(40), ConnectionError),
        (b"\x16\x03\x01\xff\xff" + bytes(40), ConnectionError),
        (b"\x16\x03\x01\x00\x00", ConnectionError),
        (b"\x16\x03\x01\x01\x00\x02", ConnectionError),
        (b"\x16\x02", ConnectionError),
    ],
)
def test_what_is_a_client_hello(words: bytes, found: object) -> None:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.sendall(words)
        if found is ConnectionError:
            with pytest.raises(ConnectionError):
                client_hello(here)
        else:
            assert (client_hello(here) is not None) is bool(found)
        assert words == b"" or here.recv(1 << 15) == words  # nothing was taken


def test_who_closes_without_a_word_is_gone() -> None:
    here, there = socket.socketpair()
    with here:
        here.setblocking(False)
        there.close()
        with pytest.raises(ConnectionError, match="before it sent anything"):
            client_hello(here)


def test_a_mark_shows_who_calls_once() -> None:
    label, lab, bank, stranger = (PrivateIdentity.generate().public for _ in range(4))
    marks = CallerMarks(label, {"lab": lab, "bank": bank})
    mark = b"..." + caller_mark(lab, label).encode() + b"..."
    assert marks.caller(mark) == "lab"
    assert marks.caller(mark) is None  # somebody has seen it and uses it again
    assert marks.caller(caller_mark(bank, label).encode()) == "bank"
    assert marks.caller(caller_mark(stranger, label).encode()) is None
    assert marks.caller(caller_mark(lab, stranger).encode()) is None  # it is for another label party
    assert marks.caller(caller_mark(lab, label).encode()[:-1] + b"g") is None
    assert marks.caller(fresh_hello()) is None


def test_two_marks_of_a_party_have_nothing_in_common_and_hold_no_identity() -> None:
    label, lab = (PrivateIdentity.generate().public for _ in range(2))
    one, other = (caller_mark(lab, label).removeprefix("vsplit-caller/") for _ in range(2))
    assert len(one) == 64
    assert one[:32] != other[:32]
    assert one[32:] != other[32:]
    assert not {lab.key.hex(), label.key.hex()} & {one, other}


def test_marks_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parties.network.caller_mark._REMEMBERED", 3)
    label, lab = (PrivateIdentity.generate().public for _ in range(2))
    marks = CallerMarks(label, {"lab": lab})
    for _ in range(10):
        assert marks.caller(caller_mark(lab, label).encode()) == "lab"
    assert len(marks._used["lab"]) == 3
