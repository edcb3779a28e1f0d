"""One test or more for each *reveals* row of SPEC.md, on transcripts."""

import base64
import hashlib

import numpy as np
import pytest

from psi import expected_traffic
from psi.curve import DST, Scalar, encode_to_curve, multiply
from psi.messages import CHUNK, MaskedKeys, MatchPositions, TwiceMasked, cut_width
from vsplit.protocol import array_fields

LABEL = "clinic"


def ids(name, start, end):
    return [f"{name}-{number}".encode() for number in range(start, end)]


def contents(session):
    """All bytes that crossed, message by message."""
    for _, _, message in session.transcript:
        for field in array_fields(type(message)):
            yield getattr(message, field).tobytes()


@pytest.mark.parametrize("peers", [1, 2, 3])
def test_kinds_sizes_and_sequence_follow_from_the_sizes_alone(align, peers):
    """Other ids, other places in the files, other entropy; the same list sizes and the same overlaps."""

    def lists(name, turn):
        own = ids(name, 0, 40)
        others = [ids(name, 10, 30) + ids(f"{name}{peer}", 0, 7) for peer in range(peers)]
        return own[turn:] + own[:turn], *(other[::-1] if turn else other for other in others)

    one, two = align(*lists("ann", 0), seed=1), align(*lists("a much longer id", 13), seed=2, secret=bytes(32))
    assert one.shape() == two.shape()
    assert [note for _, note in one.notes] == [note for _, note in two.notes]


def test_an_overlap_with_one_party_is_not_told_to_another(align):
    """lab1 sees the same transcript shape, whether lab0 shares 20 records with the label party or 12."""
    own, second = ids("x", 0, 40), ids("x", 5, 15)
    shapes = []
    for first in (ids("x", 0, 20), ids("x", 0, 15) + ids("elsewhere", 0, 5)):
        session = align(own, first, second)
        shapes.append([row for row in session.shape() if "lab1" in row[:2]])
    assert shapes[0] == shapes[1]


def test_canaries_are_in_no_message_in_any_encoding(align):
    canaries = [b"canary-4711-\xc3\xa9", b"PATIENT:0000000042"]
    session = align([*canaries, *ids("x", 0, 30)], [*ids("x", 10, 40), *canaries])
    hashed = encode_to_curve(canaries)
    forms = []
    for canary, point in zip(canaries, hashed, strict=True):
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


def test_a_list_differs_in_every_run_and_for_every_peer(align):
    keys = ids("x", 0, 20)
    one, two = align(keys, keys, keys, seed=1), align(keys, keys, keys, seed=2)
    lists = [
        session.sent(sender, to, MaskedKeys, "points")
        for session in (one, two)
        for sender, to in ((LABEL, "lab0"), (LABEL, "lab1"), ("lab0", LABEL), ("lab1", LABEL))
    ]
    rows = [row.tobytes() for points in lists for row in points]
    assert len(set(rows)) == len(rows) == 8 * 20


def test_a_list_is_the_masked_keys_in_random_order(align, seeded):
    keys = ids("x", 0, 20)
    session = align(keys, keys, seed=5)
    scalar = Scalar.draw(seeded((5, "lab0")))
    unshuffled = multiply(scalar, encode_to_curve(keys))
    sent = session.sent("lab0", LABEL, MaskedKeys, "points")
    assert {row.tobytes() for row in sent} == {row.tobytes() for row in unshuffled}
    assert [row.tobytes() for row in sent] != [row.tobytes() for row in unshuffled]


def test_the_order_of_a_list_does_not_follow_the_file(align):
    """With the same entropy a turned file gives the same shuffle of other places: places in the list tell no place."""
    keys = ids("x", 0, 20)
    ways = {tuple(align(keys, keys, seed=seed).sent(LABEL, "lab0", MatchPositions, "positions")) for seed in range(5)}
    assert len(ways) == 5


def test_answers_are_cut_to_the_bound(align):
    session = align(ids("x", 0, 30), ids("x", 10, 60))
    cuts = session.sent("lab0", LABEL, TwiceMasked, "cuts")
    assert cuts.shape == (30, cut_width(30, 50))


@pytest.mark.parametrize(
    ("one", "other", "width"),
    [(1, 1, 5), (1, 2, 6), (16, 16, 6), (16, 17, 7), (20_000, 20_000, 9), (2**20, 2**20, 10), (10**6, 10**6, 10)],
)
def test_the_bound_is_the_one_of_the_specification(one, other, width):
    assert cut_width(one, other) == width == -(-(40 + int(np.ceil(np.log2(one * other)))) // 8)


def test_expected_traffic_is_what_crosses(align):
    own, other = ids("x", 0, 40), ids("x", 0, 25)
    session = align(own, other)
    for party, to, role, sizes in ((LABEL, "lab0", "label", (40, 25)), ("lab0", LABEL, "feature", (25, 40))):
        rows = expected_traffic(role, *sizes)
        crossed = [message for s, t, message in session.transcript if (s, t) == (party, to)]
        assert [row.kind for row in rows] == [type(message).__name__ for message in crossed]
        for row, message in zip(rows, crossed, strict=True):
            arrays = sum(getattr(message, field).nbytes for field in array_fields(type(message)))
            assert row.size == (arrays or 8)
            assert row.messages == 1
            assert row.reveals == type(message).reveals


def test_expected_traffic_counts_chunks():
    rows = {row.kind: row for row in expected_traffic("feature", CHUNK + 1, 3 * CHUNK)}
    assert (rows["MaskedKeys"].messages, rows["MaskedKeys"].size) == (2, 32 * (CHUNK + 1))
    assert rows["TwiceMasked"].messages == 3
    assert rows["MaskedKeys"].to == "the label party"


def test_messages_and_errors_show_no_content(align):
    session = align([b"a", b"b"], [b"b", b"c"])
    for _, _, message in session.transcript:
        assert repr(message).count("(") <= 1
        assert "[" not in repr(message)
