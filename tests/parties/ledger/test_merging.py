"""A ledger of a finished run is told of later sessions that belong to it: it stays whole, and agrees with its peer's."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from parties.ledger import merging
from parties.ledger.compare import compare
from parties.ledger.merging import continues, merge_ledgers
from parties.ledger.verify import examine
from parties.network.identity import PrivateIdentity
from vsplit.protocol import ConfigError


def later(pairs: Any, *, heads: bool = False, end: bool = True) -> tuple[Path, Path]:
    """The lab's ledger of a finished run, and another that it began for a session after that; the clinic has one for both.

    Without heads the session began no run: all had finished theirs.
    """
    pairs.talk()
    finished = pairs.path("lab").rename(pairs.folder / "finished.jsonl")
    pairs.talk(3 if heads else 0, heads=heads, end=end)
    return finished, pairs.path("lab")


def test_sessions_are_added_and_both_parties_tell_the_same(pairs: Any) -> None:
    finished, after = later(pairs)
    assert compare(examine(pairs.path("clinic")), examine(finished)).faults
    assert merge_ledgers(finished, after, pairs.about("lab"))
    joined = examine(finished)
    assert joined.faults == [] and len(joined.sessions) == 2
    assert [told.end for told in joined.sessions.values()] == ["finished", "finished"]
    assert compare(examine(pairs.path("clinic")), joined).faults == []
    # Once more changes nothing.
    before = finished.read_bytes()
    assert merge_ledgers(finished, after, pairs.about("lab"))
    assert finished.read_bytes() == before
    # Only what is missing is added.
    pairs.talk(0)
    assert merge_ledgers(finished, after, pairs.about("lab"))
    joined = examine(finished)
    assert joined.faults == [] and list(joined.sessions) == list(examine(pairs.path("clinic")).sessions)


def test_at_no_moment_is_there_a_part_of_a_session(pairs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    finished, after = later(pairs)
    before, moved, moments = finished.read_bytes(), merging._moved, []

    def look(*about: Any) -> Any:
        moments.append(finished.read_bytes())
        return moved(*about)

    monkeypatch.setattr(merging, "_moved", look)
    (finished.parent / f".{finished.name}.joined").write_bytes(b"left by a program that was killed in here")
    assert merge_ledgers(finished, after, pairs.about("lab"))
    assert set(moments) == {before} and len(moments) > 3
    assert {file.name for file in pairs.folder.iterdir()} == {"clinic.jsonl", "finished.jsonl", "lab.jsonl"}


def test_a_part_of_a_session_is_not_taken_for_the_whole(pairs: Any) -> None:
    finished, after = later(pairs)
    half = pairs.folder / "half.jsonl"
    half.write_bytes(b"".join(after.read_bytes().splitlines(keepends=True)[:4]))
    pairs.path("lab").rename(pairs.folder / "whole.jsonl")
    half.rename(pairs.path("lab"))
    pairs.open("lab").close()  # which ends it as one that was cut
    assert merge_ledgers(finished, pairs.path("lab"), pairs.about("lab"))
    before = finished.read_bytes()
    assert not merge_ledgers(finished, pairs.folder / "whole.jsonl", pairs.about("lab"))
    assert finished.read_bytes() == before


def test_a_session_that_ended_in_a_word_under_another_key_stays_by_itself(pairs: Any) -> None:
    finished, after = later(pairs)
    pairs.keys["lab"] = PrivateIdentity.generate()
    before = finished.read_bytes()
    assert not merge_ledgers(finished, after, pairs.about("lab"))
    assert finished.read_bytes() == before


def test_a_session_that_was_cut_is_added_under_the_key_of_today(pairs: Any) -> None:
    finished, after = later(pairs, end=False)
    pairs.keys["lab"] = PrivateIdentity.generate()
    pairs.open("lab").close()
    assert merge_ledgers(finished, after, pairs.about("lab"))
    assert examine(finished).faults == []


def test_a_ledger_that_goes_on_from_the_finished_one_takes_its_place_with_its_signatures(pairs: Any) -> None:
    pairs.talk()
    finished = pairs.folder / "finished.jsonl"
    finished.write_bytes(pairs.path("lab").read_bytes())
    pairs.talk(heads=True)
    assert continues(finished, pairs.path("lab")) and not continues(pairs.path("lab"), finished)
    assert merge_ledgers(finished, pairs.path("lab"), pairs.about("lab"))
    assert finished.read_bytes() == pairs.path("lab").read_bytes() and not finished.samefile(pairs.path("lab"))


def test_a_ledger_under_which_a_signature_stands_stays_by_itself(pairs: Any) -> None:
    finished, after = later(pairs, heads=True)
    before = finished.read_bytes()
    assert not merge_ledgers(finished, after, pairs.about("lab"))
    assert finished.read_bytes() == before


@pytest.mark.parametrize("spoil", ["no end", "changed"])
def test_a_ledger_that_is_not_whole_stays_by_itself(pairs: Any, spoil: str) -> None:
    finished, after = later(pairs)
    whole = after.read_bytes()
    lines = whole.splitlines(keepends=True)
    after.write_bytes(whole[:-20] if spoil == "no end" else b"".join([*lines[:2], *lines[3:]]))
    before = finished.read_bytes()
    assert not merge_ledgers(finished, after, pairs.about("lab"))
    assert finished.read_bytes() == before


def test_a_full_disk_leaves_the_finished_ledger_as_it_was(pairs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    finished, after = later(pairs)
    before, write, written = finished.read_bytes(), os.write, []

    def fill(descriptor: int, data: bytes) -> int:
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(data)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", fill)
    with pytest.raises(ConfigError, match="No space left on device"):
        merge_ledgers(finished, after, pairs.about("lab"))
    assert written and finished.read_bytes() == before
