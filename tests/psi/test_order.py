"""Shuffles, keys taken in an order, and the common order."""

import os

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from psi import order
from psi.keys import KeyList
from psi.order import by_rank, rank_keys, shuffled, taken


def test_shuffle_gives_every_order_alike():
    counts = {}
    for _ in range(6000):
        found = tuple(shuffled(3, os.urandom).tolist())
        counts[found] = counts.get(found, 0) + 1
    assert len(counts) == 6
    # 1000 expected, standard deviation 29: eight of them leave no room for chance.
    assert all(abs(count - 1000) < 240 for count in counts.values())


def test_a_shuffle_is_a_permutation_that_follows_from_its_entropy(seeded):
    one, same, other = (shuffled(10_000, seeded(seed)) for seed in (1, 1, 2))
    assert one.dtype == np.uint32
    assert np.array_equal(np.sort(one), np.arange(10_000))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_equal_random_numbers_are_drawn_again(monkeypatch):
    """A tie would be settled by the place in the list, and so make some orders likelier than others."""
    drawn = [np.array([5, 1, 5], np.uint64), np.array([5, 1, 3], np.uint64)]
    monkeypatch.setattr(order, "_stream", lambda _key, _size: drawn.pop(0))
    assert shuffled(3, bytes).tolist() == [1, 2, 0]
    assert not drawn


@settings(deadline=None)
@given(st.lists(st.binary(max_size=5), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_keys_are_taken_in_the_order_asked_for(keys, chance):
    places = [chance.randrange(len(keys)) for _ in range(7)]
    found = taken(KeyList.of(keys), np.array(places, np.uint32))
    assert list(found) == [keys[place] for place in places]
    part = taken(KeyList.of(keys)[1:], np.array([0], np.uint32)) if len(keys) > 1 else None
    assert part is None or list(part) == [keys[1]]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=5), min_size=1, max_size=12, unique=True), st.binary(min_size=32, max_size=32))
def test_ranks_follow_from_the_key_and_the_secret_alone(keys, secret):
    ranks = rank_keys(secret, KeyList.of(keys))
    assert ranks.shape == (len(keys), 2)
    for place, key in enumerate(keys):
        assert np.array_equal(rank_keys(secret, KeyList.of([key]))[0], ranks[place])
    assert np.array_equal(rank_keys(secret, KeyList.of([b"other", *keys])[1:]), ranks)
    numbers = [(int(high) << 64) + int(low) for high, low in ranks]
    assert by_rank(ranks).tolist() == sorted(range(len(keys)), key=numbers.__getitem__)


def test_ranks_with_the_same_first_word_are_told_apart_by_the_second():
    ranks = np.array([[1, 9], [1, 3], [0, 5], [1, 4]], np.uint64)
    assert by_rank(ranks).tolist() == [2, 1, 3, 0]
