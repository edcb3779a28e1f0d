"""What the owner of a ledger can do to it with his own key, and what `verify` finds of that without any other ledger.

SPEC.md, section 8: all that stands before the last line for which another party has signed is found. What is not found
is tested as well, with what the verdict then says.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parties.ledger.examination import Examined
from parties.ledger.peer_signatures import signature_sentences
from parties.ledger.record import AnyLine, Begin, Crossed, End, Head, NewSession, Resent, Torn, encode
from parties.ledger.verify import examine, survey
from parties.network.identity import PrivateIdentity
from tests.parties.ledger.dishonest import Lines, Owner

YEAR = timedelta(days=365)
replace = msgspec.structs.replace


@pytest.fixture(scope="module", params=["lab", "clinic", "clinic of three", "gym of three"])
def owner(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Owner:
    """A party with four sessions: two that were killed, of which one left a torn line, one that finished, one that was over."""
    name, _, three = request.param.partition(" of ")
    features = ("lab", "gym") if three else ("lab",)
    pairs = request.getfixturevalue("pairs_class")(tmp_path_factory.mktemp("owner"), features)
    pairs.resend = set(pairs.names)
    pairs.talk(2, end=False)
    with pairs.path(name).open("ab") as file:
        file.write(b'{"what":"mess')
    pairs.talk(2, end=False)
    pairs.talk(3)
    pairs.talk(0)
    return Owner(name, pairs.keys[name], pairs.path(name))


def judged(owner: Owner, tmp_path: Path, lines: Lines) -> Examined:
    """What is found in a file that the owner made of these lines; both ways to read it find the same."""
    path = owner.write(tmp_path / "changed", lines)
    one, two = examine(path), survey(path)
    assert one.faults == two.faults
    assert one.signed_lines == two.signed_lines
    return two


def session_of(lines: Lines, number: int) -> Lines:
    """The lines of one session, with its end."""
    names = [line.session for line in lines if isinstance(line, NewSession)]
    return [line for line in lines if getattr(line, "session", "") == names[number]]


def heads_of_others(owner: Owner, lines: Lines) -> list[Head]:
    return [line for line in lines if isinstance(line, Head) and line.signer != owner.name]


def held(owner: Owner, lines: Lines) -> int:
    """The last line for which another party has signed."""
    return max(head.peer_lines or 0 for head in heads_of_others(owner, lines))


def test_what_the_owner_makes_anew_without_a_change_is_the_same_file(owner: Owner, tmp_path: Path) -> None:
    lines = owner.lines()
    assert owner.made_anew(lines) == owner.path.read_bytes()
    found = judged(owner, tmp_path, lines)
    assert found.faults == []
    assert [told.end for told in found.sessions.values()] == ["cut", "cut", "finished", "finished"]
    assert {type(line) for line in lines} == {Begin, NewSession, Crossed, Resent, Torn, Head, End}
    peers = {head.signer for head in heads_of_others(owner, lines)}
    assert {peer: signed_line.final for peer, signed_line in found.signed_lines.items()} == dict.fromkeys(peers, True)
    sentences = signature_sentences(found)
    for peer in peers:
        assert (
            f"{peer} has signed lines 1 to {held(owner, lines)} as they are here, when the training"
            in sentences[list(found.signed_lines).index(peer)]
        )
    assert "signed by" in sentences[-1] and "alone" in sentences[-1]


def without(lines: Lines, gone: Callable[[AnyLine], bool]) -> Lines:
    return [line for line in lines if not gone(line)]


def _no_session(number: int) -> Callable[[Owner, Lines], Lines]:
    return lambda _owner, lines: [line for line in lines if line not in session_of(lines, number)]


def _first_of(lines: Lines, kind: type[AnyLine], nth: int = 0) -> AnyLine:
    return [line for line in lines if isinstance(line, kind)][nth]


def _changed(lines: Lines, line: AnyLine, **fields: Any) -> Lines:
    return [replace(one, **fields) if one is line else one for one in lines]


def _exchanged_sessions(owner: Owner, lines: Lines) -> Lines:
    one, two = session_of(lines, 0), session_of(lines, 1)
    at = lines.index(one[0])
    rest = [line for line in lines if line not in one and line not in two]
    return [*rest[:at], *two, *one, *rest[at:]]


def _cut_back(number: int, word: str) -> Callable[[Owner, Lines], Lines]:
    """Back to behind the head with this number of the finished session, which then ends in `word`."""

    def change(owner: Owner, lines: Lines) -> Lines:
        session = session_of(lines, 2)
        signers = {head.signer for head in heads_of_others(owner, session)}
        last = heads_of_others(owner, session)[(number + 1) * len(signers) - 1]
        return [*lines[: lines.index(last) + 1], owner.end(last, word)]

    return change


def _messages(lines: Lines, session: int = 2) -> list[Crossed]:
    return [line for line in session_of(lines, session) if isinstance(line, Crossed)]


def _to_format_1(owner: Owner, lines: Lines) -> Lines:
    """As if an older version had written it, with heads that say nothing of the file."""
    old: Lines = []
    for line in lines:
        if isinstance(line, Begin | NewSession):
            old.append(replace(line, format=1))
        elif isinstance(line, Head):
            old.append(replace(line, peer_lines=None, peer_head=None, final=False))
        else:
            old.append(line)
    return old


FOUND: dict[str, Callable[[Owner, Lines], Lines]] = {
    "a message at the beginning left out": lambda _o, lines: without(lines, lambda one: one is _messages(lines, 0)[0]),
    "a message in the middle left out": lambda _o, lines: without(lines, lambda one: one is _messages(lines)[7]),
    "most messages of a session left out": lambda _o, lines: without(
        lines, lambda one: one in _messages(lines)[2:12] and one is not _messages(lines)[5]
    ),
    "all messages between two heads left out": lambda _o, lines: without(
        lines, lambda one: isinstance(one, Crossed) and one.kind in ("Parcel", "Verdictlet")
    ),
    "all times shifted by a year": lambda _o, lines: [replace(line, time=line.time + YEAR) for line in lines],
    "times of one session shifted": lambda _o, lines: [
        replace(line, time=line.time - YEAR) if line in session_of(lines, 0) else line for line in lines
    ],
    "one time shifted by a microsecond": lambda _o, lines: _changed(
        lines, _messages(lines)[3], time=_messages(lines)[3].time + timedelta(microseconds=1)
    ),
    "the first session left out": _no_session(0),
    "the middle session left out": _no_session(1),
    "both killed sessions left out": lambda owner, lines: _no_session(0)(owner, _no_session(1)(owner, lines)),
    "the finished session left out, but for its heads": lambda owner, lines: without(
        lines, lambda one: one in session_of(lines, 2) and isinstance(one, Crossed)
    ),
    "sessions exchanged": _exchanged_sessions,
    "another size": lambda _o, lines: _changed(lines, _messages(lines)[3], size=12345),
    "another kind": lambda _o, lines: _changed(lines, _messages(lines)[3], kind="Letter"),
    "another digest": lambda _o, lines: _changed(lines, _messages(lines)[3], digest="ab" * 16),
    "another direction": lambda _o, lines: _changed(
        lines, _messages(lines)[3], direction="sent" if _messages(lines)[3].direction == "received" else "received"
    ),
    "another begin": lambda _o, lines: _changed(lines, lines[0], job="other", time=lines[0].time + YEAR),
    "another version in its begin": lambda _o, lines: _changed(lines, lines[0], version="9.9"),
    "another version in a session": lambda _o, lines: _changed(lines, _first_of(lines, NewSession), version="9.9"),
    "another job in a session": lambda _o, lines: _changed(lines, _first_of(lines, NewSession), job="other"),
    "no torn line": lambda _o, lines: without(lines, lambda one: isinstance(one, Torn)),
    "another torn line": lambda _o, lines: _changed(lines, _first_of(lines, Torn), bytes=1),
    "no resent line": lambda _o, lines: without(lines, lambda one: isinstance(one, Resent)),
    "no resent line in the last session": lambda _o, lines: without(
        lines, lambda one: one is _first_of(lines, Resent, 2)
    ),
    "another resent line": lambda _o, lines: _changed(lines, _first_of(lines, Resent, 2), bytes=7),
    "an earlier session ended in another word": lambda _o, lines: _changed(
        lines, _first_of(lines, End), word="stopped"
    ),
    "a head of an earlier session left out": lambda owner, lines: without(
        lines, lambda one: one is heads_of_others(owner, lines)[0]
    ),
    "all heads of an earlier session left out": lambda _o, lines: without(
        lines, lambda one: isinstance(one, Head) and one in session_of(lines, 0)
    ),
    "all heads left out": lambda _o, lines: without(lines, lambda one: isinstance(one, Head)),
    "all own heads left out": lambda owner, lines: without(
        lines, lambda one: isinstance(one, Head) and one.signer == owner.name
    ),
    "cut back to the first head, and finished": _cut_back(0, "finished"),
    "cut back to the second head, and finished": _cut_back(1, "finished"),
    "cut behind the last head, and finished": _cut_back(2, "finished"),
    "all kept left out": lambda _o, lines: without(
        lines, lambda one: isinstance(one, Crossed) and one.kind in ("StateKept", "StateKeptByAll")
    ),
    "another message put in behind the last head": lambda _o, lines: [
        one
        for line in lines
        for one in ([line, line] if getattr(line, "kind", "") in ("StateKept", "StateKeptByAll") else [line])
    ],
    "the last heads left out": lambda _o, lines: without(lines, lambda one: isinstance(one, Head) and one.final),
    "the last exchange left out": lambda owner, lines: without(
        lines,
        lambda one: (
            (isinstance(one, Head) and one.final)
            or (isinstance(one, Crossed) and one.kind.startswith("LedgerHead") and one.line > held(owner, lines))
        ),
    ),
    "an earlier head called the last": lambda owner, lines: [
        replace(line, final=True) if isinstance(line, Head) else line for line in _cut_back(1, "finished")(owner, lines)
    ],
    "written as by an older version": _to_format_1,
    "written as by an older version, without the heads": lambda owner, lines: without(
        _to_format_1(owner, lines), lambda one: isinstance(one, Head)
    ),
    "a message of the last exchange left out": lambda owner, lines: without(
        lines, lambda one: one is _of_last_exchange(owner, lines)[0]
    ),
    "another size in the last exchange": lambda owner, lines: _changed(
        lines, _of_last_exchange(owner, lines)[-1], size=9
    ),
    "another kind in the last exchange": lambda owner, lines: _changed(
        lines, _of_last_exchange(owner, lines)[-1], kind="LedgerLastLine"
    ),
    "messages of the last exchange exchanged": lambda owner, lines: _swapped(
        lines, *[one for one in _of_last_exchange(owner, lines) if one.peer in ("clinic", "lab")][-2:]
    ),
    "a message put in before the last exchange": lambda owner, lines: [
        one
        for line in lines
        for one in ([_messages(lines)[3], line] if line is _of_last_exchange(owner, lines)[0] else [line])
    ],
}


def _swapped(lines: Lines, one: AnyLine, other: AnyLine) -> Lines:
    return [other if line is one else one if line is other else line for line in lines]


def _of_last_exchange(owner: Owner, lines: Lines) -> list[Crossed]:
    last = heads_of_others(owner, lines)[-1].line
    return [one for one in _messages(lines) if held(owner, lines) < one.line < last]


@pytest.mark.parametrize("what", FOUND)
def test_what_the_owner_changes_is_found_in_this_ledger_alone(owner: Owner, tmp_path: Path, what: str) -> None:
    lines = owner.lines()
    changed = FOUND[what](owner, lines)
    assert changed != lines
    assert judged(owner, tmp_path, changed).faults


def test_any_single_message_left_out_before_the_last_head_is_found(owner: Owner, tmp_path: Path) -> None:
    lines = owner.lines()
    last = heads_of_others(owner, lines)[-1].line
    gone = [line for line in lines if isinstance(line, Crossed) and line.line < last]
    assert len(gone) > 30
    for line in gone:
        assert judged(owner, tmp_path, without(lines, lambda one, line=line: one is line)).faults, line


CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "time": st.integers(-(10**12), 10**12).filter(bool).map(lambda micros: timedelta(microseconds=micros)),
    "size": st.integers(0, 10**6),
    "kind": st.sampled_from(["Parcel", "Verdictlet", "Embedding", "LedgerHead", "LedgerSalt"]),
    "peer": st.sampled_from(["clinic", "lab", "gym"]),
    "direction": st.sampled_from(["sent", "received"]),
    "digest": st.binary(min_size=16, max_size=16).map(bytes.hex),
    "session": st.binary(min_size=16, max_size=16).map(bytes.hex),
    "bytes": st.integers(1, 10**4),
    "word": st.sampled_from(["finished", "cut", "stopped", "link"]),
    "job": st.just("another"),
    "version": st.just("9.9"),
    "final": st.booleans(),
    "format": st.sampled_from([1, 2]),
    "first": st.integers(1, 3),
}


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_edits_before_the_last_line_that_another_has_signed_for_are_found(
    owner: Owner, tmp_path: Path, data: st.DataObject
) -> None:
    """Several at once; all numbers, hashes and own signatures are made anew each time."""
    lines = owner.lines()
    before = owner.made_anew(lines)
    most = held(owner, lines)  # lines 1 to `most` may be touched
    behind = lines[most:]
    front = lines[:most]
    for _ in range(data.draw(st.integers(1, 3))):
        front = _edited(front, data)
    changed = owner.made_anew([*front, *behind])
    if changed == before:
        return
    path = tmp_path / "changed"
    path.write_bytes(changed)
    assert survey(path).faults


def _edited(lines: Lines, data: st.DataObject) -> Lines:
    if not lines:
        return lines
    at = data.draw(st.integers(0, len(lines) - 1))
    to = data.draw(st.integers(at, min(len(lines), at + data.draw(st.sampled_from([1, 5, 100])))))
    what = data.draw(st.sampled_from(["left out", "repeated", "moved", "times", "field", "field", "field"]))
    if what == "left out":
        return lines[:at] + lines[to:]
    if what == "repeated":
        return lines[:to] + lines[at:to] + lines[to:]
    if what == "moved":
        rest = lines[:at] + lines[to:]
        place = data.draw(st.integers(0, len(rest)))
        return rest[:place] + lines[at:to] + rest[place:]
    if what == "times":
        shift = data.draw(CHANGES["time"])
        return lines[:at] + [replace(line, time=line.time + shift) for line in lines[at:to]] + lines[to:]
    line = lines[at]
    name = data.draw(st.sampled_from([name for name in CHANGES if hasattr(line, name)]))
    value = data.draw(CHANGES[name])
    changed = replace(line, **{name: line.time + value if name == "time" else value})
    encode(changed)
    return [*lines[:at], changed, *lines[at + 1 :]]


# --- what is not found, and what the verdict says then ------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("word", ["cut", "interrupted", "link"])
def test_a_ledger_cut_back_to_a_head_and_ended_as_interrupted_says_that_nobody_signed_for_an_end(
    owner: Owner, tmp_path: Path, number: int, word: str
) -> None:
    found = judged(owner, tmp_path, _cut_back(number, word)(owner, owner.lines()))
    assert found.faults == []
    assert not any(signed_line.final for signed_line in found.signed_lines.values())
    assert "It has signed no end of the training after that" in signature_sentences(found)[0]


def test_a_ledger_cut_behind_its_last_head_and_ended_in_another_word_still_says_that_the_training_had_ended(
    owner: Owner, tmp_path: Path
) -> None:
    found = judged(owner, tmp_path, _cut_back(2, "link")(owner, owner.lines()))
    assert found.faults == []
    assert all(signed_line.final for signed_line in found.signed_lines.values())


def test_a_ledger_whose_last_sessions_are_left_out_says_so_too(owner: Owner, tmp_path: Path) -> None:
    lines = owner.lines()
    found = judged(owner, tmp_path, lines[: lines.index(session_of(lines, 2)[0])])
    assert found.faults == []
    assert "the lines after it were removed" in signature_sentences(found)[0]


def test_without_any_head_and_interrupted_nobody_else_vouches(owner: Owner, tmp_path: Path) -> None:
    lines = without(owner.lines(), lambda one: isinstance(one, Head) or one in session_of(owner.lines(), 2))
    found = judged(owner, tmp_path, lines)
    assert found.faults == []
    [sentence] = signature_sentences(found)
    assert sentence.startswith(f"No other party has signed any line here: only {owner.name} has signed")


def test_a_session_made_up_behind_the_last_head_counts_as_one_that_the_owner_alone_vouches_for(
    owner: Owner, tmp_path: Path
) -> None:
    lines = owner.lines()
    first = session_of(lines, 2)[0]
    invented = [replace(line, session="ee" * 16) for line in session_of(lines, 2) if not isinstance(line, Head | End)]
    found = judged(owner, tmp_path, [*lines, *invented, replace(owner.end(first, "link"), session="ee" * 16)])
    assert found.faults == []
    behind = found.lines - held(owner, lines)
    assert (
        f"The {behind:,} lines after line {held(owner, lines):,} are signed by {owner.name} alone"
        in signature_sentences(found)[-1]
    )
    # And it cannot be said to have been finished.
    assert judged(owner, tmp_path, [*lines, *invented, replace(owner.end(first, "finished"), session="ee" * 16)]).faults


def test_a_session_made_up_with_keys_of_the_owners_own_for_the_others_says_that_these_are_other_ones(
    make_pairs: Callable[..., Any],
) -> None:
    """Behind a ledger that was cut back, so that it seems to be signed for until the end of a training."""
    pairs = make_pairs("lab", "gym")
    pairs.talk(2, end=False)
    owner = Owner("clinic", pairs.keys["clinic"], pairs.path("clinic"))
    pairs.open("clinic").close()
    assert not [one for one in signature_sentences(survey(owner.path)) if "identities" in one]
    pairs.keys["lab"] = PrivateIdentity.generate()
    for name in ("lab", "gym"):
        pairs.path(name).unlink()
    pairs.talk(3)
    found = survey(owner.path)
    assert found.faults == []
    [sentence] = [one for one in signature_sentences(found) if "identities" in one]
    lines = [told.line for told in found.sessions.values()]
    assert sentence.startswith(
        f"lab has 2 identities in this file: in the session of line {lines[1]} another one than in that of line {lines[0]}."
    )
    assert "--job" in sentence


def test_a_feature_party_that_says_it_spoke_to_another_feature_party_is_found(
    make_pairs: Callable[..., Any], tmp_path: Path
) -> None:
    """All that feature parties say to each other goes by way of the label party."""
    pairs = make_pairs("lab", "gym")
    pairs.talk(3)
    owner = Owner("lab", pairs.keys["lab"], pairs.path("lab"))
    lines = owner.lines()
    one = replace(_messages(lines, 0)[3], peer="gym", kind="Embedding", direction="sent")
    found = judged(owner, tmp_path, [*lines[:-1], one, replace(lines[-1], word="link")])
    assert [fault.sentence for fault in found.faults] == [
        f"Line {len(lines)} names a party with which this one exchanges no messages."
    ]


def test_times_behind_the_last_line_that_was_signed_for_are_the_owners_word(owner: Owner, tmp_path: Path) -> None:
    lines = owner.lines()
    later = [replace(one, time=one.time + YEAR) if one.line > held(owner, lines) else one for one in lines]
    assert judged(owner, tmp_path, later).faults == []


# --- what honest parties leave ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["clinic", "gym"])
def test_a_party_that_is_killed_at_any_line_of_an_exchange_goes_on_and_its_ledger_verifies(
    make_pairs: Callable[..., Any], name: str
) -> None:
    """Its own head may stand without the other's, one peer's pair without the next one's, and the last line may be torn."""
    pairs = make_pairs("lab", "gym")
    pairs.talk(2, end=False)
    whole = pairs.path(name).read_bytes().splitlines(keepends=True)
    owner = Owner(name, pairs.keys[name], pairs.path(name))
    told = held(owner, owner.lines())
    assert len(whole) - told >= 5
    for left in range(told, len(whole) + 1):
        pairs.path(name).write_bytes(b"".join(whole[:left]) + b"".join(whole[left : left + 1])[:100])
        assert survey(pairs.path(name), unfinished=True).faults == []
        pairs.talk(1)
        found = survey(pairs.path(name))
        assert found.faults == []
        assert [told.end for told in found.sessions.values()] == ["cut", "finished"]
        assert all(signed_line.final for signed_line in found.signed_lines.values())


def test_what_a_peer_signed_before_a_kill_holds_lines_of_the_ledger_that_goes_on(pairs: Any) -> None:
    pairs.talk(2, end=False)
    before = survey(pairs.path("lab"), unfinished=True)
    pairs.open("lab").close()
    after = survey(pairs.path("lab"))
    assert after.faults == [] and after.signed_lines == before.signed_lines
