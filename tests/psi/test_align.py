"""Both roles together: the outcome is plain set intersection, the same records in the same order at every party."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from psi import align_feature, align_label
from psi.exchange import PIECE, shuffled
from psi.messages import MatchPositions
from vsplit.protocol import Collect, DataError, RefusedError, Work

LABEL = "clinic"
key_lists = st.lists(st.integers(0, 24).map(lambda n: b"%d" % n), unique=True, min_size=1, max_size=16)


def keys_in(*ranges):
    return [b"key %d" % n for numbers in ranges for n in numbers]


def aligned(session, party, keys):
    return [keys[position] for position in session.results[party].positions]


@settings(deadline=None, max_examples=40)
@given(key_lists, st.lists(key_lists, min_size=1, max_size=3), st.integers(0, 2**64))
@example([b"a"], [[b"a"]], 0)
@example([b"a"], [[b"b"]], 0)
@example([b""], [[b""], [b"", b"\x00"]], 0)
def test_outcome_is_plain_set_intersection(align, own, others, seed):
    expected = set(own).intersection(*others)
    if not expected:
        with pytest.raises(DataError, match="No record is common"):
            align(own, *others, seed=seed)
        return
    session = align(own, *others, seed=seed)
    result = session.results[LABEL]
    order = aligned(session, LABEL, own)
    assert set(order) == expected
    assert len(order) == len(expected) == result.matched
    assert result.positions.dtype == np.int64
    assert result.own_records == len(own)
    for number, keys in enumerate(others):
        name = f"lab{number}"
        assert aligned(session, name, keys) == order
        assert result.peer_records[name] == len(keys)
        assert result.overlaps[name] == len(set(own) & set(keys))
        assert session.results[name].peer_records == {LABEL: len(own)}
        assert session.results[name].overlaps == {}


def test_lists_of_several_pieces_and_chunks(align, monkeypatch):
    for module in ("exchange", "label", "feature"):
        monkeypatch.setattr(f"psi.{module}.CHUNK", 48)
    monkeypatch.setattr("psi.exchange.PIECE", 20)
    own, other = keys_in(range(150)), keys_in(range(40, 240))
    session = align(own, other)
    assert aligned(session, LABEL, own) == aligned(session, "lab0", other)
    assert session.results[LABEL].matched == 110
    shapes = [row[4] for row in session.shape() if row[2] == "MaskedKeys" and row[0] == LABEL]
    assert shapes == [(48, 32), (48, 32), (48, 32), (6, 32)]


def test_work_is_cut_into_even_pieces_for_all_cores(seeded):
    role = align_feature(LABEL, keys_in(range(10_000)), random_bytes=seeded(0), max_records=1, min_records=1)
    hashing = next(role)
    assert isinstance(hashing, Work)
    assert hashing.later
    assert [len(piece[0]) for piece in hashing.pieces] == [3333, 3333, 3334]
    assert all(len(piece[0]) <= PIECE for piece in hashing.pieces)


def test_the_label_party_masks_its_own_list_while_it_waits(align, play, seeded):
    """Its work is begun before it asks for the other list, and collected after that list has come."""
    role = align_label(
        ["lab"], keys_in(range(5)), order_secret=bytes(32), random_bytes=seeded(0), max_records=9, min_records=1
    )
    effects, answer = [], None
    while not effects or type(effects[-1]).__name__ != "Receive":
        effects.append(role.send(answer))
        effect = effects[-1]
        answer = None
        if isinstance(effect, Work):
            answer = effect
        elif isinstance(effect, Collect):
            answer = [effect.ticket.function(*piece) for piece in effect.ticket.pieces]
    kinds = [type(effect).__name__ for effect in effects if type(effect).__name__ != "Note"]
    assert kinds == ["Work", "Collect", "Work", "Receive"]


def test_common_order_does_not_follow_file_orders_or_seeds(align):
    """Same secret: same order of the records, whatever the order of either file and whatever the entropy of the run."""
    own, other = keys_in(range(60)), keys_in(range(20, 90))
    first = aligned(align(own, other), LABEL, own)
    own_turned, other_turned = own[::-1], other[7:] + other[:7]
    for a, b, seed in [(own_turned, other, 0), (own, other_turned, 0), (own, other, 1), (own_turned, other_turned, 2)]:
        session = align(a, b, seed=seed)
        assert aligned(session, LABEL, a) == aligned(session, "lab0", b) == first
    positions = [own.index(key) for key in first]
    assert positions not in (sorted(positions), sorted(positions, reverse=True))
    assert aligned(align(own, other, secret=bytes(32)), LABEL, own) != first


def test_a_larger_match_keeps_the_order_of_the_smaller_one(align):
    own = keys_in(range(60))
    small = aligned(align(own, keys_in(range(30))), LABEL, own)
    large = aligned(align(own, keys_in(range(45))), LABEL, own)
    assert [key for key in large if key in small] == small


def test_positions_on_the_wire_are_in_the_shuffled_list(align):
    """The label party learns places in a random order, not places in the feature party's file."""
    keys = keys_in(range(50))
    session = align(keys, keys)
    told = session.sent(LABEL, "lab0", MatchPositions, "positions")
    assert sorted(told) == list(range(50))
    assert list(told) != list(session.results["lab0"].positions)


def test_shuffle_gives_every_order_alike():
    counts = {}
    for _ in range(6000):
        order = tuple(shuffled(3, os.urandom))
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    # 1000 expected, standard deviation 29: eight of them leave no room for chance.
    assert all(abs(count - 1000) < 240 for count in counts.values())


def test_too_few_records_in_common_stop_the_label_party_before_it_tells(align):
    own, other = keys_in(range(20)), keys_in(range(11, 40))
    sent = []

    def watch(sender, _to, message):
        sent.append((sender, type(message).__name__))
        return [message]

    with pytest.raises(RefusedError, match="Only 9 records are common to this party and lab0, fewer than the 10"):
        align(own, other, min_records=10, tamper=watch)
    assert not [kind for _, kind in sent if kind.startswith("Match")]
    assert align(own, other, min_records=9).results[LABEL].matched == 9


def test_records_common_to_all_count_not_those_of_each_pair(align):
    own, one, two = keys_in(range(20)), keys_in(range(12)), keys_in(range(10, 20))
    with pytest.raises(RefusedError, match="Only 2 records are common to this party and lab0 and lab1"):
        align(own, one, two, min_records=3)
    with pytest.raises(DataError, match="No record is common to this party and lab0 and lab1"):
        align(own, one, keys_in(range(12, 20)))


def test_too_few_records_in_common_stop_the_feature_party(play, seeded):
    own, other = keys_in(range(20)), keys_in(range(11, 40))
    roles = {
        LABEL: align_label(["lab"], own, order_secret=bytes(32), random_bytes=seeded(1), max_records=99, min_records=1),
        "lab": align_feature(LABEL, other, random_bytes=seeded(2), max_records=99, min_records=10),
    }
    with pytest.raises(RefusedError, match="Only 9 records are common to this party and the others, fewer than the 10"):
        play(roles)


def test_advice_when_nothing_matches(align):
    with pytest.raises(DataError, match="No record is common to this party and lab0; compare how each side writes"):
        align(keys_in(range(5)), keys_in(range(5, 9)))


@pytest.mark.parametrize(
    ("keys", "sentence"), [([], "no usable key"), ([b"secret id", b"x", b"secret id"], "holds a key twice")]
)
def test_own_keys_that_cannot_be_aligned(align, keys, sentence):
    for lists in ((keys, [b"x"]), ([b"x"], keys)):
        with pytest.raises(DataError, match=sentence) as caught:
            align(*lists)
        assert "secret id" not in str(caught.value)


def test_a_label_party_needs_peers_each_once_and_a_whole_secret(align, seeded):
    bounds = {"random_bytes": seeded(0), "max_records": 1, "min_records": 1}
    for peers, secret in (([], bytes(32)), (["lab", "lab"], bytes(32)), (["lab"], bytes(16))):
        with pytest.raises(ValueError, match=r"each named once|order secret"):
            next(align_label(peers, [b"x"], order_secret=secret, **bounds))


def test_an_alignment_shows_no_position(align):
    session = align([b"a", b"b"], [b"b"])
    assert "positions" not in repr(session.results[LABEL])


def test_progress_is_noted(align):
    session = align(keys_in(range(9)), keys_in(range(5)))
    texts = [note.text for party, note in session.notes if party == LABEL and note.stage == "comparing"]
    assert texts == ["5 records in common with lab0"]
    assert all(note.done <= note.total for _, note in session.notes)


def test_importing_psi_loads_neither_torch_nor_pandas():
    """Worker processes import psi; they start quickly and hold no copy of torch."""
    code = "import sys, psi, psi.curve; sys.exit(bool({'torch', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
