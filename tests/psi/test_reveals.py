"""One test or more for each *reveals* row of SPEC.md, on transcripts."""

import base64
import hashlib
from collections import Counter

import numpy as np
import pytest

from psi import expected_traffic
from psi.curve import DST, POINT, Scalar, encode_to_curve, multiply
from psi.keys import KeyList
from psi.messages import CHUNK, MaskedByAll, MaskedKeys, MatchPositions, OwnPositions, cut_width
from vsplit.protocol import array_fields
from vsplit.sealing import TAG, Sealed

LABEL = "clinic"


def ids(name, start, end):
    return [f"{name}-{number}".encode() for number in range(start, end)]


def hashed(keys):
    return encode_to_curve(KeyList.of(keys))


def contents(session):
    """All bytes that crossed, message by message, and all that was under a seal."""
    for _, _, message in session.transcript:
        for field in array_fields(type(message)):
            yield getattr(message, field).tobytes()
    for *_, content in session.opened:
        yield content.tobytes()


def lists_seen_by(party, session):
    """The lists of points that a party was sent, in the open or under a seal that it can open, as (owner, points)."""
    seen = [
        (LABEL if sender == LABEL else "", message.points)
        for sender, to, message in session.transcript
        if to == party and isinstance(message, MaskedKeys)
    ]
    for _, to, place, content in session.opened:
        if to == party and place.phase.startswith("psi masked list "):
            number = int(place.phase.split()[-1])
            seen.append((f"lab{number - 1}" if number else LABEL, content.reshape(-1, POINT)))
    return seen


def rows(points):
    return [row.tobytes() for row in points]


def scalar_of(party, seeded, seed):
    return Scalar.draw(seeded((seed, party)))


# --- what the label party can compare ---------------------------------------------------------------------------------

# Three parties; all hold 5 records, and each two of them share some more that the third does not hold.
EVERYBODY, WITH_FIRST, WITH_SECOND, BETWEEN = ids("all", 0, 5), ids("one", 0, 7), ids("two", 0, 4), ids("three", 0, 6)
THREE = (
    EVERYBODY + WITH_FIRST + WITH_SECOND + ids("own", 0, 3),
    EVERYBODY + WITH_FIRST + BETWEEN + ids("first", 0, 2),
    EVERYBODY + WITH_SECOND + BETWEEN + ids("second", 0, 1),
)


def coincidences(session, seeded, seed):
    """How many records the label party finds twice among the lists on their way, and in them and the finished ones.

    It may put its own mask on any list, which is as good as to take it off the other. What passed under a seal is taken
    for points where its length allows it. Finished lists alone are not compared: they are what it is to compare.
    """
    finished = [points for _, points in lists_seen_by(LABEL, session)]
    under_way = [session.sent(LABEL, "lab0", MaskedKeys, "points")]
    for sender, _, message in session.transcript:
        if isinstance(message, Sealed) and sender != LABEL and (len(message.box) - TAG) % POINT == 0:
            under_way.append(message.box[:-TAG].reshape(-1, POINT))
    mine = scalar_of(LABEL, seeded, seed)
    found = Counter()
    for points in under_way:
        found.update({*rows(points), *rows(multiply(mine, points))})
    known = {row for points in finished for row in (*rows(points), *rows(multiply(mine, points)))}
    return sum(1 for row, count in found.items() if count > 1 or row in known)


def test_the_label_party_finds_no_record_of_a_partial_overlap(align, seeded):
    """Whatever it does with its own mask, no two values that lack a feature party's mask are of the same record.

    With the seals off, the same search finds the records that it shares with the first feature party, by values that
    bear the masks of these two alone.
    """
    session = align(*THREE, seed=3)
    assert session.results[LABEL].overlaps == {"lab0": 12, "lab1": 9}
    assert session.results[LABEL].matched == 5
    assert coincidences(session, seeded, 3) == 0
    bare = align(*THREE, seed=3, sealed=False)
    assert bare.results[LABEL].matched == 5
    assert coincidences(bare, seeded, 3) == 12


def places_of(record, key, align, seed, lists):
    """Where a record of the label party's stands in the list that it sends, and in the list as it comes back."""
    session = align(*lists, seed=seed)
    sent = session.sent(LABEL, "lab0", MaskedKeys, "points")
    last = f"lab{len(lists) - 2}"
    back = session.sent(last, LABEL, MaskedByAll, "cuts")
    return rows(sent).index(rows(multiply(key(LABEL, seed), record))[0]), rows(back).index(
        masked_by_all(record, key, seed, lists)
    )


def masked_by_all(record, key, seed, lists):
    for party in (LABEL, *(f"lab{number}" for number in range(len(lists) - 1))):
        record = multiply(key(party, seed), record)
    return record[0, : cut_width([len(one) for one in lists])].tobytes()


@pytest.mark.parametrize("lists", [2, 3])
@pytest.mark.parametrize("shuffles", [True, False])
def test_no_place_in_the_finished_list_tells_the_place_before(align, seeded, monkeypatch, lists, shuffles):
    """So the label party, which sees who matches what in the finished lists, cannot tell which of its records that is.

    A record of a partial overlap stands anywhere in the finished list, whatever its place in the list that was sent.
    Where the feature parties do not shuffle, the same count shows it.
    """
    if not shuffles:
        monkeypatch.setattr("psi.masking.shuffled", lambda records, _: np.arange(records, dtype=np.uint32))
    own = ids("x", 0, 3)
    others = ([own[0], b"other"], [own[1], b"another"])[: lists - 1]
    record = hashed(own[:1])
    places = Counter(
        places_of(record, lambda party, seed: scalar_of(party, seeded, seed), align, seed, (own, *others))
        for seed in range(270 if shuffles else 9)
    )
    if not shuffles:
        assert all(sent == back for sent, back in places)
        return
    # 30 of each of nine pairs are expected, with a standard deviation of 5.2.
    assert len(places) == 9
    assert all(abs(count - 30) < 27 for count in places.values())


@pytest.mark.parametrize("parties", [2, 3, 4])
def test_partial_overlaps_with_other_members_look_alike(align, parties):
    """Other ids, other places in the files, other entropy, other members of overlaps of the same sizes."""

    def lists(name, turn):
        own = ids(name, 0, 40)
        shift = 3 * turn
        found = [own[turn:] + own[:turn]]
        for party in range(1, parties):
            partial = own[20 + shift : 20 + shift + party]
            found.append(own[:20] + partial + ids(f"{name}{party}", 0, 9 - party))
            if turn:
                found[-1].reverse()
        return found

    one = align(*lists("ann", 0), seed=1)
    two = align(*lists("a much longer id", 5), seed=2, secret=bytes(32))
    assert one.results[LABEL].overlaps == two.results[LABEL].overlaps
    assert one.shape() == two.shape()
    assert [note for _, note in one.notes] == [note for _, note in two.notes]
    assert [(s, to, place, len(content)) for s, to, place, content in one.opened] == [
        (s, to, place, len(content)) for s, to, place, content in two.opened
    ]


def test_an_overlap_with_one_party_is_not_told_to_another(align):
    """No feature party sees another transcript, whether lab0 shares 20 records with the label party or 15."""
    own, second = ids("x", 0, 40), ids("x", 5, 15)
    shapes = []
    for first in (ids("x", 0, 20), ids("x", 0, 15) + ids("elsewhere", 0, 5)):
        session = align(own, first, second)
        shapes.append(session.shape())
    assert shapes[0] == shapes[1]


# --- what feature parties can compare ---------------------------------------------------------------------------------


@pytest.mark.parametrize("parties", [2, 3, 4, 5])
def test_a_feature_party_never_sees_a_record_twice_under_one_mask(align, seeded, parties):
    """All lists are of the same records. Yet no point that it is sent equals another, with its own mask on or off."""
    keys = ids("x", 0, 8)
    session = align(*[keys] * parties, seed=1)
    for number in range(parties - 1):
        mine = scalar_of(f"lab{number}", seeded, 1)
        seen = [points for _, points in lists_seen_by(f"lab{number}", session)]
        assert len(seen) == parties - 1
        own = multiply(mine, hashed(keys))
        found = Counter(row for points in [*seen, own, *(multiply(mine, one) for one in seen)] for row in rows(points))
        assert max(found.values()) == 1


@pytest.mark.parametrize(("parties", "expected"), [(3, {}), (4, {("lab1", "lab2"): 4})])
def test_what_two_feature_parties_find_together_is_what_the_specification_says(align, seeded, parties, expected):
    """Of three parties, nothing. Of four, how many records the third one shares with one of them, and not which, since
    that list came back to them shuffled by the third. Never anything of the label party's list."""
    lists = [ids("x", 0, 8), ids("x", 0, 8), ids("x", 0, 6), ids("x", 2, 9)][:parties]
    session = align(*lists, seed=2)
    allies = ["lab0", "lab1"]
    first, second = (scalar_of(party, seeded, 2) for party in allies)
    seen = [one for party in allies for one in lists_seen_by(party, session)]
    seen += [(party, hashed(keys)) for party, keys in zip(allies, lists[1:], strict=False)]
    # Their two masks on and off: all ways to bring two lists under the same masks.
    forms = []
    for owner, points in seen:
        both = multiply(second, multiply(first, points))
        forms.append(
            (owner, [{*rows(form)} for form in (points, multiply(first, points), multiply(second, points), both)])
        )
    found = {}
    for at, (owner, one) in enumerate(forms):
        for other_owner, other in forms[at + 1 :]:
            shared = max(len(a & b) for a in one for b in other)
            if shared and owner != other_owner and {owner, other_owner} != set(allies):
                found[tuple(sorted((owner, other_owner)))] = shared
    assert found == expected


# --- contents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [1, 2])
def test_canaries_are_in_no_message_in_any_encoding(align, others):
    canaries = [b"canary-4711-\xc3\xa9", b"PATIENT:0000000042"]
    session = align([*canaries, *ids("x", 0, 30)], *[[*ids("x", 10, 40), *canaries]] * others)
    points = hashed(canaries)
    forms = []
    for canary, point in zip(canaries, points, strict=True):
        digests = [hashlib.new(name, canary).digest() for name in ("sha512", "sha256", "md5")]
        plain = [canary, canary[::-1], canary.decode().encode("utf-16-le"), *digests]
        plain += [hashlib.sha512(DST + canary).digest(), point.tobytes(), point.tobytes()[::-1]]
        forms += plain
        forms += [encode(form) for form in plain for encode in (base64.b64encode, base64.urlsafe_b64encode)]
        forms += [form.hex().encode() for form in plain]
    everything = b"|".join(contents(session))
    assert len(everything) > 2000
    assert not [form for form in forms if form.rstrip(b"=") in everything]
    cuts = {form[:9] for form in forms}
    assert not [cut for cut in cuts if cut in everything]


@pytest.mark.parametrize("parties", [2, 3, 4])
def test_no_point_of_one_run_occurs_in_another(align, parties):
    runs = []
    for seed in (1, 2):
        session = align(*[ids("x", 0, 20)] * parties, seed=seed)
        runs.append(
            {row for party in session.results for _, points in lists_seen_by(party, session) for row in rows(points)}
        )
    assert len(runs[0]) >= 20 * parties
    assert not runs[0] & runs[1]


def test_a_list_is_the_masked_keys_in_random_order(align, seeded):
    keys = ids("x", 0, 20)
    session = align(keys, keys, seed=5)
    for party, to in (("lab0", LABEL), (LABEL, "lab0")):
        unshuffled = multiply(scalar_of(party, seeded, 5), hashed(keys))
        sent = session.sent(party, to, MaskedKeys, "points")
        assert set(rows(sent)) == set(rows(unshuffled))
        assert rows(sent) != rows(unshuffled)


def test_the_positions_told_do_not_follow_the_file(align):
    keys = ids("x", 0, 20)
    for sender, to, kind in ((LABEL, "lab0", MatchPositions), ("lab0", LABEL, OwnPositions)):
        ways = {tuple(align(keys, keys, seed=seed).sent(sender, to, kind, "positions")) for seed in range(5)}
        assert len(ways) == 5


def test_an_overlap_tells_the_feature_parties_a_count_and_no_more(align):
    """Two overlaps of the same size with other members: what a feature party is sent has the same shape."""
    own = ids("x", 0, 40)
    one = align(own, ids("x", 0, 12) + ids("a", 0, 8), own, only_overlap=True)
    two = align(own, ids("x", 20, 32) + ids("b", 0, 8), own, only_overlap=True)
    assert one.shape() == two.shape()
    kinds = [type(message).__name__ for _, to, message in one.transcript if to == "lab1"]
    assert kinds == ["FreshKeys", "KeyProofs", "ListSizes", "Sealed", "Sealed", "MatchCount"]


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_answers_are_cut_to_the_bound(align):
    session = align(ids("x", 0, 30), ids("x", 10, 60))
    cuts = session.sent("lab0", LABEL, MaskedByAll, "cuts")
    assert cuts.shape == (30, cut_width([30, 50]))


@pytest.mark.parametrize(
    ("sizes", "width"),
    [
        ([1, 1], 5),
        ([1, 2], 6),
        ([16, 16], 6),
        ([16, 17], 7),
        ([20_000, 20_000], 9),
        ([2**20, 2**20], 10),
        ([10**6, 10**6], 10),
        ([10**6] * 3, 11),
        ([10**7, 1000], 10),
        ([2**32 - 1] * 64, 15),
    ],
)
def test_the_bound_is_the_one_of_the_specification(sizes, width):
    pairs = sum(one * other for at, one in enumerate(sizes) for other in sizes[at + 1 :])
    assert cut_width(sizes) == width == -(-(40 + int(np.ceil(np.log2(float(pairs))))) // 8)


@pytest.mark.parametrize("parties", [2, 3, 4])
@pytest.mark.parametrize("chunk", [CHUNK, 7])
def test_expected_traffic_is_what_crosses(align, monkeypatch, parties, chunk):
    for module in ("messages", "exchange", "masking", "unshuffling"):
        monkeypatch.setattr(f"psi.{module}.CHUNK", chunk)
    lists = [ids("x", 0, 40 - 3 * number) for number in range(parties)]
    session = align(*lists)
    names = list(session.results)
    for party in names:
        promised = {}
        for row in expected_traffic(party, LABEL, names[1:], [len(one) for one in lists]):
            assert (row.kind, row.to) not in promised
            promised[row.kind, row.to] = (row.messages, row.size, row.reveals)
        crossed = {}
        for sender, to, message in session.transcript:
            if sender == party:
                kind = type(message).__name__
                arrays = array_fields(type(message))
                size = sum(getattr(message, field).nbytes for field in arrays)
                size = size if arrays else 1 if kind == "Agreement" else 8
                messages, so_far, _ = crossed.get((kind, to), (0, 0, ""))
                crossed[kind, to] = (messages + 1, so_far + size, type(message).reveals)
        assert crossed == promised


def test_two_parties_exchange_at_most_80_bytes_a_record():
    """A million each, half of them in common: contents, heads of messages and frames, and TLS records of 16 KiB."""
    size = 10**6
    flows = [
        flow
        for party in (LABEL, "lab")
        for flow in expected_traffic(party, LABEL, ["lab"], [size, size], matched=size // 2)
    ]
    total = sum(flow.size + flow.messages * 300 for flow in flows) * (1 + 48 / 2**18 + 22 / 2**14)
    assert total / size < 79


def test_messages_and_errors_show_no_content(align):
    session = align([b"a", b"b"], [b"b", b"c"], [b"b"])
    for _, _, message in session.transcript:
        assert "[" not in repr(message)
        assert all(part.startswith(("uint", "int")) for part in repr(message).split(": ")[1:])
