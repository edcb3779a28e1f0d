"""Lists of values compared by sorting: against plain Python, and where the first 64 bits of different values agree."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psi.matching import Tags, find, has_repeats, share_any

# Few different words, so that first halves, second halves and whole values coincide in every way.
values = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(
    lambda pair: pair[0].to_bytes(8, "big") + pair[1].to_bytes(8, "big")
)
lists = st.lists(values, min_size=1, max_size=14)


def tags(rows):
    return Tags.of(np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1))


@settings(deadline=None)
@given(lists, st.lists(values, min_size=1, max_size=14, unique=True))
def test_find_is_a_look_up_of_each_value(sought, among):
    where = find(tags(sought), tags(among))
    assert where.dtype == np.int64
    assert where.tolist() == [among.index(value) if value in among else -1 for value in sought]


@settings(deadline=None)
@given(lists)
def test_repeats_are_found(rows):
    assert has_repeats(tags(rows)) == (max(Counter(rows).values()) > 1)


@settings(deadline=None)
@given(st.lists(values, min_size=1, unique=True), st.lists(values, min_size=1, unique=True))
def test_shared_values_are_found(one, other):
    assert share_any(tags(one), tags(other)) == bool(set(one) & set(other))


@pytest.mark.parametrize("width", [5, 8, 11, 16])
def test_tags_of_cut_values_are_cut_tags(width):
    rows = np.random.default_rng(0).integers(0, 256, (50, 32), dtype=np.uint8)
    whole, cut = Tags.of(rows).cut(width), Tags.of(rows[:, :width])
    assert len(whole) == 50
    assert np.array_equal(whole.low, cut.low)
    assert np.array_equal(whole.high, cut.high)


def test_tags_show_nothing():
    assert repr(tags([bytes(16)])) == "Tags()"
