"""`vsplit ledger`: what a person and a program are told, and the exit codes."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from parties.command.cli import app
from parties.command.ledger import BROKEN
from parties.ledger.compare import compare
from parties.ledger.record import NO_HASH, chained, decode, encode
from parties.ledger.show import Sums
from parties.ledger.verify import examine, survey
from parties.network.identity import PrivateIdentity


@pytest.fixture(autouse=True)
def _no_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parties.command.execution.signal.signal", lambda _number, _handler: None)


def ledger(*words: object) -> Result:
    return CliRunner().invoke(app, ["ledger", *map(str, words)])


def changed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"size":64', b'"size":65', 1))


def test_an_unbroken_ledger(pairs: Any) -> None:
    pairs.talk(2)
    result = ledger("verify", pairs.path("lab"))
    assert result.exit_code == 0
    words = " ".join(result.output.split())
    assert "the ledger of lab, unbroken, 23 lines, the last with the hash" in words
    assert "clinic has signed for 11 of 16 messages" in words
    assert "clinic has signed lines 1 to 15 as they are here, when the training had ended." in words
    assert "The 8 lines after line 15 are signed by lab alone" in words
    assert "Whose signatures these are, the ledgers say themselves" in words
    [one] = json.loads(ledger("verify", pairs.path("lab"), "--json").output)["ledgers"]
    assert one["signed_for"] == [{"by": "clinic", "lines": 15, "training_ended": True}]
    assert len(one["vouched"]) == 2


def test_a_ledger_of_a_run_that_was_killed_says_that_its_end_is_not_signed(pairs: Any) -> None:
    pairs.talk(2, end=False)
    pairs.open("lab").close()
    words = " ".join(ledger("verify", pairs.path("lab")).output.split())
    assert "clinic has signed lines 1 to 15 as they are here, at a checkpoint. It has signed no end" in words


def test_ledgers_of_the_format_before_verify_as_what_they_are(tmp_path: Path) -> None:
    """Two that were written before heads repeated the last line that their receiver had told."""
    old = {name: Path(__file__).parent / "format1" / f"{name}.jsonl" for name in ("lab", "clinic")}
    both = ledger("verify", old["lab"], old["clinic"])
    assert both.exit_code == 0, both.output
    words = " ".join(both.output.split())
    assert "The two ledgers agree on 29 messages." in words
    for one, other in (("lab", "clinic"), ("clinic", "lab")):
        assert (
            f"was recorded by an older version. What {other} signed in it covers the messages with {one} alone, and neither "
            "their times nor the other lines and sessions of this file"
        ) in words
    assert "has signed for lines" not in words
    # Their signatures are still checked.
    path = tmp_path / "changed"
    path.write_bytes(old["lab"].read_bytes().replace(b'"sent":2', b'"sent":1', 1))
    assert ledger("verify", path).exit_code == BROKEN


def test_a_ledger_of_the_format_before_goes_on_in_this_one_and_is_held_by_its_heads_from_then_on(pairs: Any) -> None:
    """As where vsplit is brought up to date between two runs of one ledger."""
    old = (Path(__file__).parent / "format1" / "lab.jsonl").read_bytes()
    pairs.path("lab").write_bytes(old)
    pairs.session = 2
    pairs.talk(2)
    found = ledger("verify", pairs.path("lab"))
    assert found.exit_code == 0, found.output
    words = " ".join(found.output.split())
    assert "clinic has signed lines 1 to 58 as they are here" in words
    assert "older version" not in words
    path = pairs.path("lab")
    assert path.read_bytes().startswith(old)
    path.write_bytes(path.read_bytes().replace(b'"sent":2', b'"sent":1', 1))
    assert ledger("verify", path).exit_code == BROKEN


def test_two_ledgers_that_agree(pairs: Any) -> None:
    pairs.talk(2)
    result = ledger("verify", pairs.path("lab"), pairs.path("clinic"), "--json")
    assert result.exit_code == 0
    content = json.loads(result.output)
    assert (content["valid"], content["ledgers_agree"], content["messages_in_common"]) == (True, True, 16)
    assert [one["party"] for one in content["ledgers"]] == ["lab", "clinic"]
    assert [one["unbroken"] for one in content["ledgers"]] == [True, True]
    assert content["differences"] == content["notes"] == content["identity_faults"] == []


def test_a_broken_ledger_has_an_exit_code_of_its_own_and_a_sentence_for_each_fault(pairs: Any) -> None:
    pairs.talk(2)
    changed(pairs.path("lab"))
    result = ledger("verify", pairs.path("lab"))
    assert result.exit_code == BROKEN == 7
    assert "Line 6 does not follow line 5" in " ".join(result.output.split())
    content = json.loads(ledger("verify", pairs.path("clinic"), pairs.path("lab"), "--json").output)
    assert not content["valid"]
    assert not content["ledgers_agree"]
    assert content["ledgers"][0]["faults"] == []
    assert content["ledgers"][1]["faults"][0]["line"] == 6
    shown = ledger("show", pairs.path("lab"))
    assert shown.exit_code == BROKEN
    assert "This ledger is broken" in shown.output.splitlines()[0]


def test_a_signature_counts_as_far_as_it_fits(pairs: Any) -> None:
    pairs.talk(2)
    whole = json.loads(ledger("verify", pairs.path("lab"), "--json").output)["ledgers"][0]["sessions"][0]
    path = pairs.path("lab")
    lines = path.read_bytes().splitlines(keepends=True)
    last = max(at for at, line in enumerate(lines) if b'"kind":"Parcel"' in line)
    lines[last] = re.sub(rb'"size":[0-9]+', b'"size":7', lines[last])
    path.write_bytes(b"".join(lines))
    result = ledger("verify", path, "--json")
    assert result.exit_code == BROKEN
    signed = json.loads(result.output)["ledgers"][0]["sessions"][0]["signed"]
    assert 0 < signed < whole["signed"]


def test_many_faults_are_counted_and_not_all_printed(pairs: Any) -> None:
    pairs.talk(10)
    path = pairs.path("lab")
    path.write_bytes(path.read_bytes().replace(b'"what":', b'"waht":'))
    result = ledger("verify", path)
    assert result.exit_code == BROKEN
    assert "more, which may follow from these." in result.output
    assert result.output.count("is not a line as vsplit writes it") == 20


def test_identities_are_compared_with_a_job_file(pairs: Any, tmp_path: Path) -> None:
    pairs.talk(1)
    job = tmp_path / "job.yaml"

    def write(keys: dict[str, PrivateIdentity]) -> None:
        members = {
            name: {"role": "label" if name == "clinic" else "feature", "identity": key.public.line}
            for name, key in keys.items()
        }
        content = {
            "job": "test",
            "task": "binary",
            "address": "127.0.0.1:9440",
            "parties": members,
            "align": {"key": ["id"]},
            "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
            "model": {"embedding": 4, "aggregate": "concat", "top": {"hidden": [8]}},
            "train": {"epochs": 1, "batch_size": 32, "optimizer": "adam", "lr": 0.02},
        }
        job.write_text(yaml.safe_dump(content))

    write(pairs.keys)
    well = ledger("verify", pairs.path("lab"), "--job", job)
    assert well.exit_code == 0, well.output
    assert "The identities of the signers" not in well.output
    assert "The identities are those of the job file." in well.output
    job.write_text(job.read_text().replace(pairs.keys["lab"].public.line, "auto"))
    assert ledger("verify", pairs.path("lab"), "--job", job).exit_code == 2
    write({**pairs.keys, "clinic": PrivateIdentity.generate()})
    result = ledger("verify", pairs.path("lab"), "--job", job)
    assert result.exit_code == BROKEN
    assert "The identity of clinic in line 2" in " ".join(result.output.split())


def test_a_run_folder_is_as_good_as_its_ledger(pairs: Any, tmp_path: Path) -> None:
    pairs.talk(1)
    run = tmp_path / "run"
    run.mkdir()
    assert ledger("verify", run).exit_code == 2
    (run / ".unfinished").mkdir()
    torn = pairs.path("lab").read_bytes()
    (run / ".unfinished/ledger").write_bytes(torn[: torn.rindex(b'{"what":"end"') + 9])
    result = ledger("verify", run)  # the run may go on, so that neither a torn line nor a missing end is a fault
    assert result.exit_code == 0, result.output
    assert "a crash has left the last line incomplete" in " ".join(result.output.split())
    assert ledger("verify", run / ".unfinished/ledger").exit_code == BROKEN
    assert ledger("verify", run / ".unfinished/ledger", "--unfinished").exit_code == 0
    pairs.path("lab").rename(run / "ledger.jsonl")
    assert json.loads(ledger("verify", run, "--json").output)["ledgers"][0]["file"] == str(run / "ledger.jsonl")


@pytest.mark.parametrize("command", ["show", "verify"])
def test_what_is_no_ledger_is_a_sentence(tmp_path: Path, command: str) -> None:
    absent = ledger(command, tmp_path / "absent")
    assert absent.exit_code == 2
    assert "There is no ledger" in " ".join(absent.output.split())
    (tmp_path / "text").write_text("hello\n")
    other = ledger(command, tmp_path / "text")
    assert other.exit_code == (BROKEN if command == "verify" else 2)


def test_what_left_and_what_came_is_summed_up_with_what_it_reveals(pairs: Any) -> None:
    pairs.talk(3)
    content = json.loads(ledger("show", pairs.path("lab"), "--json").output)
    rows = {(row["direction"], row["kind"]): row for row in content["kinds"]}
    parcels = rows["sent", "Parcel"]
    assert (parcels["messages"], parcels["resent"], parcels["peer"]) == (3, 0, "clinic")
    assert parcels["bytes"] == 64 + 1064 + 2064
    assert parcels["first"] < parcels["last"]
    assert rows["received", "Verdictlet"]["messages"] == 6
    assert "signed" in rows["sent", "LedgerHead"]["reveals"]
    assert parcels["reveals"] is None
    table = " ".join(ledger("show", pairs.path("lab")).output.split())
    assert "lab (feature party), job test: 31 lines" in table


def test_a_message_that_left_again_and_again_counts_once(pairs: Any) -> None:
    ledger_of_lab = pairs.open("lab")
    ledger_of_lab.begin_session(bytes(16))
    ledger_of_lab.set_key("clinic", bytes(32))
    content = memoryview(bytes(10))
    for kind in ("Parcel", "Letter", "Parcel", "Parcel"):
        ledger_of_lab.sent("clinic", kind, [content])
    for first, last in ((2, 3), (2, 4), (3, 4)):
        ledger_of_lab.resent("clinic", first, last, 500)
    ledger_of_lab.sent("clinic", "Parcel", [content])
    ledger_of_lab.resent("clinic", 5, 5, 100)
    ledger_of_lab.end_session("finished")
    ledger_of_lab.begin_session(bytes(15) + b"x")
    ledger_of_lab.set_key("clinic", bytes(32))
    ledger_of_lab.sent("clinic", "Letter", [content])
    ledger_of_lab.resent("clinic", 1, 1, 100)
    ledger_of_lab.close()
    rows = json.loads(ledger("show", pairs.path("lab"), "--json").output)["kinds"]
    assert {row["kind"]: (row["messages"], row["resent"]) for row in rows} == {"Parcel": (4, 3), "Letter": (2, 2)}


def test_times_that_were_written_with_another_offset_are_shown_in_coordinated_time(pairs: Any) -> None:
    pairs.talk(1)
    path, there = pairs.path("lab"), timezone(timedelta(hours=2))
    lines: list[bytes] = []
    for raw in path.read_bytes().splitlines():
        line = decode(raw)
        before = chained(lines[-1]) if lines else NO_HASH
        lines.append(encode(msgspec.structs.replace(line, time=line.time.astimezone(there), before=before)))
    whole = json.loads(ledger("show", path, "--json").output)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    assert b"+02:00" in path.read_bytes()
    shown = ledger("show", path).output
    assert "2026-03-01 12:00" in shown and "14:00" not in shown
    content = json.loads(ledger("show", path, "--json").output)
    assert content["kinds"] == whole["kinds"]
    assert content["sessions"][0]["began"] == whole["sessions"][0]["began"]


def test_a_time_that_is_none_in_coordinated_time_is_a_damaged_line(pairs: Any) -> None:
    pairs.talk(1)
    path = pairs.path("lab")
    for time in (b"0001-01-01T00:00:00+02:00", b"9999-12-31T23:59:59-02:00"):
        lines = path.read_bytes().splitlines(keepends=True)
        lines[3] = re.sub(rb'"time":"[^"]*"', b'"time":"' + time + b'"', lines[3])
        path.write_bytes(b"".join(lines))
        result = ledger("show", path)
        assert result.exit_code == BROKEN, result.output
        assert "Line 4 is not a line as vsplit writes it" in " ".join(ledger("verify", path).output.split())


def many_kinds(pairs: Any, count: int, name: str = "lab") -> Path:
    """The ledger of a session with so many kinds of message."""
    own, peer = pairs.open(name), "clinic" if name == "lab" else "lab"
    own.begin_session(bytes(16))
    own.set_key(peer, bytes(32))
    content = np.zeros(1, np.uint8)
    for number in range(count):
        if name == "lab":
            own.sent(peer, f"Kind{number}", [content.data])
        else:
            own.received(peer, f"Kind{number}", content)
    own.end_session("link")
    own.close()
    return pairs.path(name)


def test_a_table_of_many_kinds_has_an_end_and_says_so(pairs: Any) -> None:
    path = many_kinds(pairs, 5000)
    result = ledger("show", path)
    assert result.exit_code == 0
    words = " ".join(result.output.split())
    assert (
        "These are the first 1,000 of 5,000 rows; the others are the sum of 4,000 messages. --json prints all." in words
    )
    assert result.output.count("Kind") == 2 * 1000
    assert len(json.loads(ledger("show", path, "--json").output)["kinds"]) == 5000


def test_many_sessions_are_shown_up_to_an_end_as_well(pairs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parties.command.ledger_screen.MOST_ROWS", 100)
    own = pairs.open("lab")
    for number in range(1, 122):
        own.begin_session(number.to_bytes(16, "big"))
        own.sent("clinic", "Handshake", [memoryview(b"x")])
        own.end_session("link")
    own.close()
    path = pairs.path("lab")
    assert "These are the last 100 of 121 sessions" in " ".join(ledger("show", path).output.split())
    verdict = ledger("verify", path)
    assert "Of 121 sessions, counted by party, these are the last 100" in " ".join(verdict.output.split())
    assert verdict.output.count("Session 0") == 100
    assert len(json.loads(ledger("verify", path, "--json").output)["ledgers"][0]["sessions"]) == 121


def test_the_work_grows_with_the_length_of_a_ledger_and_not_faster(pairs: Any) -> None:
    """Counted in steps of the interpreter, and not in time: of summing up, and of holding two ledgers against each other."""

    def steps(count: int) -> int:
        for name in ("lab", "clinic"):
            pairs.path(name).unlink(missing_ok=True)
        one, two = many_kinds(pairs, count), many_kinds(pairs, count, "clinic")
        taken = 0

        def trace(frame: Any, event: str, _argument: object) -> Any:
            nonlocal taken
            if "/parties/ledger/" not in frame.f_code.co_filename:
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            taken += event == "opcode"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            sums = Sums()
            survey(one, each=sums.add)
            assert len(sums.rows()) == compare(examine(one), examine(two)).messages == count
        finally:
            sys.settrace(before)
        return taken

    assert steps(800) < 2.2 * steps(400)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("command", ["show", "verify", "with another", "another", "job"])
@pytest.mark.parametrize("what", ["pipe", "link to a pipe", "device", "socket"])
def test_what_is_no_plain_file_is_refused_and_never_waited_for(
    pairs: Any, tmp_path: Path, command: str, what: str
) -> None:
    pairs.talk(1)
    path = tmp_path / "named"
    if what == "device":
        path = Path("/dev/zero")
    elif what == "socket":
        place = socket.socket(socket.AF_UNIX)
        place.bind(str(path))
        place.close()
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
        path = path if what.startswith("link") else tmp_path / "pipe"
    lab = pairs.path("lab")
    words: dict[str, tuple[object, ...]] = {
        "show": ("show", path),
        "verify": ("verify", path),
        "with another": ("verify", path, lab),
        "another": ("verify", lab, path),
        "job": ("verify", lab, "--job", path),
    }
    result = ledger(*words[command])
    assert result.exit_code == 2, result.output
    kind = {"link to a pipe": "a named pipe", "pipe": "a named pipe"}.get(what, f"a {what}")
    assert f"{path} cannot be read: it is {kind}, not a plain file." in " ".join(result.output.split())
