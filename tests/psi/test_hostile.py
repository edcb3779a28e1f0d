"""A party that does not follow the protocol: every deviation that can be seen ends the run and names that party."""

import threading

import numpy as np
import pytest

from parties.network.driver import drive
from parties.network.memory import MemoryNetwork
from parties.network.worker_pool import Pool
from psi import Limits, align_feature, align_label
from psi.curve import _LOW_ORDER
from psi.keys import KeyList
from psi.messages import (
    CHUNK,
    Agreement,
    ListSize,
    ListSizes,
    MaskedByAll,
    MaskedKeys,
    MatchBits,
    MatchCount,
    MatchPositions,
    OwnPositions,
)
from vsplit.protocol import ProtocolError, RefusedError
from vsplit.sealing import Sealed

LABEL = "clinic"
P = 2**255 - 19
OWN = [b"own %d" % n for n in range(12)]
OTHER = OWN[4:] + [b"other %d" % n for n in range(6)]
LISTS = {1: (OWN, OTHER), 2: (OWN, OTHER, [*OTHER[:12], b"third"])}
MATCHED = 8

# Every way on which a party hands points to another, in the open or sealed: how many feature parties, sender, receiver.
WAYS = [(1, "lab0", LABEL), (1, LABEL, "lab0"), (2, LABEL, "lab0"), (2, "lab1", LABEL), (2, "lab0", "lab1")]


def point(number):
    return np.frombuffer(number.to_bytes(32, "little"), np.uint8)


def changed(array, row, value):
    array = array.copy()
    array[row] = value
    return array


class Hostile:
    """Changes the messages of one kind on one way; sees all that crosses."""

    def __init__(self, sender, kind, change, to=None):
        self.sender, self.to, self.kind, self.change, self.seen = sender, to, kind, change, []

    def __call__(self, sender, to, message):
        self.seen.append((sender, message))
        if sender == self.sender and to == (self.to or to) and type(message) is self.kind:
            return self.change(message, self.seen)
        return [message]


def expect(align, sender, kind, change, sentence, others=1, to=None, **options):
    with pytest.raises(ProtocolError, match=sentence) as caught:
        align(*LISTS[others], tamper=Hostile(sender, kind, change, to), **options)
    assert caught.value.peer == sender
    assert sender in str(caught.value)


def expect_points(align, way, change, sentence):
    """`change(points, what came the other way before)` on one way, within the seal where there is one."""
    others, sender, to = way
    if LABEL in (sender, to):
        seen_points = lambda seen: [m.points for s, m in seen if type(m) is MaskedKeys and s == to]  # noqa: E731
        tamper = lambda m, seen: [MaskedKeys(points=change(m.points, seen_points(seen)))]  # noqa: E731
        expect(align, sender, MaskedKeys, tamper, sentence, others, to)
        return
    seen = []

    def inside(me, peer, place, content):
        if place.phase.startswith("psi masked"):
            if (me, peer) == (sender, to):
                content = change(content.reshape(-1, 32), list(seen)).reshape(-1)
            elif me == to:
                seen.append(content.reshape(-1, 32))
        return content

    with pytest.raises(ProtocolError, match=sentence) as caught:
        align(*LISTS[others], inside=inside)
    assert caught.value.peer == sender


def expect_positions(align, sender, change, sentence):
    """`change(positions)` within the seal, from `sender` to the other feature party."""

    def inside(me, _peer, place, content):
        if me == sender and place.phase.startswith("psi positions"):
            return change(content.view("<u4").copy()).astype("<u4").view(np.uint8)
        return content

    with pytest.raises(ProtocolError, match=sentence) as caught:
        align(*LISTS[2], inside=inside)
    assert caught.value.peer == sender


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0] + 1} parties, {way[1]} to {way[2]}")
def way(request):
    return request.param


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [1, 2])
def test_list_over_the_bound(align, others):
    tamper = Hostile("lab0", ListSize, lambda m, _: [ListSize(records=10**6)])
    with pytest.raises(RefusedError, match="lab0 brings a list of 1,000,000 records, more than the 99"):
        align(*LISTS[others], tamper=tamper, limits=Limits(max_list=99))
    tamper = Hostile(LABEL, ListSizes, lambda m, _: [ListSizes(records=changed(m.records, 0, 10**6))])
    with pytest.raises(RefusedError, match="clinic brings a list of 1,000,000 records, more than the 99"):
        align(*LISTS[others], tamper=tamper, limits=Limits(max_list=99))


@pytest.mark.parametrize("others", [1, 2])
def test_sizes_that_are_not_those_of_the_parties(align, others):
    for change in (lambda sizes: np.append(sizes, 5), lambda sizes: sizes + 1):
        tamper = lambda m, _, change=change: [ListSizes(records=change(m.records))]  # noqa: E731
        expect(align, LABEL, ListSizes, tamper, "sizes of lists that are not those", others)


def test_list_shorter_or_longer_than_announced(align, way):
    for change in (lambda p, _: p[:-1], lambda p, _: np.concatenate([p, p])):
        expect_points(align, way, change, "chunk of .* where .* were due")


def test_list_in_smaller_chunks_than_agreed(align):
    halves = lambda m, _: [MaskedKeys(points=m.points[:3]), MaskedKeys(points=m.points[3:])]  # noqa: E731
    expect(align, "lab0", MaskedKeys, halves, "chunk of 3 records where")


def test_a_sealed_list_of_no_whole_points(align):
    def inside(_me, _peer, place, content):
        return content[:-1] if place.phase.startswith("psi masked") else content

    with pytest.raises(ProtocolError, match="no whole number of points"):
        align(*LISTS[2], inside=inside)


# --- points -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [P, P + 1, P + 9, 2**255 + 9, 2**256 - 1])
def test_points_that_are_not_canonical(align, way, number):
    expect_points(align, way, lambda p, _: changed(p, 2, point(number)), "not in canonical form")


@pytest.mark.parametrize("number", _LOW_ORDER)
def test_points_of_low_order(align, way, number):
    expect_points(align, way, lambda p, _: changed(p, 2, point(number)), "low order")


def test_repeated_points(align, way):
    expect_points(align, way, lambda p, _: changed(p, 2, p[3]), "holds a point twice")


def test_points_that_differ_by_one_of_low_order(align, way):
    def shifted(points, _):
        inverse = pow(int.from_bytes(points[3].tobytes(), "little"), P - 2, P)  # plus the point (0, 0) of order 2
        return changed(points, 2, point(inverse))

    expect_points(align, way, shifted, "holds a point twice")


@pytest.mark.parametrize("others", [1, 2])
def test_points_on_the_twist_match_nothing_and_harm_nobody(align, others):
    """u = 2 is on the twist. The record is lost to the match, no more."""
    change = lambda m, _: [MaskedKeys(points=changed(m.points, 2, point(2)))]  # noqa: E731
    session = align(*LISTS[others], tamper=Hostile("lab0", MaskedKeys, change))
    assert session.results[LABEL].matched in (MATCHED - 1, MATCHED)


def test_the_label_party_sends_the_feature_partys_own_points_back(align):
    """With three parties it cannot: a feature party's own list goes sealed to the next one."""
    echo = lambda points, seen: changed(points, 0, seen[0][5])  # noqa: E731
    expect_points(align, (1, LABEL, "lab0"), echo, "point of this party's own list")


def test_a_feature_party_sends_anothers_own_points_back_under_a_seal(align):
    echo = lambda points, seen: changed(points, 0, seen[0][5]) if seen else points  # noqa: E731
    expect_points(align, (2, "lab0", "lab1"), echo, "point of this party's own list")


def test_a_feature_party_sends_the_label_partys_own_points_back(align, monkeypatch):
    """The first feature party sees them while it still sends the last list: in short chunks it has time to do so."""
    for module in ("messages", "exchange", "masking", "unshuffling"):
        monkeypatch.setattr(f"psi.{module}.CHUNK", 4)
    echo = lambda points, seen: changed(points, 0, seen[0][2]) if seen else points  # noqa: E731
    expect_points(align, (2, "lab0", LABEL), echo, "point of this party's own list")


def test_the_own_points_cut_but_not_masked_again(align):
    for others, last in ((1, "lab0"), (2, "lab1")):

        def reflect(message, seen):
            own = next(m.points for s, m in seen if s == LABEL and type(m) is MaskedKeys)
            return [MaskedByAll(cuts=np.ascontiguousarray(own[::-1, : message.cuts.shape[1]]))]

        expect(align, last, MaskedByAll, reflect, "own list, not masked again", others)


@pytest.mark.parametrize("others", [1, 2, 3])
def test_the_label_party_sends_nothing_of_its_list_before_it_has_the_others(align, others):
    """So that no feature party can make its list from the label party's points."""
    session = align(*[OWN] * (others + 1))
    kinds = [(sender, type(message).__name__) for sender, _, message in session.transcript]
    own = kinds.index((LABEL, "MaskedKeys"))
    for number in range(others):
        assert kinds.index((f"lab{number}", "MaskedKeys" if others == 1 else "Sealed")) < own


# --- the label party's list, masked by all ----------------------------------------------------------------------------


def test_one_answer_for_two_keys(align):
    """All answers are that of one key; where this key is in common, it matches twice."""
    outcomes = set()
    for seed in range(12):
        repeat = Hostile("lab0", MaskedByAll, lambda m, _: [MaskedByAll(cuts=np.tile(m.cuts[0], (len(OWN), 1)))])
        try:
            outcomes.add(align(OWN, OTHER, seed=seed, tamper=repeat).results[LABEL].matched)
        except ProtocolError as error:
            assert "same answer for two" in str(error)
            outcomes.add(error.peer)
    assert outcomes == {0, "lab0"}


@pytest.mark.parametrize("width", [5, 7, 16])
def test_answers_of_another_width(align, width):
    cuts = np.zeros((len(OWN), width), np.uint8)
    sentence = f"of {width} bytes where 6 were due"
    expect(align, "lab0", MaskedByAll, lambda m, _: [MaskedByAll(cuts=cuts)], sentence)


def test_too_few_answers(align):
    expect(align, "lab0", MaskedByAll, lambda m, _: [MaskedByAll(cuts=m.cuts[1:])], "chunk of 11 .* where 12 were due")


# --- counts, bitmaps, positions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [1, 2])
def test_match_larger_than_the_smallest_list(align, others):
    expect(align, LABEL, MatchCount, lambda m, _: [MatchCount(records=13)], "a match of 13 records", others)


@pytest.mark.parametrize("others", [1, 2])
def test_match_of_another_size_than_told(align, others):
    sentence = (
        "a bitmap of 8 matches where it had announced 7" if others == 1 else "(bitmap of 8 matches|chunk of 8 records)"
    )
    expect(align, LABEL, MatchCount, lambda m, _: [MatchCount(records=7)], sentence, others)


def test_agreement_that_this_party_did_not_give(align):
    tamper = Hostile(LABEL, Agreement, lambda m, _: [Agreement(agreed=True)])
    with pytest.raises(ProtocolError, match="an Agreement of all parties"):
        align(OWN, OTHER, tamper=tamper, feature_limits=Limits(min_records=9))


@pytest.mark.parametrize("others", [1, 2])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (np.zeros_like, "a bitmap of 0 matches where it had announced 8"),
        (lambda bits: changed(bits, 1, 0x0F), "a bitmap of .* matches where it had announced 8"),
        (lambda bits: bits | np.array([0, 0x10], np.uint8), "beyond the end of the list"),
        (lambda bits: bits[:1], "chunk of 1 records where 2 were due"),
    ],
)
def test_wrong_bitmaps(align, others, change, sentence):
    def spoiled(bits):
        wrong = change(bits)
        return wrong if not np.array_equal(wrong, bits) else np.zeros_like(bits)

    expect(align, LABEL, MatchBits, lambda m, _: [MatchBits(bits=spoiled(m.bits))], sentence, others)


POSITIONS = [
    (lambda p: changed(p, 1, 2**32 - 1), "a position outside the list"),
    (lambda p: changed(p, 1, 18), "a position outside the list"),
    (lambda p: changed(p, 1, p[0]), "a position twice"),
    (lambda p: p[:-1], "chunk of 7 records where 8 were due"),
]


@pytest.mark.parametrize(("change", "sentence"), POSITIONS)
@pytest.mark.parametrize("others", [1, 2])
def test_wrong_positions_in_the_open(align, others, change, sentence):
    for sender, kind in ((LABEL, MatchPositions), ("lab0", OwnPositions)):
        tamper = lambda m, _, kind=kind: [kind(positions=change(m.positions))]  # noqa: E731
        expect(align, sender, kind, tamper, sentence, others)


@pytest.mark.parametrize(("change", "sentence"), POSITIONS)
@pytest.mark.parametrize("sender", ["lab0", "lab1"])
def test_wrong_positions_under_a_seal(align, sender, change, sentence):
    expect_positions(align, sender, change, sentence)


def test_sealed_positions_of_no_whole_number(align):
    def inside(_me, _peer, place, content):
        return content[:-1] if place.phase.startswith("psi positions") else content

    with pytest.raises(ProtocolError, match="no whole number of positions"):
        align(*LISTS[2], inside=inside)


# --- the end of a session, and other messages -------------------------------------------------------------------------


def test_a_message_of_another_kind(align):
    expect(align, "lab0", ListSize, lambda m, _: [MatchCount(records=3)], "ListSize was due")


@pytest.mark.parametrize("after", range(1, 5))
@pytest.mark.parametrize("leaver", [LABEL, "lab0"])
def test_a_party_that_ends_early(seeded, leaver, after):
    """The role on the other side is told by the transport, at any point of the protocol."""
    network, errors = MemoryNetwork([LABEL, "lab0"]), {}
    roles = {
        LABEL: align_label(
            LABEL, ["lab0"], KeyList.of(OWN), order_secret=bytes(32), random_bytes=seeded(1), limits=Limits()
        ),
        "lab0": align_feature(
            "lab0", LABEL, ["lab0"], KeyList.of(OTHER), seals={}, random_bytes=seeded(2), limits=Limits()
        ),
    }

    class Leaves:
        def __init__(self, endpoint):
            self.endpoint, self.sent = endpoint, 0

        def __getattr__(self, name):
            return getattr(self.endpoint, name)

        def send(self, to, parts):
            self.sent += 1
            if self.sent > after:
                self.endpoint.finish()
                raise KeyboardInterrupt
            self.endpoint.send(to, parts)

    def live(name):
        endpoint = network.endpoint(name)
        try:
            drive(roles[name], Leaves(endpoint) if name == leaver else endpoint, Pool())
        except BaseException as error:
            errors[name] = error

    threads = [threading.Thread(target=live, args=(name,)) for name in roles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other = errors["lab0" if leaver == LABEL else LABEL]
    assert isinstance(other, ProtocolError)
    assert other.peer == leaver
    assert "ended the session before this party had all that it needs" in str(other)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ListSize, {"records": 0}),
        (ListSize, {"records": 2**32}),
        (ListSizes, {"records": np.array([5])}),
        (ListSizes, {"records": np.array([5, 0])}),
        (ListSizes, {"records": np.array([5, 2**32])}),
        (ListSizes, {"records": np.ones(65, np.int64)}),
        (MatchCount, {"records": -1}),
        (MaskedKeys, {"points": np.zeros((0, 32), np.uint8)}),
        (MaskedKeys, {"points": np.zeros((CHUNK + 1, 32), np.uint8)}),
        (MaskedKeys, {"points": np.zeros((1, 31), np.uint8)}),
        (MaskedByAll, {"cuts": np.zeros((1, 4), np.uint8)}),
        (MaskedByAll, {"cuts": np.zeros((1, 17), np.uint8)}),
        (MatchBits, {"bits": np.zeros(0, np.uint8)}),
        (MatchPositions, {"positions": np.zeros(0, np.uint32)}),
        (MatchPositions, {"positions": np.zeros(1, np.int64)}),
        (OwnPositions, {"positions": np.zeros(CHUNK + 1, np.uint32)}),
        (Sealed, {"sequence": -1, "box": np.zeros(20, np.uint8)}),
        (Sealed, {"sequence": 0, "box": np.zeros(15, np.uint8)}),
    ],
)
def test_messages_are_checked_at_birth(kind, fields):
    with pytest.raises(ValueError):
        kind(**fields)
