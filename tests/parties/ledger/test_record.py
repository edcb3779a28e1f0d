"""Lines, chain, digests and streams."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from hypothesis import given
from hypothesis import strategies as st

from parties.ledger.digests import OpenKey, PairKey
from parties.ledger.ledger_state import LedgerState, Stream
from parties.ledger.record import MOST, NO_HASH, Crossed, chained, decode, encode

TIME = datetime(2026, 3, 1, 12, 30, 1, 250_000, tzinfo=UTC)


def crossed(**said: object) -> Crossed:
    fields: dict[str, object] = {
        "line": 7,
        "time": TIME,
        "before": NO_HASH,
        "direction": "sent",
        "peer": "lab",
        "kind": "Embedding",
        "session": "ab" * 16,
        "number": 3,
        "size": 1000,
        "digest": "cd" * 16,
    }
    return Crossed(**(fields | said))  # type: ignore[arg-type]


def test_a_line_is_json_that_a_person_can_read_and_comes_back_as_it_was() -> None:
    raw = encode(crossed())
    assert json.loads(raw) == {
        "what": "message",
        "line": 7,
        "time": "2026-03-01T12:30:01.250000Z",
        "before": NO_HASH,
        "direction": "sent",
        "peer": "lab",
        "kind": "Embedding",
        "session": "ab" * 16,
        "number": 3,
        "size": 1000,
        "digest": "cd" * 16,
    }
    assert encode(decode(raw)) == raw
    assert b"\n" not in raw
    assert chained(raw) == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"message"', '"massage"'),
        ('"line":7', '"line":0'),
        ('"line":7', f'"line":{MOST + 1}'),
        ('"line":7', '"line":7.5'),
        ('"size":1000', '"size":-1'),
        ('"peer":"lab"', '"peer":"\\u001b[2J"'),
        ('"kind":"Embedding"', '"kind":"a\\nb"'),
        ('"number":3', '"number":3,"more":1'),
        ('"number":3,', ""),
        ("cdcd", "CDCD"),
        ("Z", ""),
        ("{", "["),
    ],
)
def test_what_is_no_line_is_refused(old: str, new: str) -> None:
    text = encode(crossed()).decode()
    assert old in text
    with pytest.raises(ValueError):
        decode(text.replace(old, new, 1).encode())


def test_a_line_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        decode(b" " * 100_000 + encode(crossed()))


def test_the_digest_is_the_tag_of_a_message_that_is_authenticated_only() -> None:
    key, content = b"k" * 32, b"x" * 70_000
    encryptor = Cipher(AES(hmac.digest(key, b"lab", "sha256")), GCM((5).to_bytes(12, "big"))).encryptor()
    encryptor.authenticate_additional_data(content)
    encryptor.finalize()
    parts = [memoryview(content[:70]), memoryview(b""), memoryview(content[70:])]
    expected = PairKey(key).digest("lab", 5, parts)
    assert expected == PairKey(key).digest("lab", 5, [content]) == encryptor.tag
    others = [
        PairKey(b"K" * 32).digest("lab", 5, parts),
        PairKey(key).digest("lab", 6, parts),
        PairKey(key).digest("gym", 5, parts),
        PairKey(key).digest("lab", 5, parts[:1]),
        PairKey(key).digest("lab", 5, [content[:-1] + b"y"]),
        PairKey(key).digest("lab", 5, [content[:-1]]),
        PairKey(key).digest("lab", 5, [content + b"\0"]),
    ]
    assert len({expected, *others}) == 8
    assert "kkk" not in repr(PairKey(key))


def test_a_long_message_of_several_parts_has_the_same_tag_as_in_one() -> None:
    content = bytes(range(256)) * 8192
    parts = [memoryview(content[:100]), memoryview(b""), memoryview(content[100:])]
    assert PairKey(b"k" * 32).digest("lab", 5, parts) == PairKey(b"k" * 32).digest("lab", 5, [content])


def test_before_there_is_a_key_the_digest_is_a_hash() -> None:
    session, parts = b"s" * 16, [memoryview(b"one"), memoryview(b""), memoryview(b"two")]
    expected = hmac.digest(session, (5).to_bytes(8, "big") + b"\x03labonetwo", "sha256")[:16]
    assert OpenKey(session).digest("lab", 5, parts) == expected


def test_the_tag_is_that_of_the_specification_of_gcm(monkeypatch: pytest.MonkeyPatch) -> None:
    # McGrew and Viega, "The Galois/Counter Mode of Operation", test case 13: key, nonce and message all of zeros or empty.
    monkeypatch.setattr(hmac, "digest", lambda *_: bytes(32))
    assert PairKey(b"").digest("lab", 0, []).hex() == "530f8afbc74536b9a963b4f1c4cb738b"


@given(st.lists(st.tuples(st.sampled_from(["A", "AB"]), st.integers(0, 300), st.binary(min_size=16, max_size=16))))
def test_two_streams_are_equal_exactly_where_their_messages_are(told: list[tuple[str, int, bytes]]) -> None:
    one, two = Stream(), Stream(recent=4)
    for entry in told:
        one.add(*entry)
        two.add(*entry)
    assert one.value() == two.value()
    for place, (kind, size, digest) in enumerate(told):
        changed = Stream()
        for number, entry in enumerate(told):
            changed.add(*((kind, size + 1, digest) if number == place else entry))
        assert changed.value() != one.value()
    assert len({stream_of(told[:count]) for count in range(len(told) + 1)}) == len(told) + 1


def stream_of(told: list[tuple[str, int, bytes]]) -> bytes:
    stream = Stream()
    for entry in told:
        stream.add(*entry)
    return stream.value()


def test_a_stream_knows_what_it_was_a_few_messages_ago() -> None:
    stream, values = Stream(recent=3), []
    for number in range(6):
        values.append(stream.value())
        stream.add("A", number, bytes(32))
    assert [stream.value_at(count) for count in (6, 5, 4)] == [stream.value(), values[5], values[4]]
    assert stream.value_at(2) is None
    assert stream.value_at(7) is None
    assert Stream(recent=3).value_at(0) == Stream().value()


def test_two_standings_agree_where_each_received_what_the_other_sent() -> None:
    mine = LedgerState(10, bytes(32), 2, b"s" * 32, 3, b"r" * 32)
    assert mine.agrees_with(LedgerState(99, b"x" * 32, 3, b"r" * 32, 2, b"s" * 32))
    assert not mine.agrees_with(mine)
    assert not mine.agrees_with(LedgerState(99, b"x" * 32, 3, b"R" * 32, 2, b"s" * 32))
    assert not mine.agrees_with(LedgerState(99, b"x" * 32, 4, b"r" * 32, 2, b"s" * 32))


def test_a_line_needs_no_clock_of_coordinated_time_to_be_read() -> None:
    there = timezone(timedelta(hours=2))
    assert decode(encode(crossed(time=TIME.astimezone(there)))).time == TIME
