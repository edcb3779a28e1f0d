"""Writing a ledger: what it has at each moment, also when a process dies, a disk is full or a person interrupts."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parties.ledger.compare import compare
from parties.ledger.ledger import Ledger
from parties.ledger.verify import examine
from parties.network.driver import UNREADABLE
from parties.network.identity import PrivateIdentity
from vsplit.protocol import ConfigError

SESSION = bytes(range(16))
CONTENT = np.arange(100, dtype=np.uint8)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def begun(pairs: Any, name: str = "lab") -> Ledger:
    ledger: Ledger = pairs.open(name)
    ledger.begin_session(SESSION)
    ledger.set_key("clinic", b"k" * 32)
    return ledger


def test_each_message_is_in_the_file_before_the_call_returns(pairs: Any) -> None:
    ledger = begun(pairs)
    for number in range(1, 4):
        ledger.sent("clinic", "Parcel", [CONTENT.data, CONTENT.data])
        last = lines_of(pairs.path("lab"))[-1]
        assert (last["direction"], last["peer"], last["number"], last["size"]) == ("sent", "clinic", number, 200)
    ledger.received("clinic", "Parcel", CONTENT)
    last = lines_of(pairs.path("lab"))[-1]
    assert (last["direction"], last["number"], last["size"], last["session"]) == ("received", 1, 100, SESSION.hex())
    assert stat.S_IMODE(pairs.path("lab").stat().st_mode) == 0o600


def test_the_first_line_says_whose_ledger_it_is(pairs: Any) -> None:
    begun(pairs).close()
    first = lines_of(pairs.path("lab"))[0]
    assert first["what"] == "begin"
    assert (first["party"], first["role"], first["job"], first["format"]) == ("lab", "feature", "test", 2)
    assert first["identities"] == {name: key.public.line for name, key in pairs.keys.items()}


def test_a_message_without_a_key_does_not_go_on_record_but_for_the_two_open_kinds(pairs: Any) -> None:
    ledger = pairs.open("lab")
    with pytest.raises(ValueError, match="no session"):
        _ = ledger.signer
    ledger.begin_session(SESSION)
    ledger.sent("clinic", "Handshake", [CONTENT.data])
    with pytest.raises(ValueError, match="before there is a key"):
        ledger.sent("clinic", "Embedding", [CONTENT.data])
    ledger.close()
    assert examine(pairs.path("lab"), unfinished=True).faults == []


def test_garbage_in_place_of_a_first_message_goes_on_record(pairs: Any) -> None:
    """It ends the session by the name of its sender, and so must not end it by a fault of the ledger before."""
    ledger = pairs.open("lab")
    ledger.begin_session(SESSION)
    ledger.received("clinic", UNREADABLE, CONTENT)
    ledger.close()
    found = examine(pairs.path("lab"), unfinished=True)
    assert found.faults == []
    assert lines_of(pairs.path("lab"))[-1]["kind"] == UNREADABLE


def test_a_ledger_knows_the_sessions_that_it_has_had(pairs: Any) -> None:
    """A second one of the same name would break it."""
    ledger = begun(pairs)
    assert ledger.has_session(SESSION) and not ledger.has_session(bytes(16))
    ledger.close()
    assert pairs.open("lab").has_session(SESSION)


def test_going_on_continues_the_chain_and_ends_the_session_that_was_cut_off(pairs: Any) -> None:
    begun(pairs).close()
    pairs.talk(1)
    whats = [line["what"] for line in lines_of(pairs.path("lab"))]
    assert whats[:4] == ["begin", "session", "end", "session"]
    assert lines_of(pairs.path("lab"))[2]["word"] == "cut"
    found = examine(pairs.path("lab"))
    assert found.faults == []
    assert [told.end for told in found.sessions.values()] == ["cut", "finished"]


def test_a_session_that_was_cut_off_is_ended_with_the_key_that_the_party_has_by_then(pairs: Any) -> None:
    """As where a launch makes keys of its own."""
    begun(pairs).close()
    pairs.keys = {name: PrivateIdentity.generate() for name in pairs.names}
    pairs.talk(1)
    assert lines_of(pairs.path("lab"))[2]["identity"] == pairs.keys["lab"].public.line
    found = examine(pairs.path("lab"))
    assert found.faults == []
    assert "identity" not in lines_of(pairs.path("lab"))[-1]
    foreign = (
        pairs.path("lab")
        .read_bytes()
        .replace(
            pairs.keys["lab"].public.line.encode() + b'"}\n',
            PrivateIdentity.generate().public.line.encode() + b'"}\n',
            1,
        )
    )
    pairs.path("lab").write_bytes(foreign)
    assert "ends the session without the signature of lab" in examine(pairs.path("lab")).faults[0].sentence


@pytest.mark.parametrize("torn", [1, 40, 290])
def test_a_line_that_a_crash_has_torn_is_cut_off_and_the_ledger_says_so(pairs: Any, torn: int) -> None:
    ledger = begun(pairs)
    ledger.sent("clinic", "Parcel", [CONTENT.data])
    ledger.close()
    path = pairs.path("lab")
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:torn])

    assert examine(path, unfinished=True).faults == []
    assert examine(path, unfinished=True).torn == torn
    [cut, *_] = examine(path).faults
    assert "Line 4 has no end" in cut.sentence

    pairs.open("lab").close()
    assert path.read_bytes().startswith(whole)
    found = examine(path)
    assert found.faults == []
    assert found.cut == 1
    assert [(line["what"], line.get("bytes")) for line in lines_of(path)[3:]] == [("torn", torn), ("end", None)]


def test_a_file_with_nothing_but_a_torn_first_line_begins_anew(pairs: Any) -> None:
    pairs.path("lab").write_bytes(b'{"what":"beg')
    begun(pairs).close()
    assert [line["what"] for line in lines_of(pairs.path("lab"))] == ["begin", "torn", "session"]


def test_a_broken_ledger_is_not_carried_on(pairs: Any) -> None:
    pairs.talk(1)
    path = pairs.path("lab")
    raw = path.read_bytes().replace(b'"size":64', b'"size":65', 1)
    path.write_bytes(raw)
    with pytest.raises(
        ConfigError, match=r"This party's own ledger .* is broken, .* Line 6 does not follow .* move it"
    ):
        pairs.open("lab")
    assert path.read_bytes() == raw


def test_a_line_that_is_too_long_is_no_torn_one_after_which_all_may_be_cut_off(pairs: Any) -> None:
    pairs.talk(1)
    path = pairs.path("lab")
    lines = path.read_bytes().splitlines(keepends=True)
    for damaged in ([*lines[:5], b"x" * 300_000 + b"\n", *lines[5:]], [*lines, b"x" * 300_000]):
        raw = b"".join(damaged)
        path.write_bytes(raw)
        with pytest.raises(ConfigError, match="is not a line as vsplit writes it"):
            pairs.open("lab")
        assert path.read_bytes() == raw


@pytest.mark.alone  # to a few thousand bytes, and pytest-xdist has a thread that takes memory too
def test_opening_takes_the_same_memory_however_many_messages_there_are(
    pairs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parties.ledger.verify._RECENT_LINES", 64)
    ledger = begun(pairs)
    peaks = []
    for count in (200, 5000):
        for _ in range(count):
            ledger.sent("clinic", "Parcel", [CONTENT.data])
        ledger.close()
        tracemalloc.start()
        ledger = pairs.open("lab")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        ledger.begin_session(len(peaks).to_bytes(16, "big"))
        ledger.set_key("clinic", bytes(32))
    ledger.close()
    assert peaks[1] - peaks[0] < 8000, peaks


def test_the_ledger_of_another_party_is_not_carried_on(pairs: Any) -> None:
    pairs.talk(1)
    pairs.path("lab").rename(pairs.path("clinic"))
    with pytest.raises(ConfigError, match="is that of lab, and this party is clinic"):
        pairs.open("clinic")


def test_two_processes_do_not_write_one_ledger(pairs: Any) -> None:
    ledger = begun(pairs)
    with pytest.raises(ConfigError, match="written by another process"):
        pairs.open("lab")
    ledger.close()
    pairs.open("lab").close()


def test_a_ledger_that_cannot_be_made_is_a_sentence(pairs: Any) -> None:
    pairs.folder = pairs.folder / "absent"
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        pairs.open("lab")


def test_a_ledger_in_which_nobody_met_goes(pairs: Any) -> None:
    pairs.open("lab").close()
    assert not pairs.path("lab").exists()


@pytest.mark.parametrize("part", [0, 10])
def test_a_full_disk_stops_the_message_and_leaves_whole_lines(
    pairs: Any, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    ledger = begun(pairs)
    before, write = pairs.path("lab").read_bytes(), os.write

    def full(descriptor: int, data: bytes) -> int:
        if part:
            return write(descriptor, data[:part])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("parties.ledger.file.os.write", full)
    with pytest.raises(ConfigError, match="nothing leaves that is not on record"):
        ledger.sent("clinic", "Parcel", [CONTENT.data])
    monkeypatch.undo()
    for action in (
        lambda: ledger.sent("clinic", "Parcel", [CONTENT.data]),
        lambda: ledger.received("clinic", "Parcel", CONTENT),
        ledger.sync,
        lambda: ledger.end_session("error"),
    ):
        with pytest.raises(ConfigError, match="cannot be written"):
            action()
    ledger.close()
    assert pairs.path("lab").read_bytes() == before


def test_an_interruption_between_a_write_and_the_note_of_it_breaks_nothing(
    pairs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = begun(pairs)
    write = os.write

    def interrupted(descriptor: int, data: bytes) -> int:
        write(descriptor, data)
        raise KeyboardInterrupt

    monkeypatch.setattr("parties.ledger.file.os.write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ledger.sent("clinic", "Parcel", [CONTENT.data])
    monkeypatch.undo()
    ledger.end_session("interrupted")
    ledger.end_session("error")  # it has ended already
    ledger.close()
    found = examine(pairs.path("lab"))
    assert found.faults == []
    assert [told.end for told in found.sessions.values()] == ["interrupted"]


DYING = """
import os, signal, sys
from pathlib import Path
import numpy as np
from parties.network.identity import PrivateIdentity
from parties.ledger.ledger import Ledger
from parties.ledger.opening import About

keys = {name: PrivateIdentity.generate() for name in ("clinic", "lab")}
about = About("lab", "feature", "test", bytes(32), {name: key.public.line for name, key in keys.items()}, keys["lab"].sign)
ledger = Ledger.open(Path(sys.argv[1]), about)
ledger.begin_session(bytes(16))
ledger.set_key("clinic", bytes(32))
for number in range(50):
    ledger.sent("clinic", "Parcel", [np.zeros(number, np.uint8).data])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_a_record_of_all_that_it_sent(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    done = subprocess.run([sys.executable, "-c", DYING, str(path)], check=False, timeout=60)
    assert done.returncode == -9
    found = examine(path, unfinished=True)
    assert found.faults == []
    [told] = found.sessions.values()
    assert [entry.size for entry in told.streams["sent", "clinic"]] == list(range(50))


def test_messages_that_left_again_are_marked(pairs: Any) -> None:
    ledger = begun(pairs)
    for _ in range(4):
        ledger.sent("clinic", "Parcel", [CONTENT.data])
    ledger.lost("clinic", "was reset")
    ledger.back("clinic")
    ledger.resent("clinic", 2, 4, 444)
    ledger.end_session("link")
    ledger.resent("clinic", 4, 4, 148)  # the last messages are still being delivered
    ledger.close()
    found = examine(pairs.path("lab"))
    assert found.faults == []
    [told] = found.sessions.values()
    assert [(again.peer, again.first, again.last) for again in told.resent] == [("clinic", 2, 4)]


@pytest.mark.parametrize(("first", "last"), [(2, 5), (4, 3)])
def test_a_resend_of_what_never_left_is_a_fault(pairs: Any, first: int, last: int) -> None:
    ledger = begun(pairs)
    for _ in range(4):
        ledger.sent("clinic", "Parcel", [CONTENT.data])
    ledger.resent("clinic", first, last, 500)
    ledger.end_session("link")
    ledger.close()
    [fault] = examine(pairs.path("lab")).faults
    assert fault.sentence.startswith("Line 7 says that messages to clinic were sent again")


def test_a_job_that_was_changed_goes_on_in_the_same_ledger(pairs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a first attempt that ended at the greeting."""
    pairs.talk(1)
    monkeypatch.setattr(sys.modules[type(pairs).__module__], "JOB", bytes(32))
    pairs.talk(1)
    one, two = (examine(pairs.path(name)) for name in pairs.names)
    assert one.faults == two.faults == []
    assert [told.binding.job for told in one.sessions.values()] != [bytes(32), bytes(32)]
    assert compare(one, two).faults == []
