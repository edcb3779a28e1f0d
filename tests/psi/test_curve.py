"""What alignment asks of the curve: its own suite and tag, secrets, and the checks on a peer's points."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psi import curve
from psi.curve import Scalar, check_points, encode_to_curve, multiply
from psi.keys import KeyList
from vsplit.kernels import portable

P = 2**255 - 19
elements = st.integers(0, P - 1)


def points(*numbers):
    return np.frombuffer(b"".join(n.to_bytes(32, "little") for n in numbers), np.uint8).reshape(-1, 32)


def numbers(array):
    return [int.from_bytes(row.tobytes(), "little") for row in array]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.binary(max_size=80), max_size=8))
def test_keys_hash_by_the_suite_of_the_rfc_and_the_tag_of_this_protocol(keys):
    assert (encode_to_curve(KeyList.of(keys)) == portable.encode_to_curve(keys, curve.DST)).all()
    assert (encode_to_curve(KeyList.of([b"before", *keys])[1:]) == portable.encode_to_curve(keys, curve.DST)).all()


def test_long_lists_and_short_ones_get_the_same_points():
    """The long list goes to the compiled kernels where there are any, its parts to the portable twin."""
    keys = KeyList.of([f"member {number}".encode() for number in range(3000)])
    scalar = Scalar.draw(os.urandom)
    whole = encode_to_curve(keys)
    parts = np.concatenate([encode_to_curve(keys[first : first + 1000]) for first in range(0, 3000, 1000)])
    assert (whole == parts).all()
    products = np.concatenate([multiply(scalar, parts[first : first + 1000]) for first in range(0, 3000, 1000)])
    assert (multiply(scalar, whole) == products).all()


def test_a_point_of_low_order_in_a_long_list_is_refused():
    array = np.tile(points(9), (3000, 1))
    array[1234] = 0
    with pytest.raises(ValueError, match="low order"):
        multiply(Scalar.draw(os.urandom), array)


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
    point = encode_to_curve(KeyList.of([str(message).encode()]))
    a, b = Scalar(seed.to_bytes(32, "little")), Scalar.draw(os.urandom)
    assert (multiply(a, multiply(b, point)) == multiply(b, multiply(a, point))).all()


def test_masking_takes_a_component_of_low_order_away():
    """Two points that differ by the point (0, 0) of order 2 have u-coordinates u and 1 / u."""
    (u,) = numbers(encode_to_curve(KeyList.of([b"x"])))
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
