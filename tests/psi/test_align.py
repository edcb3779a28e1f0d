"""All roles together: the outcome is plain set intersection, the same records in the same order at every party."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parties.network.driver import drive
from parties.network.memory import MemoryNetwork
from parties.network.worker_pool import Pool
from psi import Limits, align_feature, align_label, check_agreed, check_match
from psi.curve import encode_to_curve
from psi.exchange import PIECE
from psi.keys import KeyList
from psi.messages import ListSize, ListSizes, MaskedKeys, MatchPositions, OwnPositions
from vsplit.protocol import Collect, DataError, RefusedError, StoppedError, Work

LABEL = "clinic"
key_lists = st.lists(st.integers(0, 24).map(lambda n: b"%d" % n), unique=True, min_size=1, max_size=16)


def keys_in(*ranges):
    return [b"key %d" % n for numbers in ranges for n in numbers]


def aligned(session, party, keys):
    return [keys[position] for position in session.results[party].positions]


@settings(deadline=None, max_examples=40)
@given(key_lists, st.lists(key_lists, min_size=1, max_size=4), st.integers(0, 2**64))
@example([b"a"], [[b"a"]], 0)
@example([b"a"], [[b"b"]], 0)
@example([b""], [[b""], [b"", b"\x00"]], 0)
@example([b"a", b"b"], [[b"a"], [b"b"]], 0)
def test_outcome_is_plain_set_intersection(align, own, others, seed):
    expected = set(own).intersection(*others)
    session = align(own, *others, seed=seed)
    result = session.results[LABEL]
    order = aligned(session, LABEL, own)
    assert set(order) == expected
    assert len(order) == len(expected) == result.matched
    assert result.positions.dtype == np.int64
    assert result.own_records == len(own)
    sizes = {LABEL: len(own)} | {f"lab{number}": len(keys) for number, keys in enumerate(others)}
    for number, keys in enumerate(others):
        name = f"lab{number}"
        found = session.results[name]
        assert aligned(session, name, keys) == order
        assert result.overlaps[name] == len(set(own) & set(keys))
        assert (found.matched, found.overlaps) == (result.matched, {})
    for name, found in session.results.items():
        assert dict(found.peer_records) == {other: size for other, size in sizes.items() if other != name}
        assert found.refused_by == ""


@settings(deadline=None, max_examples=20)
@given(key_lists, st.lists(key_lists, min_size=1, max_size=4), st.integers(0, 2**64))
def test_an_overlap_counts_the_same_and_tells_no_member(align, own, others, seed):
    session = align(own, *others, seed=seed, only_overlap=True)
    expected = len(set(own).intersection(*others))
    assert {found.matched for found in session.results.values()} == {expected}
    for number, keys in enumerate(others):
        assert session.results[LABEL].overlaps[f"lab{number}"] == len(set(own) & set(keys))
        assert session.results[f"lab{number}"].overlaps == {}
    assert not hasattr(session.results[LABEL], "positions")
    kinds = {type(message).__name__ for _, _, message in session.transcript}
    assert not kinds & {"MatchBits", "OwnPositions", "MatchPositions", "Agreement"}


@pytest.mark.parametrize("others", [1, 2, 3])
def test_lists_of_several_pieces_and_chunks(align, monkeypatch, others):
    for module in ("messages", "exchange", "masking", "unshuffling"):
        monkeypatch.setattr(f"psi.{module}.CHUNK", 48)
    monkeypatch.setattr("psi.exchange.PIECE", 20)
    monkeypatch.setattr("psi.unshuffling.BITS", 4)
    lists = [keys_in(range(150)), *(keys_in(range(40 + number, 240 - 50 * number)) for number in range(others))]
    session = align(*lists)
    expected = len(set(lists[0]).intersection(*lists[1:]))
    orders = [aligned(session, name, keys) for name, keys in zip(session.results, lists, strict=True)]
    assert all(order == orders[0] for order in orders)
    assert len(orders[0]) == expected > 60
    shapes = [row[4] for row in session.shape() if row[2] == "MaskedKeys" and row[0] == LABEL]
    assert shapes == [(48, 32), (48, 32), (48, 32), (6, 32)]


@pytest.mark.parametrize("others", [1, 2, 3, 4])
@pytest.mark.parametrize("longest", [0, 1])
def test_queues_of_a_single_message_never_block(align, monkeypatch, others, longest):
    """Real queues, each with room for one message, and lists of very different lengths, the label party's the longest or
    the shortest: the network in memory raises Deadlock where all wait."""
    for module in ("messages", "exchange", "masking", "unshuffling"):
        monkeypatch.setattr(f"psi.{module}.CHUNK", 4)
    lists = [keys_in(range(40 if number == longest else 9 + 5 * number)) for number in range(others + 1)]

    def over_queues(roles, session):
        network = MemoryNetwork(list(roles), queue=1)

        def live(name):
            endpoint = network.endpoint(name)
            try:
                session.results[name] = drive(roles[name], endpoint, Pool())
                endpoint.finish()
            except Exception as error:
                session.results[name] = error
                endpoint.stop("error")

        threads = [threading.Thread(target=live, args=(name,)) for name in roles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return session

    session = align(*lists, runner=over_queues)
    expected = set(lists[0]).intersection(*lists[1:])
    assert [found for found in session.results.values() if isinstance(found, Exception)] == []
    names = [LABEL, *(f"lab{number}" for number in range(others))]
    assert all({*aligned(session, name, keys)} == expected for name, keys in zip(names, lists, strict=True))


def test_work_is_cut_into_even_pieces_for_all_cores(seeded):
    role = align_feature(
        "lab", LABEL, ["lab"], KeyList.of(keys_in(range(10_000))), seals={}, random_bytes=seeded(0), limits=Limits()
    )
    effects = [next(role)]
    effects.append(role.send(None))
    effects.append(role.send(ListSizes(records=np.array([5, 10_000]))))
    masking = effects[-1]
    assert isinstance(masking, Work)
    assert masking.later
    assert [len(keys) for _, keys in masking.pieces] == [3333, 3333, 3334]
    assert all(len(keys) <= PIECE for _, keys in masking.pieces)
    # Each piece has a buffer of its own, so that no worker is handed the whole list.
    assert all(len(keys.data) == keys.ends[-1] for _, keys in masking.pieces)


def test_the_label_party_masks_its_own_list_while_it_waits(seeded):
    """Its work is begun before it asks for the other list, and collected after that list has come."""
    role = align_label(
        LABEL, ["lab"], KeyList.of(keys_in(range(5))), order_secret=bytes(32), random_bytes=seeded(0), limits=Limits()
    )
    points = encode_to_curve(KeyList.of([b"a", b"b", b"c"]))
    answers = {"ListSize": ListSize(records=3), "MaskedKeys": MaskedKeys(points=points)}
    kinds, effect = [], next(role)
    while not isinstance(effect, Collect):
        kinds.append(type(effect).__name__)
        answer = effect
        if kinds[-1] == "Receive":
            answer = answers[effect.kind.__name__]
        effect = role.send(answer)
    assert [kind for kind in kinds if kind != "Note"] == ["Receive", "Send", "Work", "Receive", "Work"]


def test_common_order_does_not_follow_file_orders_or_seeds(align):
    """Same secret: same order of the records, whatever the order of either file and whatever the entropy of the run."""
    own, other = keys_in(range(60)), keys_in(range(20, 90))
    first = aligned(align(own, other), LABEL, own)
    own_turned, other_turned = own[::-1], other[7:] + other[:7]
    for a, b, seed in [(own_turned, other, 0), (own, other_turned, 0), (own, other, 1), (own_turned, other_turned, 2)]:
        session = align(a, b, seed=seed)
        assert aligned(session, LABEL, a) == aligned(session, "lab0", b) == first
    assert aligned(align(own, other, other), LABEL, own) == first
    positions = [own.index(key) for key in first]
    assert positions not in (sorted(positions), sorted(positions, reverse=True))
    assert aligned(align(own, other, secret=bytes(32)), LABEL, own) != first


def test_a_larger_match_keeps_the_order_of_the_smaller_one(align):
    own = keys_in(range(60))
    small = aligned(align(own, keys_in(range(30))), LABEL, own)
    large = aligned(align(own, keys_in(range(45))), LABEL, own)
    assert [key for key in large if key in small] == small


def test_positions_on_the_wire_are_in_shuffled_lists(align):
    """Either side learns places in a random order, not places in the other's file."""
    keys = keys_in(range(50))
    session = align(keys, keys)
    for sender, to, kind in ((LABEL, "lab0", MatchPositions), ("lab0", LABEL, OwnPositions)):
        told = session.sent(sender, to, kind, "positions")
        assert sorted(told) == list(range(50))
        assert list(told) != list(session.results[to].positions)


@pytest.mark.parametrize("others", [1, 2])
def test_too_few_records_in_common_tell_the_count_and_no_member(align, others):
    own, other = keys_in(range(20)), keys_in(range(11, 40))
    lists = (own, *[other] * others)
    session = align(*lists, limits=Limits(min_records=10))
    told = {type(message).__name__ for _, _, message in session.transcript}
    assert "MatchCount" in told
    assert not told & {"MatchBits", "OwnPositions", "MatchPositions"}
    for found in session.results.values():
        assert (found.matched, len(found.positions), found.refused_by) == (9, 0, "")
        check_agreed(found)
        with pytest.raises(RefusedError, match="Only 9 records are common to this party and lab, fewer than the 10"):
            check_match(found.matched, 10, "lab")
    assert len(align(*lists, limits=Limits(min_records=9)).results[LABEL].positions) == 9


@pytest.mark.parametrize("strict", [LABEL, "features"])
def test_a_party_that_asks_for_more_is_named_to_the_others(align, strict):
    own, other = keys_in(range(20)), keys_in(range(11, 40))
    bounds = [Limits(min_records=10), Limits()]
    limits, feature_limits = bounds if strict == LABEL else bounds[::-1]
    session = align(own, other, other, limits=limits, feature_limits=feature_limits)
    label, feature = session.results[LABEL], session.results["lab1"]
    assert len(label.positions) == len(feature.positions) == 0
    content, who = (feature, LABEL) if strict == LABEL else (label, "lab0")
    assert content.refused_by == who
    with pytest.raises(StoppedError, match=f"fewer than another party's file asks for.*as {who} reports"):
        check_agreed(content)


def test_records_common_to_all_count_not_those_of_each_pair(align):
    own, one, two = keys_in(range(20)), keys_in(range(12)), keys_in(range(10, 20))
    found = align(own, one, two, limits=Limits(min_records=3)).results[LABEL]
    assert (found.matched, dict(found.overlaps)) == (2, {"lab0": 12, "lab1": 10})
    found = align(own, one, keys_in(range(12, 20))).results[LABEL]
    assert (found.matched, len(found.positions)) == (0, 0)


@pytest.mark.parametrize("others", [1, 2])
@pytest.mark.parametrize("who_judges", [LABEL, "features"])
def test_lists_outside_the_limits_stop_the_run_before_any_list_leaves(align, others, who_judges):
    """Each side judges the others' lists before one of them leaves; a list that is too short, its own as well."""
    sent = []

    def watch(sender, _to, message):
        sent.append(type(message).__name__)
        return [message]

    def limited(bound, own, other):
        lists = (own, *[other] * others) if who_judges == LABEL else (other, *[own] * others)
        limits, feature_limits = (bound, Limits()) if who_judges == LABEL else (Limits(), bound)
        align(*lists, limits=limits, feature_limits=feature_limits, tamper=watch)

    long, short = keys_in(range(12)), keys_in(range(9))
    with pytest.raises(RefusedError, match="brings a list of 12 records, more than the 11 that this party accepts"):
        limited(Limits(max_list=11), short, long)
    with pytest.raises(RefusedError, match="brings a list of only 9 records, fewer than the 10"):
        limited(Limits(min_list=10), long, short)
    with pytest.raises(RefusedError, match="This party has only 9 usable keys, fewer than the 10"):
        limited(Limits(min_list=10), short, long)
    limited(Limits(max_list=12), short, short)
    assert "MaskedKeys" in sent
    sent.clear()
    with pytest.raises(RefusedError):
        limited(Limits(max_list=11), short, long)
    # What a feature party seals for another cannot be opened by the label party, and nobody passes it on.
    assert not {"MaskedKeys"} & set(sent)


def test_limits_that_make_no_sense():
    for wrong in (
        {"min_list": 0},
        {"max_list": 0},
        {"min_list": 5, "max_list": 4},
        {"min_records": 0},
        {"max_list": 2**32},
    ):
        with pytest.raises(ValueError, match="limits are"):
            Limits(**wrong)


@pytest.mark.parametrize(
    ("keys", "sentence"), [([], "no usable key"), ([b"secret id", b"x", b"secret id"], "holds a key twice")]
)
@pytest.mark.parametrize("others", [1, 2])
def test_own_keys_that_cannot_be_aligned(align, keys, sentence, others):
    for lists in ((keys, *[[b"x"]] * others), ([b"x"], *[keys] * others)):
        with pytest.raises(DataError, match=sentence) as caught:
            align(*lists)
        assert "secret id" not in str(caught.value)


def test_a_label_party_needs_peers_each_once_and_a_whole_secret(seeded):
    bounds = {"random_bytes": seeded(0), "limits": Limits()}
    many = [f"lab{number}" for number in range(64)]
    for peers, secret in (([], bytes(32)), (["a", "a"], bytes(32)), (many, bytes(32)), (["lab"], bytes(16))):
        with pytest.raises(ValueError, match=r"each named once|order secret"):
            next(align_label(LABEL, peers, KeyList.of([b"x"]), order_secret=secret, **bounds))


def test_a_feature_party_among_several_needs_its_seals(seeded):
    bounds = {"random_bytes": seeded(0), "limits": Limits(), "seals": {}}
    with pytest.raises(ValueError, match="needs a seal"):
        next(align_feature("a", LABEL, ["a", "b"], KeyList.of([b"x"]), **bounds))
    with pytest.raises(ValueError, match="not in tuple"):
        next(align_feature("c", LABEL, ["a"], KeyList.of([b"x"]), **bounds))


def test_an_alignment_shows_no_position(align):
    session = align([b"a", b"b"], [b"b"])
    assert "positions" not in repr(session.results[LABEL])


def test_progress_is_noted(align):
    session = align(keys_in(range(9)), keys_in(range(5)))
    texts = [note.text for party, note in session.notes if party == LABEL and note.stage == "comparing"]
    assert texts == ["5 records in common"]
    assert all(note.done <= note.total for _, note in session.notes)


def test_importing_psi_loads_neither_torch_nor_pandas():
    """Worker processes import psi; they start quickly and hold no copy of torch."""
    code = "import sys, psi, psi.curve; sys.exit(bool({'torch', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
