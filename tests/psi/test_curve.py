"""The curve against RFC 9380, Wycheproof, and a second implementation in plain Python integers."""

import os
import pickle

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import example, given, settings
from hypothesis import strategies as st

from psi import curve
from psi.curve import Scalar, check_points, encode_to_curve, expand_message_xmd, hash_to_field, map_to_curve, multiply

P = 2**255 - 19
J = 486662
elements = st.integers(0, P - 1)


def points(*numbers):
    return np.frombuffer(b"".join(n.to_bytes(32, "little") for n in numbers), np.uint8).reshape(-1, 32)


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
    for u in curve._LOW_ORDER:
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
    assert affine(curve.clear_cofactor(*map_to_curve(mpz(element)))) == plain_times_eight(u)


def test_some_crafted_elements_do_reach_points_of_low_order():
    assert sum(plain_times_eight(plain_map(element)) == 0 for element in crafted()) >= 2


@settings(deadline=None, max_examples=50)
@given(elements)
@example(0)
def test_map_equals_the_plain_one(element):
    u = affine(map_to_curve(mpz(element)))
    assert u == plain_map(element)
    assert is_square(g(u))
    assert affine(curve.clear_cofactor(*map_to_curve(mpz(element)))) == plain_times_eight(u)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=80), max_size=8))
def test_encode_equals_the_plain_one_in_any_company(messages):
    plain = [plain_times_eight(plain_map(int(hash_to_field(message)))) for message in messages]
    assert numbers(encode_to_curve(messages)) == plain


def test_a_message_that_hashes_to_the_neutral_element_spoils_no_other(monkeypatch):
    real = curve.hash_to_field
    monkeypatch.setattr(
        curve, "hash_to_field", lambda message, dst: mpz(0) if message == b"bad" else real(message, dst)
    )
    alone = numbers(encode_to_curve([b"one", b"two"]))
    assert numbers(encode_to_curve([b"one", b"bad", b"two"])) == [alone[0], 0, alone[1]]


def test_wycheproof(vectors):
    cases = [case for group in vectors("wycheproof_x25519.json")["testGroups"] for case in group["tests"]]
    assert len(cases) == 518
    refused = {"canonical": 0, "low": 0}
    for case in cases:
        scalar, point = Scalar(bytes.fromhex(case["private"])), np.frombuffer(bytes.fromhex(case["public"]), np.uint8)
        point = point.reshape(1, 32)
        if int.from_bytes(bytes.fromhex(case["public"]), "little") >= P:
            refused["canonical"] += 1
            with pytest.raises(ValueError, match="canonical"):
                check_points(point)
        elif not any(bytes.fromhex(case["shared"])):
            refused["low"] += 1
            with pytest.raises(ValueError, match="low order"):
                check_points(point)
            with pytest.raises(ValueError, match="low order"):
                multiply(scalar, point)
        else:
            check_points(point)
            assert multiply(scalar, point).tobytes().hex() == case["shared"], case["tcId"]
    assert all(refused.values())


@settings(deadline=None, max_examples=50)
@given(elements, elements)
def test_masking_commutes(message, seed):
    point = encode_to_curve([str(message).encode()])
    a, b = Scalar(seed.to_bytes(32, "little")), Scalar.draw(os.urandom)
    assert (multiply(a, multiply(b, point)) == multiply(b, multiply(a, point))).all()


def test_masking_takes_a_component_of_low_order_away():
    """Two points that differ by the point (0, 0) of order 2 have u-coordinates u and 1 / u."""
    (u,) = numbers(encode_to_curve([b"x"]))
    both = points(u, pow(u, P - 2, P))
    check_points(both)
    product = multiply(Scalar.draw(os.urandom), both)
    assert (product[0] == product[1]).all()


@pytest.mark.parametrize("number", [P, P + 1, P + 18, 2**255, 2**256 - 1, 2**255 + 9, 2**255 - 1])
def test_points_in_another_form_are_refused(number):
    with pytest.raises(ValueError, match="not in canonical form"):
        check_points(points(9, number, 9))


@pytest.mark.parametrize("number", curve._LOW_ORDER)
def test_points_of_low_order_are_refused(number):
    with pytest.raises(ValueError, match="low order"):
        check_points(points(9, number))


@pytest.mark.parametrize("number", [2, 9, P - 2, P - 2**64, 2**64 - 1, 2**254])
def test_other_points_pass(number):
    check_points(points(number))


def test_a_scalar_shows_itself_to_nobody():
    scalar = Scalar(b"s" * 32)
    assert "s" * 8 not in repr(scalar)
    assert b"s".hex() * 8 not in repr(scalar)
    assert pickle.loads(pickle.dumps(scalar)) == scalar
    with pytest.raises(ValueError, match="32 bytes"):
        Scalar(b"short")


def test_the_tag_names_protocol_version_and_suite():
    assert curve.DST == b"vsplit-psi-v1-curve25519_XMD:SHA-512_ELL2_NU_"
