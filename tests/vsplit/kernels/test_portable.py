"""The portable twin against RFC 9380 and a second implementation in plain Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vsplit.kernels import portable
from vsplit.kernels.portable import clear_cofactor, encode_to_curve, expand_message_xmd, hash_to_field, map_to_curve

P = 2**255 - 19
J = 486662
TAG = b"tag"
LOW_ORDER = (
    0,
    1,
    P - 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
elements = st.integers(0, P - 1)


def numbers(array):
    return [int.from_bytes(row.tobytes(), "little") for row in array]


def g(u):
    return (u**3 + J * u * u + u) % P


def is_square(n):
    return pow(n, (P - 1) // 2, P) in (0, 1)


def plain_map(element):
    """Elligator 2 as RFC 9380, section 6.7.1 tells it in affine terms, sign of y left out."""
    d = (1 + 2 * element * element) % P
    first = -J * pow(d, P - 2, P) % P
    return first if is_square(g(first)) else (-first - J) % P


def plain_double(u):
    """The u-coordinate of twice a point of the curve; None is the neutral element."""
    if u is None or g(u) == 0:
        return None
    return (u * u - 1) ** 2 * pow(4 * g(u), P - 2, P) % P


def plain_times_eight(u):
    for _ in range(3):
        u = plain_double(u)
    return 0 if u is None else u


def affine(fraction):
    return int(fraction[0]) * pow(int(fraction[1]), P - 2, P) % P


def crafted():
    """Field elements at the edges, and some that the map sends to points of low order."""
    edges = [0, 1, 2, P - 1, P - 2, (P - 1) // 2, (P + 1) // 2, pow(2, (P - 1) // 4, P), 2**254, 2**128]
    for u in LOW_ORDER:
        for target in (u, (-u - J) % P):  # -J / (1 + 2 e^2) = target
            if target:
                square = (-J * pow(target, P - 2, P) - 1) * pow(2, P - 2, P) % P
                root = pow(square, (P + 3) // 8, P)
                edges += [e for e in (root, root * pow(2, (P - 1) // 4, P) % P) if e * e % P == square]
    return edges


def test_expand_message_xmd_vectors(vectors):
    data = vectors("expand_message_xmd_SHA512_38.json")
    for case in data["tests"]:
        length = int(case["len_in_bytes"], 16)
        assert expand_message_xmd(case["msg"].encode(), data["DST"].encode(), length).hex() == case["uniform_bytes"]


@pytest.mark.parametrize(("dst", "length"), [(b"", 48), (b"x" * 256, 48), (b"x", 0), (b"x", 64 * 255 + 1)])
def test_expand_message_xmd_refuses_what_the_rfc_rules_out(dst, length):
    with pytest.raises(ValueError, match="domain separation tag"):
        expand_message_xmd(b"", dst, length)


def test_encode_to_curve_vectors(vectors):
    data = vectors("curve25519_XMD_SHA-512_ELL2_NU_.json")
    dst = data["dst"].encode()
    messages = [case["msg"].encode() for case in data["vectors"]]
    assert numbers(encode_to_curve(messages, dst)) == [int(case["P"]["x"], 16) for case in data["vectors"]]
    for case, message in zip(data["vectors"], messages, strict=True):
        element = hash_to_field(message, dst)
        assert element == int(case["u"][0], 16)
        assert affine(map_to_curve(element)) == int(case["Q"]["x"], 16)


def test_map_to_curve_vectors_of_the_random_oracle_suite(vectors):
    for case in vectors("curve25519_XMD_SHA-512_ELL2_RO_.json")["vectors"]:
        for element, name in zip(case["u"], ("Q0", "Q1"), strict=True):
            assert affine(map_to_curve(mpz(int(element, 16)))) == int(case[name]["x"], 16)


@pytest.mark.parametrize("element", crafted())
def test_map_equals_the_plain_one_at_the_edges(element):
    u = affine(map_to_curve(mpz(element)))
    assert u == plain_map(element)
    assert affine(clear_cofactor(*map_to_curve(mpz(element)))) == plain_times_eight(u)


def test_some_crafted_elements_do_reach_points_of_low_order():
    assert sum(plain_times_eight(plain_map(element)) == 0 for element in crafted()) >= 2


@settings(deadline=None, max_examples=50)
@given(elements)
@example(0)
def test_map_equals_the_plain_one(element):
    u = affine(map_to_curve(mpz(element)))
    assert u == plain_map(element)
    assert is_square(g(u))
    assert affine(clear_cofactor(*map_to_curve(mpz(element)))) == plain_times_eight(u)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=80), max_size=8))
def test_encode_equals_the_plain_one_in_any_company(messages):
    plain = [plain_times_eight(plain_map(int(hash_to_field(message, TAG)))) for message in messages]
    assert numbers(encode_to_curve(messages, TAG)) == plain


def test_a_message_that_hashes_to_the_neutral_element_spoils_no_other(monkeypatch):
    real = portable.hash_to_field
    monkeypatch.setattr(
        portable, "hash_to_field", lambda message, dst: mpz(0) if message == b"bad" else real(message, dst)
    )
    alone = numbers(encode_to_curve([b"one", b"two"], TAG))
    assert numbers(encode_to_curve([b"one", b"bad", b"two"], TAG)) == [alone[0], 0, alone[1]]


def test_multiply_of_low_order_points_is_zero_and_of_none_is_empty():
    points = np.frombuffer(b"".join(u.to_bytes(32, "little") for u in LOW_ORDER), np.uint8).reshape(-1, 32)
    assert not portable.multiply(bytes(range(32)), points).any()
    assert portable.multiply(bytes(32), points[:0]).shape == (0, 32)
