"""The compiled kernels give the bytes of the portable twin and of the outside vectors: random, crafted, and at every edge."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest
from gmpy2 import invert, mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from vsplit.kernels import compiled, portable
from vsplit.kernels.curve_code import SCRATCH_VECTORS
from vsplit.kernels.sha512_code import initial_state

P = 2**255 - 19
J = 486662
MASK = 2**51 - 1
LOW_ORDER = (
    0,
    1,
    P - 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)


def points(numbers):
    return np.frombuffer(b"".join(n.to_bytes(32, "little") for n in numbers), np.uint8).reshape(-1, 32)


def packed(messages):
    ends = np.cumsum([0, *map(len, messages)]).astype(np.int64)
    return np.frombuffer(b"".join(messages), np.uint8), ends


def edges():
    """Numbers whose limbs of 51 bits are all ones, all zeros, a half, or next to these; forms that are not canonical."""
    limbs = (0, 1, 18, 19, 2**50 - 1, 2**50, 2**50 + 1, MASK - 19, MASK - 18, MASK)
    uniform = [sum(limb << 51 * at for at in range(5)) for limb in limbs]
    single = [limb << 51 * at for limb in limbs for at in range(5)]
    mixed = [sum(limbs[(at * step + 3) % len(limbs)] << 51 * at for at in range(5)) for step in range(1, 10)]
    near = [P + offset for offset in range(-3, 19)] + [2**255 + 9, 2**256 - 1, 2 * P, 2 * P + 1]
    return [*uniform, *single, *mixed, *near, *LOW_ORDER]


SCALARS = [
    bytes(32),
    bytes([255]) * 32,
    bytes([0x55]) * 32,
    bytes([0xAA]) * 32,
    bytes(31) + b"\x80",
    b"\x07" + bytes(31),
]


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda scalar: scalar.hex()[:4] + scalar.hex()[-4:])
def test_multiply_at_the_edges(kernels, scalar):
    array = points(edges())
    assert (compiled.multiply(kernels, scalar, array) == portable.multiply(scalar, array)).all()


def test_multiply_of_many_random_points(kernels):
    scalar = os.urandom(32)
    array = np.frombuffer(os.urandom(32 * 5000), np.uint8).reshape(-1, 32)
    assert (compiled.multiply(kernels, scalar, array) == portable.multiply(scalar, array)).all()


@settings(deadline=None, max_examples=30)
@given(scalar=st.binary(min_size=32, max_size=32), numbers=st.lists(st.integers(0, 2**256 - 1), max_size=20))
def test_multiply_of_lists_of_any_length(kernels, scalar, numbers):
    array = points(numbers)
    found = compiled.multiply(kernels, scalar, array)
    assert found.shape == (len(numbers), 32)
    assert (found == portable.multiply(scalar, array)).all()


def test_wycheproof(kernels, vectors):
    cases = [case for group in vectors("wycheproof_x25519.json")["testGroups"] for case in group["tests"]]
    assert len(cases) == 518
    for case in cases:
        point = np.frombuffer(bytes.fromhex(case["public"]), np.uint8).reshape(1, 32)
        found = compiled.multiply(kernels, bytes.fromhex(case["private"]), point)
        assert found.tobytes().hex() == case["shared"], case["tcId"]


def test_rfc_7748_iterated(kernels):
    """Section 5.2: the product becomes the scalar, the scalar the point."""
    scalar = point = (9).to_bytes(32, "little")
    for count in range(1, 1001):
        product = compiled.multiply(kernels, scalar, points([int.from_bytes(point, "little")])).tobytes()
        scalar, point = product, scalar
        if count == 1:
            assert scalar.hex() == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert scalar.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


def test_products_of_low_order_are_zero_and_spoil_no_neighbour(kernels):
    scalar = os.urandom(32)
    array = points([9, 0, 10, 1, P - 1, 11, *LOW_ORDER, 12, 13, 14, 15])
    found = compiled.multiply(kernels, scalar, array)
    assert (found == portable.multiply(scalar, array)).all()
    assert (~found.any(axis=1)).sum() == 8


def test_a_scalar_of_another_length_is_refused(kernels):
    with pytest.raises(ValueError, match="32 bytes"):
        compiled.multiply(kernels, bytes(31), points([9]))


def test_encode_to_curve_vectors(kernels, vectors):
    data = vectors("curve25519_XMD_SHA-512_ELL2_NU_.json")
    messages = [case["msg"].encode() for case in data["vectors"]]
    found = compiled.encode_to_curve(kernels, *packed(messages), data["dst"].encode())
    assert (found == points([int(case["P"]["x"], 16) for case in data["vectors"]])).all()


@settings(deadline=None, max_examples=30)
@given(messages=st.lists(st.binary(max_size=300), max_size=20), dst=st.binary(min_size=1, max_size=255))
def test_encode_to_curve_of_messages_and_tags_of_any_length(kernels, messages, dst):
    assert (compiled.encode_to_curve(kernels, *packed(messages), dst) == portable.encode_to_curve(messages, dst)).all()


def test_encode_to_curve_of_a_part_of_a_buffer(kernels):
    data, ends = packed([b"one", b"two", b"", b"three"])
    found = compiled.encode_to_curve(kernels, data, ends[1:4], b"tag")
    assert (found == portable.encode_to_curve([b"two", b""], b"tag")).all()


@pytest.mark.parametrize("dst", [b"", b"x" * 256])
def test_a_tag_that_the_rfc_rules_out_is_refused(kernels, dst):
    with pytest.raises(ValueError, match="domain separation tag"):
        compiled.encode_to_curve(kernels, *packed([b"x"]), dst)


def test_the_map_at_the_edges(kernels):
    """Inputs that no hash would give: all of 384 bits, elements that map to points of low order, and the edges."""
    inputs = [number << shift for number in edges() for shift in (0, 1, 64, 128)] + [
        0,
        2**384 - 1,
        P << 128,
        P,
        19 << 255,
    ]
    for u in LOW_ORDER[1:]:
        for target in (u, (-u - J) % P):
            square = (-J * pow(target, P - 2, P) - 1) * pow(2, P - 2, P) % P
            root = pow(square, (P + 3) // 8, P)
            inputs += [e for e in (root, root * pow(2, (P - 1) // 4, P) % P) if e * e % P == square]
    inputs = [number % 2**384 for number in inputs]
    found = mapped(kernels, inputs)
    expected = [plain(number) for number in inputs]
    assert (found == points(expected)).all()
    assert expected.count(0) >= 2


def mapped(kernels, inputs):
    blocks = -(-len(inputs) // kernels.width)
    digests = np.zeros((blocks * kernels.width, 8), np.uint64)
    for row, number in enumerate(inputs):
        digests[row, :6] = np.frombuffer(number.to_bytes(48, "big"), ">u8")
    out = np.empty((len(digests), 32), np.uint8)
    scratch = np.empty(blocks * kernels.width * SCRATCH_VECTORS, np.uint64)
    kernels.map(digests, out, scratch, blocks)
    return out[: len(inputs)]


def plain(number):
    x, z = portable.clear_cofactor(*portable.map_to_curve(mpz(number) % P))
    return int(x * invert(z, P) % P) if z else 0


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_sha_512(kernels, blocks):
    length = 128 * blocks - 17
    messages = [os.urandom(length) for _ in range(kernels.width * 3)]
    padding = b"\x80" + (8 * length).to_bytes(16, "big")
    array = np.frombuffer(b"".join(message + padding for message in messages), np.uint8).copy()
    start, digests = np.array(initial_state(), np.uint64), np.empty((len(messages), 8), np.uint64)
    kernels.digest(start, array, digests, blocks, 3)
    assert digests.astype(">u8").tobytes() == b"".join(hashlib.sha512(message).digest() for message in messages)
