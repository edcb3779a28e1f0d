"""A peer that does not follow the protocol: every deviation that can be seen ends the run and names that peer."""

import numpy as np
import pytest

from psi.curve import _LOW_ORDER
from psi.messages import CHUNK, ListSize, MaskedKeys, MatchCount, MatchPositions, TwiceMasked
from vsplit.protocol import DataError, ProtocolError

LABEL = "clinic"
P = 2**255 - 19
OWN = [b"own %d" % n for n in range(12)]
OTHER = OWN[4:] + [b"other %d" % n for n in range(6)]


def point(number):
    return np.frombuffer(number.to_bytes(32, "little"), np.uint8)


def changed(array, row, value):
    array = array.copy()
    array[row] = value
    return array


class Hostile:
    """Changes the messages of one sender of one kind; sees all that crosses."""

    def __init__(self, sender, kind, change):
        self.sender, self.kind, self.change, self.seen = sender, kind, change, []

    def __call__(self, sender, to, message):
        self.seen.append((sender, message))
        if sender == self.sender and type(message) is self.kind:
            return self.change(message, self.seen)
        return [message]


def expect(align, sender, kind, change, sentence, **options):
    with pytest.raises(ProtocolError, match=sentence) as caught:
        align(OWN, OTHER, tamper=Hostile(sender, kind, change), **options)
    assert caught.value.peer == sender
    assert str(caught.value).startswith(sender)


def points_become(change):
    return lambda message, seen: [MaskedKeys(points=change(message.points, seen))]


@pytest.fixture(params=["lab0", LABEL])
def sender(request):
    return request.param


def test_list_over_the_bound(align, sender):
    expect(
        align, sender, ListSize, lambda m, _: [ListSize(records=10**6)], "1,000,000 records, more than", max_records=99
    )


def test_list_shorter_than_announced(align, sender):
    expect(align, sender, MaskedKeys, points_become(lambda p, _: p[:-1]), "chunk of .* where .* were due")


def test_list_longer_than_announced(align, sender):
    expect(align, sender, ListSize, lambda m, _: [ListSize(records=m.records - 1)], "chunk of .* where .* were due")


def test_list_in_smaller_chunks_than_agreed(align, sender):
    halves = lambda m, _: [MaskedKeys(points=m.points[:3]), MaskedKeys(points=m.points[3:])]  # noqa: E731
    expect(align, sender, MaskedKeys, halves, "chunk of 3 records where")


@pytest.mark.parametrize("number", [P, P + 1, P + 9, 2**255 + 9, 2**256 - 1])
def test_points_that_are_not_canonical(align, sender, number):
    expect(align, sender, MaskedKeys, points_become(lambda p, _: changed(p, 2, point(number))), "not in canonical form")


@pytest.mark.parametrize("number", _LOW_ORDER)
def test_points_of_low_order(align, sender, number):
    expect(align, sender, MaskedKeys, points_become(lambda p, _: changed(p, 2, point(number))), "low order")


def test_repeated_points(align, sender):
    expect(align, sender, MaskedKeys, points_become(lambda p, _: changed(p, 2, p[3])), "holds a point twice")


def test_points_that_differ_by_one_of_low_order(align, sender):
    def shifted(points, _):
        inverse = pow(int.from_bytes(points[3].tobytes(), "little"), P - 2, P)  # plus the point (0, 0) of order 2
        return changed(points, 2, point(inverse))

    expect(align, sender, MaskedKeys, points_become(shifted), "holds a point twice")


def test_points_on_the_twist_match_nothing_and_harm_nobody(align):
    """u = 2 is on the twist. The record is lost to the match, no more."""
    session = align(OWN, OTHER, tamper=Hostile("lab0", MaskedKeys, points_become(lambda p, _: changed(p, 2, point(2)))))
    assert session.results[LABEL].matched in (7, 8)


def test_the_label_party_sends_the_feature_partys_own_points_back(align):
    def reflect(points, seen):
        theirs = next(m.points for s, m in seen if s == "lab0" and type(m) is MaskedKeys)
        return changed(points, 0, theirs[5])

    expect(align, LABEL, MaskedKeys, points_become(reflect), "point of this party's own list")


def test_the_feature_party_sends_the_label_partys_points_back_unmasked(align):
    def reflect(message, seen):
        own = next(m.points for s, m in seen if s == LABEL and type(m) is MaskedKeys)
        return [TwiceMasked(cuts=np.ascontiguousarray(own[:, : message.cuts.shape[1]]))]

    expect(align, "lab0", TwiceMasked, reflect, "own list, not masked again")


def test_the_label_partys_points_in_another_order_match_nothing(align):
    def reflect(message, seen):
        own = next(m.points for s, m in seen if s == LABEL and type(m) is MaskedKeys)
        return [TwiceMasked(cuts=np.ascontiguousarray(np.roll(own, 1, axis=0)[:, : message.cuts.shape[1]]))]

    with pytest.raises(DataError, match="No record is common"):
        align(OWN, OTHER, tamper=Hostile("lab0", TwiceMasked, reflect))


def test_the_label_party_sends_nothing_of_its_list_before_it_has_the_other(align):
    """So that a feature party cannot make its list from the label party's points."""
    session = align(OWN, OTHER)
    kinds = [(s, type(m).__name__) for s, _, m in session.transcript]
    assert kinds.index((LABEL, "ListSize")) > kinds.index(("lab0", "MaskedKeys"))


def test_one_answer_for_two_keys(align):
    def repeat(message, _):
        return [TwiceMasked(cuts=np.tile(message.cuts[0], (len(OWN), 1)))]

    # The first answer may be that of a key in common or not, by the shuffle: both cases occur among these seeds.
    outcomes = set()
    for seed in range(12):
        with pytest.raises((ProtocolError, DataError)) as caught:
            align(OWN, OTHER, seed=seed, tamper=Hostile("lab0", TwiceMasked, repeat))
        outcomes.add(caught.type)
        assert "same answer for two" in str(caught.value) or caught.type is DataError
    assert outcomes == {ProtocolError, DataError}


@pytest.mark.parametrize("width", [5, 7, 32])
def test_answers_of_another_width(align, width):
    cuts = np.zeros((len(OWN), width), np.uint8)
    expect(align, "lab0", TwiceMasked, lambda m, _: [TwiceMasked(cuts=cuts)], f"of {width} bytes where 6 were due")


def test_too_few_answers(align):
    expect(align, "lab0", TwiceMasked, lambda m, _: [TwiceMasked(cuts=m.cuts[1:])], "chunk of 11 .* where 12 were due")


def test_match_larger_than_a_list(align):
    expect(align, LABEL, MatchCount, lambda m, _: [MatchCount(records=13)], "a match of 13 records")


def test_match_of_another_size_than_announced(align):
    expect(align, LABEL, MatchCount, lambda m, _: [MatchCount(records=7)], "chunk of 8 .* where 7 were due")


def test_match_of_nothing(align):
    with pytest.raises(DataError, match="No record is common"):
        align(OWN, OTHER, tamper=Hostile(LABEL, MatchCount, lambda m, _: [MatchCount(records=0)]))


@pytest.mark.parametrize("position", [len(OTHER), 2**32 - 1])
def test_position_out_of_range(align, position):
    change = lambda m, _: [MatchPositions(positions=changed(m.positions, 1, position))]  # noqa: E731
    expect(align, LABEL, MatchPositions, change, "outside this party's list")


def test_position_twice(align):
    change = lambda m, _: [MatchPositions(positions=changed(m.positions, 1, m.positions[0]))]  # noqa: E731
    expect(align, LABEL, MatchPositions, change, "a position twice")


def test_a_message_of_another_kind(align):
    expect(align, "lab0", ListSize, lambda m, _: [MatchCount(records=3)], "ListSize was due")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ListSize, {"records": 0}),
        (ListSize, {"records": 2**32}),
        (MatchCount, {"records": -1}),
        (MaskedKeys, {"points": np.zeros((0, 32), np.uint8)}),
        (MaskedKeys, {"points": np.zeros((CHUNK + 1, 32), np.uint8)}),
        (MaskedKeys, {"points": np.zeros((1, 31), np.uint8)}),
        (TwiceMasked, {"cuts": np.zeros((1, 4), np.uint8)}),
        (TwiceMasked, {"cuts": np.zeros((1, 33), np.uint8)}),
        (MatchPositions, {"positions": np.zeros(0, np.uint32)}),
        (MatchPositions, {"positions": np.zeros(1, np.int64)}),
    ],
)
def test_messages_are_checked_at_birth(kind, fields):
    with pytest.raises(ValueError):
        kind(**fields)
