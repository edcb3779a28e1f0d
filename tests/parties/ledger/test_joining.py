"""A ledger of a finished run is told of later sessions that belong to it: it stays whole, and agrees with its peer's."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from parties.ledger.compare import compare
from parties.ledger.joining import join_ledgers
from parties.ledger.verify import examine
from vsplit.protocol import ConfigError


def later(pairs: Any, *, heads: bool = False, end: bool = True) -> tuple[Path, Path]:
    """The lab's ledger of a finished run, and another that it began for a session after that; the clinic has one for both."""
    pairs.talk()
    finished = pairs.path("lab").rename(pairs.folder / "finished.jsonl")
    pairs.talk(heads=heads, end=end)
    return finished, pairs.path("lab")


def test_sessions_are_added_and_both_parties_tell_the_same(pairs: Any) -> None:
    finished, after = later(pairs)
    assert compare(examine(pairs.path("clinic")), examine(finished)).faults
    assert join_ledgers(finished, after, pairs.about("lab"))
    joined = examine(finished)
    assert joined.faults == [] and len(joined.sessions) == 2
    assert [told.end for told in joined.sessions.values()] == ["finished", "finished"]
    assert compare(examine(pairs.path("clinic")), joined).faults == []
    # Once more changes nothing.
    before = finished.read_bytes()
    assert not join_ledgers(finished, after, pairs.about("lab"))
    assert finished.read_bytes() == before


def test_a_ledger_under_which_a_signature_stands_stays_by_itself(pairs: Any) -> None:
    finished, after = later(pairs, heads=True)
    before = finished.read_bytes()
    assert not join_ledgers(finished, after, pairs.about("lab"))
    assert finished.read_bytes() == before


@pytest.mark.parametrize("spoil", ["no end", "changed"])
def test_a_ledger_that_is_not_whole_stays_by_itself(pairs: Any, spoil: str) -> None:
    finished, after = later(pairs)
    whole = after.read_bytes()
    lines = whole.splitlines(keepends=True)
    after.write_bytes(whole[:-20] if spoil == "no end" else b"".join([*lines[:2], *lines[3:]]))
    before = finished.read_bytes()
    assert not join_ledgers(finished, after, pairs.about("lab"))
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
        join_ledgers(finished, after, pairs.about("lab"))
    assert written and finished.read_bytes() == before
