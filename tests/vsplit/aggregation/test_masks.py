"""Pairwise masks: they cancel, they are fresh in every batch and attempt, and none serves twice."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsplit.aggregation.masks import MaskReusedError, Masks
from vsplit.sealing import Seal

NAMES = ["a", "b", "c", "d"]
CONTEXT = bytes(range(32))
ATTEMPT = bytes(32)


def masks(count: int = 4, attempt: bytes = ATTEMPT, session: bytes = b"") -> dict[str, Masks]:
    """Every party's masks, where each two parties have a secret in common."""
    names = NAMES[:count]

    def seal(me: str, peer: str) -> Seal:
        common = "".join(sorted((me, peer))).encode().ljust(32, b".")
        return Seal(me, peer, "relay", bytes(32), bytes(32), common, session)

    return {me: Masks(me, names, {peer: seal(me, peer) for peer in names if peer != me}, attempt) for me in names}


@given(
    st.integers(2, 4),
    st.integers(0, 300),
    st.tuples(st.integers(0, 2**40), st.integers(0, 2), st.integers(0, 2**40)),
    st.binary(min_size=32, max_size=32),
)
def test_the_masks_of_all_parties_cancel(parties: int, count: int, place: tuple[int, int, int], attempt: bytes) -> None:
    total = np.zeros(count, np.uint32)
    for one in masks(parties, attempt).values():
        mask = one.take(place, count, CONTEXT)
        assert mask.dtype == np.uint32
        total += mask
    assert not total.any()


def test_masks_of_all_but_one_party_do_not_cancel() -> None:
    for missing in NAMES:
        taken = [one.take((0, 0, 0), 200, CONTEXT) for name, one in masks().items() if name != missing]
        total = np.sum(taken, axis=0, dtype=np.uint32)
        assert np.count_nonzero(total == 0) < 5
        assert 0.4 < np.mean(total) / 2**32 < 0.6


def test_every_batch_and_attempt_has_masks_of_its_own() -> None:
    seen = []
    for attempt in (ATTEMPT, bytes([1] * 32)):
        one = masks(attempt=attempt)["a"]
        seen += [
            one.take(place, 64, CONTEXT)
            for place in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (256, 0, 0)]
        ]
    for number, mask in enumerate(seen):
        for other in seen[:number]:
            assert np.mean(mask == other) < 0.1


def test_no_mask_is_given_out_twice() -> None:
    one = masks()["a"]
    one.take((2, 1, 5), 4, CONTEXT)
    for place in [(2, 1, 5), (2, 1, 4), (2, 0, 9), (1, 2, 9), (0, 0, 0)]:
        with pytest.raises(MaskReusedError, match="no mask may be used twice"):
            one.take(place, 4, CONTEXT)
    one.take((2, 1, 6), 4, CONTEXT)


def test_parties_with_another_context_have_masks_that_do_not_cancel() -> None:
    """Be it in the last bit only."""
    other = CONTEXT[:-1] + bytes([CONTEXT[-1] ^ 1])
    total = sum(
        made.take((0, 0, 0), 1000, other if name == "b" else CONTEXT).astype(np.uint64)
        for name, made in masks().items()
    )
    assert np.mean(total % 2**32 == 0) < 0.01


def test_masks_are_neither_copied_nor_pickled_nor_shown() -> None:
    one = masks()["a"]
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            attempt(one)
    assert repr(one) == "<Masks with 3 parties>"


def test_a_mask_is_that_of_the_specification() -> None:
    """An independent computation of the one between a and b, from SPEC.md, section 10.3."""
    import hashlib
    import hmac

    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

    def expand(key: bytes, info: bytes) -> bytes:
        return hmac.new(key, info + b"\x01", hashlib.sha256).digest()

    pair = expand(b"ab".ljust(32, b"."), b"vsplit-mask-v2 pair" + ATTEMPT)
    place = b"".join(number.to_bytes(8, "big") for number in (3, 1, 4))
    key = expand(pair, b"vsplit-mask-v2 to the label party" + CONTEXT + place)
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(40))
    expected = np.frombuffer(stream, "<u4")
    both = masks(2)
    assert np.array_equal(both["a"].take((3, 1, 4), 10, CONTEXT), expected)
    assert np.array_equal(both["b"].take((3, 1, 4), 10, CONTEXT), np.zeros(10, np.uint32) - expected)
