"""Every way to tamper with one ledger is found, and the sentence names the line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parties.ledger import verify
from parties.ledger.examination import Hashes, signed_line_of, state_in
from parties.ledger.ledger_state import Stream
from parties.ledger.record import End, Head, NewSession, chained, decode, encode, position_of
from parties.ledger.verify import examine, survey
from parties.network.identity import PrivateIdentity
from vsplit.protocol import ConfigError

Lines = list[bytes]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    """A clinic and a lab that had two sessions; the tests change copies of their ledgers."""
    pairs = request.getfixturevalue("pairs_class")(tmp_path_factory.mktemp("told"))
    pairs.talk(2)
    pairs.talk(2)
    return pairs


def lines_of(pairs: Any, name: str = "lab") -> Lines:
    lines: Lines = pairs.path(name).read_bytes().splitlines()
    return lines


def faults_of(tmp_path: Path, lines: Lines, *, unfinished: bool = False) -> list[str]:
    """What is found in a file of these lines."""
    path = tmp_path / "changed"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return [fault.sentence for fault in examine(path, unfinished=unfinished).faults]


def place_of(lines: Lines, what: str, nth: int = 0) -> int:
    """Where the nth line of this kind stands, from 0."""
    return [at for at, line in enumerate(lines) if json.loads(line)["what"] == what][nth]


def rechained(lines: Lines, start: int = 0) -> Lines:
    """The lines with numbers and hashes that fit again, as one would make them who wants to hide a change."""
    found = lines[:start]
    for number, raw in enumerate(lines[start:], start + 1):
        line = json.loads(raw)
        line["line"], line["before"] = number, chained(found[-1]) if found else "0" * 64
        found.append(encode(decode(json.dumps(line, separators=(",", ":")).encode())))
    return found


def altered(raw: bytes, **fields: Any) -> bytes:
    return encode(decode(json.dumps(json.loads(raw) | fields).encode()))


def test_ledgers_that_nobody_touched_are_unbroken(told: Any) -> None:
    for name in told.names:
        found = examine(told.path(name))
        assert found.faults == []
        assert [one.end for one in found.sessions.values()] == ["finished", "finished"]
        assert found.lines == len(lines_of(told, name))
        assert found.hash_of(found.lines) == bytes.fromhex(found.last)
        assert found.hash_of(0) is None
        assert found.hash_of(found.lines + 1) is None
        peer = "lab" if name == "clinic" else "clinic"
        for one in found.sessions.values():
            head = one.signed_by(peer)
            assert head is not None
            assert head.sent + head.received > 8


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_is_found(told: Any, tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(told.path("lab").read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    new = data.draw(st.integers(0, 255).filter(lambda byte: byte != raw[at]))
    line = raw[:at].count(b"\n") + 1
    raw[at] = new
    path = tmp_path / "changed"
    path.write_bytes(raw)
    found = examine(path)
    assert found.faults, f"byte {at} became {new}"
    assert found.faults[0].line in (line, line + 1)


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_removed_exchanged_or_repeated_line_is_found(told: Any, tmp_path: Path, data: st.DataObject) -> None:
    lines = lines_of(told)
    at = data.draw(st.integers(0, len(lines) - 1))
    other = data.draw(st.integers(0, len(lines) - 1).filter(lambda one: one != at))
    what = data.draw(st.sampled_from(["removed", "exchanged", "repeated", "cut"]))
    if what == "removed":
        del lines[at]
    elif what == "exchanged":
        lines[at], lines[other] = lines[other], lines[at]
    elif what == "repeated":
        lines.insert(other, lines[at])
    else:
        # A whole last session may be gone: that, only the other party's ledger shows.
        at = at if b'"what":"end"' not in (lines[at - 1] if at else b"") else at - 1
        lines = lines[:at]
    assert faults_of(tmp_path, lines), what


CASES: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "changed": (
        lambda lines: [*lines[:6], altered(lines[6], size=23), *lines[7:]],
        "Line 8 does not follow line 7, which was changed after it had been written",
    ),
    "removed": (lambda lines: lines[:6] + lines[7:], "Line 7 carries the number 8, so line 7 is missing before it"),
    "several removed": (
        lambda lines: lines[:6] + lines[9:],
        "Line 7 carries the number 10, so lines 7 to 9 are missing",
    ),
    "inserted": (
        lambda lines: [*lines[:6], lines[4], *lines[6:]],
        "Line 7 carries the number 5 where 7 is expected: a line was inserted, repeated or moved",
    ),
    "exchanged": (
        lambda lines: [*lines[:6], lines[7], lines[6], *lines[8:]],
        "Line 7 carries the number 8, so line 7 is missing before it, or lines were exchanged",
    ),
    "first line removed": (lambda lines: lines[1:], "Line 1 carries the number 2, so line 1 is missing before it"),
    "cut off at the end": (lambda lines: lines[:-3], "lines were cut off at the end, or the run was killed"),
    "garbage": (lambda lines: [*lines[:6], b"garbage", *lines[7:]], "Line 7 is not a line as vsplit writes it"),
    "other spelling": (
        lambda lines: [*lines[:6], lines[6].replace(b'":', b'": ', 1), *lines[7:]],
        "Line 7 is not a line as vsplit writes it",
    ),
    "two ledgers in one": (lambda lines: rechained(lines + lines), "begins another ledger inside this one"),
    "the last line changed": (
        lambda lines: [*lines[:-1], altered(lines[-1], word="stopped")],
        "ends the session without the signature of lab",
    ),
    "another time in the last line": (
        lambda lines: [*lines[:-1], altered(lines[-1], time="2026-03-01T13:00:00Z")],
        "ends the session without the signature of lab",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_tampering_is_named(told: Any, tmp_path: Path, what: str) -> None:
    change, sentence = CASES[what]
    faults = faults_of(tmp_path, change(lines_of(told)))
    assert sentence in " ".join(faults)
    assert all(fault.startswith(("Line ", "No closing line")) and fault.endswith(".") for fault in faults)


def test_a_file_that_ends_in_the_middle_of_a_line(told: Any, tmp_path: Path) -> None:
    path, raw = tmp_path / "changed", told.path("lab").read_bytes()
    path.write_bytes(raw[:-20])
    [torn, unended] = examine(path).faults
    assert torn.sentence == f"Line {raw.count(10)} has no end: the file was cut in the middle of a line, or by a crash."
    assert unended.sentence.startswith("No closing line")
    assert examine(path, unfinished=True).faults == []


def test_a_change_that_is_hidden_by_a_new_chain_does_not_fit_what_the_other_signed(told: Any, tmp_path: Path) -> None:
    """This is the party itself, which can make any chain and any signature of its own, but none of the other's."""
    lines = lines_of(told)
    at = place_of(lines, "message", 2)
    for fields in ({"size": 23}, {"kind": "Other"}, {"digest": "ab" * 16}):
        changed = rechained([*lines[:at], altered(lines[at], **fields), *lines[at + 1 :]], at)
        faults = faults_of(tmp_path, resigned(told, changed))
        assert faults[0].startswith(
            f"Line {place_of(lines, 'head') + 2} has a head in which clinic signed for other messages"
        ), faults
        # Each head that clinic signed, in this session and, as it holds all lines before it, in the next; and no other line.
        assert len(faults) == 4
        assert all("in which clinic signed for line" in fault for fault in faults[2:])


def resigned(pairs: Any, lines: Lines) -> Lines:
    """The lines with all own heads and ends signed anew, so that nothing but the other's signatures stands against them."""
    found: Lines = []
    sign, binding, path = pairs.keys["lab"].sign, None, pairs.folder / "half"
    for raw in lines:
        line: Any = decode(rechained([*found, raw], len(found))[-1])
        path.write_bytes(b"".join(one + b"\n" for one in found))
        now = examine(path, unfinished=True)
        if isinstance(line, Head) and line.signer == "lab":
            line = own_head(now, line, sign)
        elif isinstance(line, End):
            binding = now.sessions[line.session].binding
            signature = sign(binding.end_statement("lab", line.word, position_of(line)))
            line = altered_line(line, signature=signature.hex())
        found.append(encode(line))
    return found


def own_head(now: Any, line: Head, sign: Callable[[bytes], bytes]) -> Any:
    told, streams = now.sessions[line.session], {}
    for way, count in (("sent", line.sent), ("received", line.received)):
        stream = Stream()
        for entry in told.streams[way, "clinic"][:count]:
            stream.add(entry.kind, entry.size, bytes.fromhex(entry.digest))
        streams[f"{way}_stream"] = stream.value().hex()
    line = altered_line(line, head=now.hash_of(line.lines).hex(), **streams)
    return altered_line(
        line, signature=sign(told.binding.statement("lab", "clinic", state_in(line), signed_line_of(line))).hex()
    )


def altered_line(line: Any, **fields: Any) -> Any:
    return decode(altered(encode(line), **fields))


def test_a_forged_head_is_found(told: Any, tmp_path: Path) -> None:
    lines = lines_of(told)
    at = next(place for place, raw in enumerate(lines) if b'"signer":"clinic"' in raw)
    for fields in (
        {"signature": "00" * 64},
        {"lines": 3},
        {"sent": 1},
        {"signer": "lab", "receiver": "clinic"},
        {"signer": "gym"},
    ):
        faults = faults_of(tmp_path, rechained([*lines[:at], altered(lines[at], **fields), *lines[at + 1 :]], at))
        expected = "is a head between other parties" if "gym" in fields.values() else "has a head that"
        assert faults[0].startswith(f"Line {at + 1} {expected}"), faults


def test_another_key_does_not_sign_for_a_party(told: Any, tmp_path: Path) -> None:
    """One who puts a key of his own in the place of the other's would have to make all of the other's signatures."""
    lines = lines_of(told)
    at = place_of(lines, "session")
    session = decode(lines[at])
    assert isinstance(session, NewSession)
    identities = {**session.identities, "clinic": PrivateIdentity.generate().public.line}
    faults = faults_of(
        tmp_path, rechained([*lines[:at], altered(lines[at], identities=identities), *lines[at + 1 :]], at)
    )
    assert "has a head that clinic has not signed" in " ".join(faults)
    assert f"the identity of clinic in line {at + 1}" in " ".join(faults)
    faults = faults_of(
        tmp_path,
        rechained([*lines[:at], altered(lines[at], identities={"lab": identities["lab"]}), *lines[at + 1 :]], at),
    )
    assert "names a party with which this one exchanges no messages" in " ".join(faults)


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("message", "is message 2 to clinic, where number 1 is expected"),
        ("session", "belongs to a session that is not open here"),
        ("end", "begins a session before the previous one has ended"),
    ],
)
def test_a_line_that_is_left_out_with_a_new_chain_leaves_a_gap(
    told: Any, tmp_path: Path, what: str, sentence: str
) -> None:
    lines = lines_of(told)
    at = place_of(lines, what)
    assert sentence in " ".join(faults_of(tmp_path, rechained(lines[:at] + lines[at + 1 :], at)))


@pytest.mark.parametrize("word", ["finished", "stopped", "cut"])
def test_only_a_session_that_was_cut_off_is_ended_under_another_identity(told: Any, tmp_path: Path, word: str) -> None:
    """Who removes what no head covers could close the session again with a key of his own, as if it had gone well."""
    lines, other = lines_of(told), PrivateIdentity.generate()
    end = decode(lines[-1])
    assert isinstance(end, End)
    binding = list(examine(told.path("lab")).sessions.values())[-1].binding
    signature = other.sign(binding.end_statement("lab", word, position_of(end))).hex()
    closed = altered(lines[-1], word=word, identity=other.public.line, signature=signature)
    faults = faults_of(tmp_path, [*lines[:-1], closed])
    if word == "cut":
        assert faults == []  # as in a launch; a job file tells whose identity that is
    else:
        [fault] = faults
        assert f"Line {len(lines)} ends the session with {word} under another identity of lab" in fault


def test_a_survey_finds_what_an_examination_does(told: Any, tmp_path: Path) -> None:
    lines = lines_of(told)
    for damaged in (lines, lines[:-3], lines[:6] + lines[7:], [*lines[:6], lines[4], *lines[6:]], [b"garbage"] * 300):
        path = tmp_path / "changed"
        path.write_bytes(b"".join(line + b"\n" for line in damaged))
        one, two = examine(path), survey(path)
        assert one.faults == two.faults
        assert (one.fault_count, one.lines, one.last) == (two.fault_count, two.lines, two.last)
        assert len(one.faults) == min(one.fault_count, 100)
        for kept, counted in zip(one.sessions.values(), two.sessions.values(), strict=True):
            assert {way: len(messages) for way, messages in kept.streams.items()} == counted.counts == kept.counts
            assert counted.streams == {}


def test_a_survey_reads_again_where_a_head_comes_long_after_the_line_it_signs_for(
    told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_RECENT_LINES", 1)
    for name in told.names:
        assert survey(told.path(name)).faults == []
    lines, path = lines_of(told), tmp_path / "changed"
    changed = rechained([altered(lines[0], time="2020-01-01T00:00:00Z"), *lines[1:]])
    path.write_bytes(b"".join(line + b"\n" for line in changed))
    one, two = examine(path), survey(path)
    assert any("signed for another line" in fault.sentence for fault in one.faults)
    assert {fault.sentence for fault in one.faults} == {fault.sentence for fault in two.faults}


def test_a_survey_keeps_the_hashes_of_the_last_lines_only() -> None:
    hashes = Hashes(4)
    for number in range(1, 100):
        hashes.add(number.to_bytes(32, "big"))
        assert hashes.count == number
        for line in range(max(1, number - 3), number + 1):
            assert hashes.of(line) == line.to_bytes(32, "big")
        assert hashes.of(number + 1) is None
        assert hashes.of(0) is None
    assert hashes.of(90) is None


def test_a_session_that_comes_twice_is_found(told: Any, tmp_path: Path) -> None:
    lines = lines_of(told)
    first, last = place_of(lines, "session"), place_of(lines, "end")
    again = rechained([*lines, *lines[first : last + 1]], len(lines))
    assert "begins a session of a name that an earlier one has" in " ".join(faults_of(tmp_path, again))


def test_what_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        examine(tmp_path / "absent")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        examine(tmp_path)
    assert faults_of(tmp_path, []) == ["The file has no line that begins a ledger."]
    assert faults_of(tmp_path, [b"x" * 200_000])
    assert faults_of(tmp_path, [b"[" * 5000]) != []


@given(st.binary(max_size=2000))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_makes_it_stumble(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "random"
    path.write_bytes(raw)
    assert examine(path).faults
