"""Keys and heads: what two parties agree on, and what one who does not keep to it meets."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from parties.identity import PrivateIdentity
from parties.ledger.heads import Bond, LedgerHead, Signer, exchange_heads_feature, exchange_heads_label
from parties.ledger.ledger import Ledger
from parties.ledger.record import PairKey, Standing
from parties.ledger.verify import examine
from parties.network import wire
from vsplit.protocol import ProtocolError, Receive, Send

JOB, SESSION = b"j" * 32, b"s" * 16
KEYS = {name: PrivateIdentity.generate() for name in ("clinic", "lab", "gym")}
IDENTITIES = {name: key.public.key for name, key in KEYS.items()}
BOND = Bond(JOB, SESSION, IDENTITIES)
MINE = Standing(20, b"h" * 32, 4, b"a" * 32, 7, b"b" * 32)
THEIRS = Standing(33, b"H" * 32, 7, b"b" * 32, 4, b"a" * 32)


def signer(name: str, bond: Bond = BOND) -> Signer:
    return Signer(name, bond, KEYS[name].sign)


def answer_of(role: Any, head: LedgerHead) -> Any:
    """What becomes of a role of the feature party that is sent this head."""
    assert isinstance(next(role), Send)
    assert isinstance(role.send(None), Receive)
    try:
        role.send(head)
    except StopIteration as end:
        return end.value
    raise AssertionError("the role goes on")


def test_both_sides_have_each_others_signatures() -> None:
    label = exchange_heads_label(signer("clinic"), {"lab": THEIRS, "gym": THEIRS}, ["lab", "gym"])
    assert next(label) == Receive("lab", LedgerHead, 1024)
    assert label.send(signer("lab").head("clinic", MINE)) == Receive("gym", LedgerHead, 1024)
    sends = [label.send(signer("gym").head("clinic", MINE)), label.send(None)]
    assert [send.to for send in sends] == ["lab", "gym"]
    with pytest.raises(StopIteration) as end:
        label.send(None)
    assert end.value.value["lab"].theirs.standing == MINE
    exchanged = answer_of(exchange_heads_feature(signer("lab"), MINE, "clinic"), sends[0].message)
    assert exchanged.theirs.standing == THEIRS
    assert exchanged.own.standing == MINE


def changed(head: LedgerHead, **fields: Any) -> LedgerHead:
    return msgspec.structs.replace(head, **fields)


NOT_SIGNED = "without its own signature"
OTHER_STORY = "has another record of what it and lab exchanged"
HEADS = {
    "a signature of somebody else": (Signer("clinic", BOND, KEYS["gym"].sign).head("lab", THEIRS), NOT_SIGNED),
    "one for another receiver": (signer("clinic").head("gym", THEIRS), NOT_SIGNED),
    "one of another session": (signer("clinic", Bond(JOB, b"S" * 16, IDENTITIES)).head("lab", THEIRS), NOT_SIGNED),
    "one for another job": (signer("clinic", Bond(b"J" * 32, SESSION, IDENTITIES)).head("lab", THEIRS), NOT_SIGNED),
    "the own head sent back": (signer("lab").head("clinic", MINE), NOT_SIGNED),
    "another number of lines than was signed": (changed(signer("clinic").head("lab", THEIRS), lines=34), NOT_SIGNED),
    "another stream than was signed": (
        changed(signer("clinic").head("lab", THEIRS), sent_stream=np.zeros(32, np.uint8)),
        NOT_SIGNED,
    ),
    "another story, signed": (
        signer("clinic").head("lab", Standing(33, b"H" * 32, 7, b"b" * 32, 4, b"A" * 32)),
        OTHER_STORY,
    ),
    "a message that this party never had": (
        signer("clinic").head("lab", Standing(33, b"H" * 32, 8, b"b" * 32, 4, b"a" * 32)),
        "there 8 messages left and 4 came, here 7 came and 4 left",
    ),
}


@pytest.mark.parametrize("what", HEADS)
def test_a_head_that_is_not_as_it_should_be_ends_the_session(what: str) -> None:
    head, sentence = HEADS[what]
    with pytest.raises(ProtocolError, match=sentence) as caught:
        answer_of(exchange_heads_feature(signer("lab"), MINE, "clinic"), head)
    assert caught.value.peer == "clinic"
    role = exchange_heads_label(signer("lab"), {"clinic": MINE}, ["clinic"])
    next(role)
    with pytest.raises(ProtocolError, match=sentence):
        role.send(head)


@pytest.mark.parametrize("fields", [{"lines": 0}, {"sent": -1}, {"received": 2**60}, {"lines": 2**60}])
def test_impossible_numbers_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a ledger has lines"):
        changed(signer("clinic").head("lab", THEIRS), **fields)


def test_both_ends_derive_the_same_key_and_nobody_else_does() -> None:
    key = BOND.pair_key("clinic", "lab", b"1" * 32, b"2" * 32)
    assert len(key) == 32
    others = [
        BOND.pair_key("clinic", "lab", b"2" * 32, b"1" * 32),
        BOND.pair_key("clinic", "gym", b"1" * 32, b"2" * 32),
        Bond(JOB, b"S" * 16, IDENTITIES).pair_key("clinic", "lab", b"1" * 32, b"2" * 32),
        Bond(b"J" * 32, SESSION, IDENTITIES).pair_key("clinic", "lab", b"1" * 32, b"2" * 32),
    ]
    assert key not in others


def test_no_guess_at_a_message_can_be_tested_with_the_ledgers_of_both(
    pairs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message of one bit: everything that the two ledgers hold is tried as a key, and none of it tells which bit it was."""
    forgotten: set[bytes] = set()
    set_key = Ledger.set_key
    monkeypatch.setattr(
        Ledger, "set_key", lambda ledger, peer, key: (forgotten.add(key), set_key(ledger, peer, key))[1]
    )
    pairs.talk(1, yes=(True, False))
    found = [examine(pairs.path(name)) for name in pairs.names]
    digests = {
        entry.digest
        for one in found
        for told in one.sessions.values()
        for way in told.streams.values()
        for entry in way
    }
    raw = b"".join(pairs.path(name).read_bytes() for name in pairs.names)
    held: set[bytes] = {b"", pairs.session_name(), pairs.session_name().hex().encode()}
    for text in raw.replace(b'"', b" ").replace(b",", b" ").replace(b":", b" ").split():
        held.add(text)
        if len(text) % 2 == 0 and set(text) <= set(b"0123456789abcdef"):
            held.add(bytes.fromhex(text.decode()))
    guesses = [wire.encode(pairs.Verdictlet(yes=yes)) for yes in (True, False)]

    def told_by(keys: set[bytes]) -> set[str]:
        tried = {
            PairKey(key).digest("clinic", at, guess).hex() for key in keys for at in range(1, 6) for guess in guesses
        }
        return tried & digests

    assert told_by(forgotten)
    assert not told_by(held)


def test_equal_messages_have_different_digests_in_one_session_and_in_two(pairs: Any) -> None:
    pairs.talk(2, yes=(True, True))
    pairs.talk(2, yes=(True, True))
    found = examine(pairs.path("lab"))
    digests = [
        entry.digest
        for told in found.sessions.values()
        for entry in told.streams["received", "clinic"]
        if entry.kind == "Verdictlet"
    ]
    assert len(set(digests)) == len(digests) == 8
