"""Many rows for one person: what is told of them, in what order they stand, and what a wrong number leads to."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psi import expected_row_counts, matched_rows, multiplicity, read_keys, receive_row_counts, send_row_counts
from psi.multiplicity import RowCounts
from vsplit.protocol import ProtocolError

LABEL = "clinic"
SECRET = bytes(range(32))


def visits(persons):
    """Keys of a table in which each row is a visit of the person named."""
    return read_keys([pd.Series([f"p{one}" for one in persons], name="person")], repeated="many_to_one")


def tell(play, counts, *, most_rows=10**6, matched=None, peers=("lab",), **hostile):
    told = np.asarray(counts, np.int64)
    roles = {LABEL: send_row_counts(peers, told)}
    for peer in peers:
        roles[peer] = receive_row_counts(LABEL, len(told) if matched is None else matched, most_rows)
    return play(roles, **hostile)


@given(persons=st.lists(st.integers(0, 12), min_size=1, max_size=80), data=st.data())
def test_the_rows_of_the_matched_persons_stand_together_in_the_common_order(persons, data):
    keys = visits(persons)
    everybody = list(range(len(keys.keys)))
    chosen = data.draw(st.permutations(everybody)) if len(everybody) > 1 else everybody
    positions = np.array(chosen[: data.draw(st.integers(1, len(chosen)))], np.int64)
    rows, counts = matched_rows(keys, positions, SECRET)
    names = [keys.keys[position][4:].decode() for position in positions]
    assert counts.tolist() == [persons.count(int(name[1:])) for name in names]
    assert [f"p{persons[row]}" for row in rows] == [
        name for name, count in zip(names, counts, strict=True) for _ in range(count)
    ]
    assert sorted(rows) == [row for row, person in enumerate(persons) if f"p{person}" in names]
    assert rows.dtype == counts.dtype == np.int64


def test_the_rows_of_one_person_stand_in_an_order_of_the_secret_and_not_of_the_file():
    keys = visits([0] * 60 + [1] * 60)
    both = np.array([1, 0])
    rows, _ = matched_rows(keys, both, SECRET)
    again, _ = matched_rows(keys, both, SECRET)
    other, _ = matched_rows(keys, both, bytes(32))
    assert rows.tolist() == again.tolist() != other.tolist()
    assert rows[:60].tolist() != sorted(rows[:60]) and rows[60:].tolist() != sorted(rows[60:])
    assert (rows[:60] - 60).tolist() != rows[60:].tolist()  # and each person's rows in an order of their own


def test_all_orders_of_the_rows_of_one_person_come_about_alike():
    keys = visits([0, 0, 0])
    orders = [
        tuple(matched_rows(keys, np.array([0]), number.to_bytes(32, "big"))[0].tolist()) for number in range(1200)
    ]
    shares = [orders.count(order) / len(orders) for order in set(orders)]
    assert len(shares) == 6
    assert max(abs(share - 1 / 6) for share in shares) < 0.05


def test_every_feature_party_learns_the_numbers_in_chunks(play, monkeypatch):
    monkeypatch.setattr(multiplicity, "CHUNK", 4)
    counts = [1, 7, 2, 1, 70_000, 1, 3, 2, 1]
    session = tell(play, counts, peers=("lab0", "lab1"))
    for peer in ("lab0", "lab1"):
        assert session.results[peer].tolist() == counts
        assert session.results[peer].dtype == np.int64
        assert [len(m.counts) for _, to, m in session.transcript if to == peer] == [4, 4, 1]
    assert {sender for sender, _, _ in session.transcript} == {LABEL}


def test_kinds_sizes_and_sequence_follow_from_the_size_of_the_match_alone(play):
    one, two = tell(play, [1, 2, 3, 4, 5]), tell(play, [900, 1, 1, 1, 1])
    assert one.shape() == two.shape()
    assert "900" not in repr(two.transcript)
    (expected,) = expected_row_counts(["lab"], 5)
    ((_, _, message),) = one.transcript
    assert (expected.kind, expected.to, expected.messages) == ("RowCounts", "lab", 1)
    assert expected.size == message.counts.nbytes
    assert expected.reveals == RowCounts.reveals


def test_expected_row_counts_are_in_chunks():
    flows = expected_row_counts(["lab", "gym"], multiplicity.CHUNK + 1)
    assert [(flow.to, flow.messages) for flow in flows] == [("lab", 2), ("gym", 2)]


@pytest.mark.parametrize("counts", [[1, 2, 1], [5], [1] * 8])
def test_numbers_of_more_or_fewer_records_than_match_are_refused(play, counts):
    with pytest.raises(
        ProtocolError, match=rf"clinic sent the numbers of rows of {len(counts)} records where those of 4"
    ):
        tell(play, counts, matched=4)


def test_more_rows_in_all_than_a_party_accepts_are_refused_at_the_chunk_that_passes_the_bound(play, monkeypatch):
    monkeypatch.setattr(multiplicity, "CHUNK", 2)
    assert tell(play, [3, 3, 4], most_rows=10).results["lab"].sum() == 10
    with pytest.raises(ProtocolError, match=r"clinic has 9 rows or more of the 6 records .* than the 8 .*max_records"):
        tell(play, [3, 3, 1, 2, 1, 1], most_rows=8)


def test_the_largest_numbers_do_not_wrap_round(play):
    with pytest.raises(ProtocolError, match="8,589,934,590 rows or more"):
        tell(play, [2**32 - 1, 2**32 - 1], most_rows=2**32)


def test_a_message_with_a_record_of_no_row_or_of_a_wrong_size_cannot_be_made():
    for counts in ([1, 0], [], [1] * (multiplicity.CHUNK + 1)):
        with pytest.raises(ValueError, match=r"one row or more|a chunk has"):
            RowCounts(counts=np.array(counts, np.uint32))
    with pytest.raises(ValueError, match="dtype int64"):
        RowCounts(counts=np.array([1, 2]))


@pytest.mark.parametrize("counts", [[], [1, 0], [2**32], [-1]])
def test_numbers_that_cannot_be_are_not_told(counts):
    with pytest.raises(ValueError, match="each matched record has between 1 and"):
        next(send_row_counts([LABEL], np.array(counts, np.int64)))
