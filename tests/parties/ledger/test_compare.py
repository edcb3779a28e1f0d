"""Two ledgers: the same story, or where they first differ."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parties.ledger.compare import Compared, compare
from parties.ledger.ledger import Ledger
from parties.ledger.verify import examine
from vsplit.protocol import ConfigError


def compared(pairs: Any, one: str = "clinic", two: str = "lab") -> Compared:
    found = [examine(pairs.path(name), unfinished=True) for name in (one, two)]
    assert [every.faults for every in found] == [[], []]
    return compare(*found)


def written(pairs: Any, name: str, *crossing: tuple[str, int], end: str | None, session: bytes = bytes(16)) -> None:
    """A session in which these messages crossed, each with a content of so many bytes, as this party has it on record.

    They are of a kind that parties send when they meet: so nobody has to have signed a head where it was finished.
    """
    ledger: Ledger = pairs.open(name)
    ledger.begin_session(session)
    peer = "clinic" if name == "lab" else "lab"
    ledger.set_key(peer, b"k" * 32)
    for direction, content in crossing:
        data = np.full(content, 7, np.uint8)
        if direction == "sent":
            ledger.sent(peer, "LocalStateOffer", [data.data])
        else:
            ledger.received(peer, "LocalStateOffer", data)
    if end:
        ledger.end_session(end)
    ledger.close()


def test_honest_ledgers_agree_whichever_comes_first(make_pairs: Any) -> None:
    pairs = make_pairs("lab", "gym")
    pairs.talk(3)
    pairs.talk(1)
    for name in ("lab", "gym"):
        for order in (("clinic", name), (name, "clinic")):
            found = compared(pairs, *order)
            assert (found.sessions, found.faults, found.notes) == (2, [], [])
            assert found.messages == (2 + 3 * (3 + 3) + 2) + (2 + 3 + 3 + 2)


def test_there_is_nothing_to_compare(make_pairs: Any, tmp_path: Path) -> None:
    pairs = make_pairs("lab", "gym")
    pairs.talk(1)
    with pytest.raises(ConfigError, match="through the label party only"):
        compared(pairs, "lab", "gym")
    with pytest.raises(ConfigError, match="Both are ledgers of lab"):
        compared(pairs, "lab", "lab")
    (tmp_path / "empty").touch()
    with pytest.raises(ConfigError, match="without the first line"):
        compare(examine(tmp_path / "empty", unfinished=True), examine(pairs.path("lab")))


@pytest.mark.parametrize(
    ("left", "came", "sentence"),
    [
        (
            [5, 6, 7],
            [5, 9, 7],
            r"Message 2 from lab to clinic .* a LocalStateOffer of 6 bytes was sent and one of 9 bytes received \(line 4 ",
        ),
        (
            [5, 6],
            [5, 6, 7, 8],
            r"2 messages from lab to clinic .*, from line 5 of the ledger of clinic on, are recorded as received",
        ),
        (
            [5, 6, 7],
            [5, 6],
            r"1 message from lab to clinic .*, from line 5 of the ledger of lab on, .* although the session was finished",
        ),
        ([5, 6, 7], [5, 7], r"Message 2 from lab to clinic"),
    ],
)
def test_where_two_stories_differ(pairs: Any, left: list[int], came: list[int], sentence: str) -> None:
    written(pairs, "lab", *(("sent", size) for size in left), end="finished")
    written(pairs, "clinic", *(("received", size) for size in came), end="finished")
    [fault] = compared(pairs).faults
    assert re.search(sentence, fault), fault
    assert compared(pairs, "lab", "clinic").faults == [fault]


def test_other_contents_of_the_same_length(pairs: Any) -> None:
    for name, key in (("lab", b"a" * 32), ("clinic", b"b" * 32)):
        ledger = pairs.open(name)
        ledger.begin_session(bytes(16))
        peer = "clinic" if name == "lab" else "lab"
        ledger.set_key(peer, key)
        content = np.zeros(50, np.uint8)
        if name == "lab":
            ledger.sent(peer, "LocalStateOffer", [content.data])
        else:
            ledger.received(peer, "StartDecision", content)
        ledger.end_session("finished")
        ledger.close()
    [fault] = compared(pairs).faults
    assert "LocalStateOffer was sent and StartDecision received" in fault


def test_what_was_under_way_when_a_session_was_cut_off_is_no_fault(pairs: Any) -> None:
    written(pairs, "lab", ("sent", 5), ("sent", 6), ("sent", 7), ("received", 3), end=None)
    written(pairs, "clinic", ("received", 5), ("sent", 3), end="link")
    found = compared(pairs)
    assert found.faults == []
    [note] = found.notes
    assert note.startswith(
        "2 messages from lab to clinic in session 00000000, from line 4 of the ledger of lab on, are recorded as sent"
    )
    assert note.endswith("in flight, or not yet recorded, when the session was cut off.")
    # But nothing can have come that never left, however it ended.
    written(pairs, "clinic", ("received", 5), end="link", session=b"1" * 16)
    written(pairs, "lab", end="link", session=b"1" * 16)
    [fault] = compared(pairs).faults
    assert "recorded as received and missing in the ledger of lab" in fault


def test_a_session_that_only_one_has(pairs: Any) -> None:
    written(pairs, "lab", ("sent", 5), end="finished")
    written(pairs, "clinic", ("received", 5), end="finished")
    written(pairs, "lab", ("sent", 5), end="link", session=b"1" * 16)
    found = compared(pairs)
    assert found.faults == []
    [note] = found.notes
    assert "1 message of lab may have been sent, and the ledger of clinic has no such session" in note
    written(pairs, "lab", ("sent", 5), ("received", 2), end="link", session=b"2" * 16)
    [fault] = compared(pairs).faults
    assert "has 1 message from clinic, and that of clinic has no such session" in fault


def test_a_party_that_takes_away_what_it_signed_for(pairs: Any, tmp_path: Path) -> None:
    """Its own ledger stays unbroken, since it ends where a session ended; but the other has its signature."""
    pairs.talk(1)
    shutil.copy(pairs.path("lab"), tmp_path / "early")
    pairs.talk(1)
    shutil.copy(tmp_path / "early", pairs.path("lab"))
    faults = " ".join(compared(pairs).faults)
    assert "and that of lab has no such session" in faults
    assert "lab signed for" in faults
    assert "lines at its end were removed" in faults


def test_a_party_that_makes_up_another_ledger_of_its_own(pairs: Any, tmp_path: Path) -> None:
    """Unbroken and signed as well, in a session of the same name; the other has its signature for another one."""
    pairs.talk(1, heads=True)
    lines = pairs.path("lab").read_text().splitlines()
    session = bytes.fromhex(json.loads(lines[1])["session"])
    pairs.path("lab").unlink()
    written(pairs, "lab", *[("sent", 5)] * 10, end="finished", session=session)
    faults = " ".join(compared(pairs).faults)
    assert "Message 1 from lab to clinic" in faults
    assert "lab signed for line" in faults
    assert "which is now another one" in faults


def test_ledgers_of_two_different_runs_accuse_nobody_of_a_change(make_pairs: Any) -> None:
    pairs = make_pairs("lab")
    written(pairs, "clinic", ("sent", 5), end="finished", session=bytes(16))
    written(pairs, "lab", ("received", 5), end="finished", session=b"x" * 16)
    [fault] = compared(pairs).faults
    assert "no session in common: they are of two different runs, or sessions were removed from one of them" in fault
