"""Keys and heads: what two parties agree on, and what one who does not keep to it meets."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from parties.ledger.digests import PairKey
from parties.ledger.heads import exchange_heads_feature, exchange_heads_label
from parties.ledger.ledger import Ledger
from parties.ledger.ledger_state import LedgerState, SignedLine
from parties.ledger.messages import LedgerHead, LedgerLastLine
from parties.ledger.signing import SessionBinding, Signer
from parties.ledger.verify import examine
from parties.network import codec
from parties.network.identity import PrivateIdentity
from vsplit.protocol import ProtocolError, Receive, Send

JOB, SESSION = b"j" * 32, b"s" * 16
KEYS = {name: PrivateIdentity.generate() for name in ("clinic", "lab", "gym")}
IDENTITIES = {name: key.public.key for name, key in KEYS.items()}
BOND = SessionBinding(JOB, SESSION, IDENTITIES)
MINE = LedgerState(20, b"h" * 32, 4, b"a" * 32, 7, b"b" * 32)
THEIRS = LedgerState(33, b"H" * 32, 7, b"b" * 32, 4, b"a" * 32)
MY_PIN, THEIR_PIN = SignedLine(20, b"h" * 32, False), SignedLine(33, b"H" * 32, False)
"""What a head says of the last line in the ledger of `MINE`, and in that of `THEIRS`."""


def signer(name: str, binding: SessionBinding = BOND) -> Signer:
    return Signer(name, binding, KEYS[name].sign)


def last_line(state: LedgerState) -> LedgerLastLine:
    return LedgerLastLine(lines=state.lines, head=np.frombuffer(state.head, np.uint8))


def answer_of(role: Any, head: LedgerHead) -> Any:
    """What becomes of a role of the feature party that is sent this head."""
    told = next(role)
    assert isinstance(told, Send) and isinstance(told.message, LedgerLastLine)
    assert isinstance(role.send(None), Receive)
    sent = role.send(head)
    assert isinstance(sent, Send)
    try:
        role.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("the role goes on")


def answer_of_label(role: Any, head: LedgerHead, told: LedgerState) -> Any:
    """What becomes of a label party's role whose one feature party tells of this line, and sends this head."""
    assert next(role) == Receive("clinic", LedgerLastLine, 1024)
    assert isinstance(role.send(last_line(told)), Send)
    assert role.send(None) == Receive("clinic", LedgerHead, 1024)
    try:
        role.send(head)
    except StopIteration as end:
        return end.value
    raise AssertionError("the role goes on")


@pytest.mark.parametrize("final", [False, True])
def test_both_sides_have_each_others_signatures_under_the_last_lines_that_they_told(final: bool) -> None:
    label = exchange_heads_label(signer("clinic"), {"lab": THEIRS, "gym": THEIRS}, ["lab", "gym"], final=final)
    assert next(label) == Receive("lab", LedgerLastLine, 1024)
    assert label.send(last_line(MINE)) == Receive("gym", LedgerLastLine, 1024)
    sends = [label.send(last_line(MINE)), label.send(None)]
    assert [send.to for send in sends] == ["lab", "gym"]
    assert [send.message.signed_line for send in sends] == [SignedLine(20, b"h" * 32, final)] * 2
    exchanged = answer_of(exchange_heads_feature(signer("lab"), MINE, "clinic", final=final), sends[0].message)
    assert exchanged.theirs.state == THEIRS
    assert exchanged.own.state == MINE
    assert exchanged.own.signed_line == SignedLine(33, b"H" * 32, final)
    assert label.send(None) == Receive("lab", LedgerHead, 1024)
    assert label.send(exchanged.own) == Receive("gym", LedgerHead, 1024)
    with pytest.raises(StopIteration) as end:
        label.send(signer("gym").head("clinic", MINE, SignedLine(33, b"H" * 32, final)))
    assert end.value.value["lab"].theirs.state == MINE
    assert end.value.value["lab"].own.state == THEIRS


def changed(head: LedgerHead, **fields: Any) -> LedgerHead:
    return msgspec.structs.replace(head, **fields)


NOT_SIGNED = "without its own signature"
OTHER_STORY = "has another record of what it and lab exchanged"
OTHER_LINE = "clinic signed for another line of the ledger of lab than the last one, line 20, or for another moment"
HEADS = {
    "a signature of somebody else": (Signer("clinic", BOND, KEYS["gym"].sign).head("lab", THEIRS, MY_PIN), NOT_SIGNED),
    "one for another receiver": (signer("clinic").head("gym", THEIRS, MY_PIN), NOT_SIGNED),
    "one of another session": (
        signer("clinic", SessionBinding(JOB, b"S" * 16, IDENTITIES)).head("lab", THEIRS, MY_PIN),
        NOT_SIGNED,
    ),
    "one for another job": (
        signer("clinic", SessionBinding(b"J" * 32, SESSION, IDENTITIES)).head("lab", THEIRS, MY_PIN),
        NOT_SIGNED,
    ),
    "the own head sent back": (signer("lab").head("clinic", MINE, MY_PIN), NOT_SIGNED),
    "another number of lines than was signed": (
        changed(signer("clinic").head("lab", THEIRS, MY_PIN), lines=34),
        NOT_SIGNED,
    ),
    "another stream than was signed": (
        changed(signer("clinic").head("lab", THEIRS, MY_PIN), sent_stream=np.zeros(32, np.uint8)),
        NOT_SIGNED,
    ),
    "another story, signed": (
        signer("clinic").head("lab", LedgerState(33, b"H" * 32, 7, b"b" * 32, 4, b"A" * 32), MY_PIN),
        OTHER_STORY,
    ),
    "a message that this party never had": (
        signer("clinic").head("lab", LedgerState(33, b"H" * 32, 8, b"b" * 32, 4, b"a" * 32), MY_PIN),
        "there 8 messages left and 4 came, here 7 came and 4 left",
    ),
    "another last line than was told": (
        changed(signer("clinic").head("lab", THEIRS, MY_PIN), peer_lines=19),
        NOT_SIGNED,
    ),
    "another last line than was told, signed": (
        signer("clinic").head("lab", THEIRS, SignedLine(19, b"h" * 32, False)),
        OTHER_LINE,
    ),
    "another hash of it, signed": (signer("clinic").head("lab", THEIRS, SignedLine(20, b"g" * 32, False)), OTHER_LINE),
    "an end where the training goes on, signed": (
        signer("clinic").head("lab", THEIRS, SignedLine(20, b"h" * 32, True)),
        OTHER_LINE,
    ),
    "an end that was not signed": (changed(signer("clinic").head("lab", THEIRS, MY_PIN), final=True), NOT_SIGNED),
}


@pytest.mark.parametrize("what", HEADS)
def test_a_head_that_is_not_as_it_should_be_ends_the_session(what: str) -> None:
    head, sentence = HEADS[what]
    with pytest.raises(ProtocolError, match=sentence) as caught:
        answer_of(exchange_heads_feature(signer("lab"), MINE, "clinic"), head)
    assert caught.value.peer == "clinic"
    role = exchange_heads_label(signer("lab"), {"clinic": MINE}, ["clinic"])
    with pytest.raises(ProtocolError, match=sentence):
        answer_of_label(role, head, THEIRS)


def test_a_feature_party_signs_for_the_line_that_it_told() -> None:
    """Or the label party would hold it to one line and have signed for another one."""
    told = LedgerState(32, b"I" * 32, 7, b"b" * 32, 4, b"a" * 32)
    role = exchange_heads_label(signer("lab"), {"clinic": MINE}, ["clinic"])
    with pytest.raises(
        ProtocolError, match="clinic signed for another last line of its ledger than it had reported"
    ) as caught:
        answer_of_label(role, signer("clinic").head("lab", THEIRS, MY_PIN), told)
    assert caught.value.peer == "clinic"


@pytest.mark.parametrize(
    "fields", [{"lines": 0}, {"sent": -1}, {"received": 2**60}, {"lines": 2**60}, {"peer_lines": 0}]
)
def test_impossible_numbers_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a ledger has lines"):
        changed(signer("clinic").head("lab", THEIRS, MY_PIN), **fields)
    if "lines" in fields:
        with pytest.raises(ValueError, match="a ledger has lines"):
            LedgerLastLine(lines=fields["lines"], head=np.zeros(32, np.uint8))


def test_both_ends_derive_the_same_key_and_nobody_else_does() -> None:
    key = BOND.pair_key("clinic", "lab", b"1" * 32, b"2" * 32)
    assert len(key) == 32
    others = [
        BOND.pair_key("clinic", "lab", b"2" * 32, b"1" * 32),
        BOND.pair_key("clinic", "gym", b"1" * 32, b"2" * 32),
        SessionBinding(JOB, b"S" * 16, IDENTITIES).pair_key("clinic", "lab", b"1" * 32, b"2" * 32),
        SessionBinding(b"J" * 32, SESSION, IDENTITIES).pair_key("clinic", "lab", b"1" * 32, b"2" * 32),
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
    guesses = [codec.encode(pairs.Verdictlet(yes=yes)) for yes in (True, False)]

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
