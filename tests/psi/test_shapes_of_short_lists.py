"""A list of any length tells nothing of fewer than 20 keys: its steps are at least 40 keys wide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psi import ColumnShape, exchange_shapes_feature, exchange_shapes_label, key_shapes, likely_causes
from psi.keys import KeyList
from psi.shapes import FEWEST, _rounded, step_for
from vsplit.protocol import ProtocolError


def shape(texts: list[str]) -> ColumnShape:
    raw = [text.encode() for text in texts]
    (found,) = key_shapes(KeyList.of(len(one).to_bytes(4, "big") + one for one in raw), 1)
    return found


def plain(records: int) -> list[str]:
    return [f"{number:08d}" for number in range(10**7, 10**7 + records)]


@pytest.mark.parametrize(
    ("records", "odd"), [(21, 1), (79, 19), (80, 19), (100, 3), (159, 19), (160, 19), (399, 19), (400, 11), (800, 19)]
)
def test_a_form_of_fewer_than_twenty_keys_changes_nothing_in_a_short_list(records, odd):
    assert odd < FEWEST
    assert shape([f"AB{number}" for number in range(odd)] + plain(records)[odd:]) == shape(plain(records))


@pytest.mark.parametrize(
    ("records", "step"),
    [
        (0, None), (1, None), (79, None), (80, 50), (159, 50), (160, 25), (199, 25), (200, 20), (399, 20), (400, 10),
        (799, 10), (800, 5), (10**7, 5),
    ],
)  # fmt: skip
def test_the_step_follows_from_the_length_of_the_list(records, step):
    assert step_for(records) == step
    if records < 1000:
        found = shape(plain(records))
        assert found == (ColumnShape() if step is None else ColumnShape(found.shares, step))
        assert found.shares == ({} if step is None else {"length 8": 100, "digits": 100} | found.shares)


@given(st.integers(80, 25_000), st.data())
def test_fewer_than_twenty_keys_never_show_where_the_others_lie_on_a_step(records, data):
    looked_at = min(records, 20_000)
    step = step_for(records)
    # A category whose share is a multiple of the step, as near as keys can be, and fewer than 20 keys that leave or join.
    share = data.draw(st.integers(0, 100 // step)) * step
    count = share * looked_at // 100
    if count * 100 != share * looked_at:
        share, count = 100, looked_at
    other = min(max(count + data.draw(st.integers(1 - FEWEST, FEWEST - 1)), 0), looked_at)
    told = {"digits": share} if share else {}
    assert _rounded({"digits": count}, looked_at, step) == _rounded({"digits": other}, looked_at, step) == told


@given(st.integers(80, 25_000), st.data())
def test_no_share_is_told_further_than_half_a_step_from_what_it_is(records, data):
    step = step_for(records)
    count = data.draw(st.integers(0, records))
    told = _rounded({"digits": count}, records, step).get("digits", 0)
    assert told % step == 0
    assert 2 * abs(100 * count - told * records) <= step * records
    assert told <= 100
    assert told == 0 or count >= FEWEST


def test_a_single_key_at_the_edge_of_a_step_does_move_it():
    # SPEC says so. Half a step of 800 keys is 20 of them.
    assert shape(["A"] * 19 + plain(800)[19:]).share("letters") == 0
    assert shape(["A"] * 20 + plain(800)[20:]).share("letters") == 5


@pytest.mark.parametrize(
    ("records", "shares", "allowed"),
    [
        (79, {"digits": 100}, "no shares at all"),
        (80, {"digits": 25}, "in steps of 50 per cent"),
        (300, {"digits": 100, "leading zero": 25}, "in steps of 20 per cent"),
        (799, {"digits": 95}, "in steps of 10 per cent"),
    ],
)
def test_shares_finer_than_the_sender_s_list_allows_are_refused(play, records, shares, allowed):
    fine, own = (ColumnShape(shares),), (ColumnShape({"digits": 100}),)
    with pytest.raises(
        ProtocolError, match=f"lab sent shapes of its keys where a list of {records} keys must have .*{allowed}"
    ):
        play(
            {
                "clinic": exchange_shapes_label({"lab": records}, own),
                "lab": exchange_shapes_feature("clinic", 900, fine),
            }
        )
    with pytest.raises(ProtocolError, match=f"clinic sent shapes .*{allowed}"):
        play(
            {
                "clinic": exchange_shapes_label({"lab": 900}, fine),
                "lab": exchange_shapes_feature("clinic", records, own),
            }
        )


@pytest.mark.parametrize(("here", "there"), [(100, 100), (100, 1000), (1000, 180), (180, 250), (500, 90)])
@pytest.mark.parametrize("odd", [0.1, 0.24, 0.26, 0.3, 0.45, 0.55, 0.74, 0.76, 0.9])
def test_no_cause_is_found_where_only_the_steps_differ(here, there, odd):
    def mixed(records: int) -> ColumnShape:
        few = round(records * odd)
        return shape([f"+1.2.{1900 + number % 100} \u00e4" for number in range(few)] + plain(records)[few:])

    (cause,) = likely_causes([mixed(here)], [mixed(there)], ["pid"], "lab")
    assert "have the same shape in every column" in cause


@pytest.mark.parametrize("records", [80, 180, 300, 500])
def test_what_differs_altogether_is_a_cause_in_a_short_list(records):
    mine, theirs = shape([f"a{text}" for text in plain(records)]), shape([f"A{text}" for text in plain(1000)])
    (cause,) = likely_causes([mine], [theirs], ["pid"], "lab")
    assert "mostly in small letters here and in capitals at lab" in cause
    dates = [f"{day % 28 + 1:02}.{day % 12 + 1:02}.1980" for day in range(records)]
    (cause,) = likely_causes([shape(dates)], [shape(plain(records))], ["pid"], "lab")
    assert "mostly holds dates" in cause


def test_one_list_that_is_too_short_says_so():
    (cause,) = likely_causes([shape(plain(1000))], [shape(plain(79))], ["pid"], "lab")
    assert cause == "The list of this party or that of lab is too short to compare the shapes of their keys."
