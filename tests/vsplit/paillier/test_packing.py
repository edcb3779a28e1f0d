"""Packing: beside a definition on Python's integers, at every edge, and all that a sum must not be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsplit.paillier.fixed_point import FixedPoint, Units
from vsplit.paillier.packing import Packing
from vsplit.protocol import Bytes, ConfigError, ProtocolError


def packing(bits: int = 16, parties: int = 2, key_bits: int = 2048) -> Packing:
    return Packing(FixedPoint(8.0, bits, parties), key_bits)


def as_integers(rows: Bytes) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def as_rows(numbers: list[int], width: int = 256) -> Bytes:
    return np.frombuffer(b"".join(n.to_bytes(width, "little") for n in numbers), np.uint8).reshape(-1, width)


def defined(layout: Packing, units: Units) -> list[int]:
    """The definition in SPEC.md, section 3, one slot after the other."""
    found = []
    for start in range(0, len(units), layout.slots):
        number = 1 << layout.slots * layout.width
        for place, unit in enumerate(units[start : start + layout.slots].tolist()):
            number += unit << place * layout.width
        found.append(number)
    return found


layouts = st.builds(packing, st.integers(4, 24), st.integers(2, 63), st.sampled_from([2048, 2112, 3072, 8192]))


@settings(max_examples=60, deadline=None)
@given(layout=layouts, rows=st.integers(1, 3), more=st.integers(-2, 2), seed=st.integers(0, 2**32), data=st.data())
def test_sums_of_plaintexts_are_sums_of_units(
    layout: Packing, rows: int, more: int, seed: int, data: st.DataObject
) -> None:
    count = max(0, rows * layout.slots + more)
    most = layout.fixed.most
    kinds = data.draw(st.lists(st.sampled_from(["zero", "most", "any"]), min_size=1, max_size=3))
    rng = np.random.default_rng(seed)
    parts = []
    for party in range(layout.fixed.parties):
        kind = kinds[party % len(kinds)]
        any_units = rng.integers(0, most + 1, count)
        parts.append({"zero": np.zeros(count, np.int64), "most": np.full(count, most), "any": any_units}[kind])
    packed = [as_integers(layout.pack(part)) for part in parts]
    assert packed[0] == defined(layout, parts[0])
    total = [sum(column) for column in zip(*packed, strict=True)]
    assert all(number < 1 << layout.key_bits - 1 for number in total)
    found = layout.unpack(as_rows(total, layout.plaintext_bytes), count, "lab")
    assert found.dtype == np.int64
    assert (found == np.sum(parts, axis=0)).all()


@given(layout=layouts)
@settings(max_examples=60, deadline=None)
def test_the_layout_has_room_for_every_sum_and_wastes_less_than_a_slot(layout: Packing) -> None:
    most, parties = layout.fixed.most, layout.fixed.parties
    assert parties * most < 1 << layout.width - 1  # the guard stays zero
    assert parties < 1 << layout.tally
    used = layout.slots * layout.width + layout.tally
    assert layout.key_bits - 1 - layout.width < used <= layout.key_bits - 1


def test_the_layout_of_the_defaults() -> None:
    assert (packing().width, packing().tally, packing().slots) == (18, 2, 113)
    assert packing(key_bits=3072).slots == 170
    assert (packing().plaintexts(8192), packing().plaintexts(0), packing().plaintexts(113)) == (73, 0, 1)
    assert packing(24, 63).width == 31


def total_of(layout: Packing, count: int) -> list[int]:
    units = np.arange(count, dtype=np.int64) % (layout.fixed.most + 1)
    return [layout.fixed.parties * number for number in as_integers(layout.pack(units))]


def refused(layout: Packing, total: list[int], count: int, why: str) -> None:
    with pytest.raises(ProtocolError, match=why) as caught:
        layout.unpack(as_rows(total), count, "lab")
    assert caught.value.peer == "lab"


@pytest.mark.parametrize("bit", range(113 * 18, 2048))
def test_every_bit_above_the_slots_is_what_it_must_be(bit: int) -> None:
    layout = packing()
    total = total_of(layout, 120)
    total[1] ^= 1 << bit
    refused(layout, total, 120, "exactly one summand of each of the 2 parties")


@pytest.mark.parametrize("summands", [0, 1, 3])
def test_a_summand_left_out_or_added_twice_is_found(summands: int) -> None:
    layout = packing()
    total = [number // 2 * summands for number in total_of(layout, 10)]
    refused(layout, total, 10, "exactly one summand of each")


@pytest.mark.parametrize("slot", [7, 8, 112])
def test_a_slot_that_is_not_used_is_zero(slot: int) -> None:
    layout = packing()
    total = total_of(layout, 7)
    total[0] += 1 << slot * layout.width
    refused(layout, total, 7, "a slot that is not used")
    assert len(layout.unpack(as_rows(total_of(layout, 7)), 7, "lab")) == 7


@pytest.mark.parametrize("over", [2 * (2**16 - 2) + 1, 2**17 - 1, 2**17, 2**18 - 1])
@pytest.mark.parametrize("slot", [0, 50, 112])
def test_an_overflow_is_never_silent(over: int, slot: int) -> None:
    layout = packing()
    total = as_integers(layout.pack(np.zeros(113, np.int64)))
    total = [2 * total[0] + (over << slot * layout.width)]
    refused(layout, total, 113, "overflows a slot")


def test_another_number_of_plaintexts_is_refused() -> None:
    layout = packing()
    total = total_of(layout, 120)
    refused(layout, total[:1], 120, "has 1 ciphertexts where 2 were due")
    refused(layout, [*total, total[0]], 120, "has 3 ciphertexts where 2 were due")
    with pytest.raises(ProtocolError):
        layout.unpack(as_rows(total, 512), 120, "lab")


@pytest.mark.parametrize("bad", [-1, 2**16 - 1, 2**16, 2**40])
def test_a_unit_that_does_not_fit_is_a_fault_of_the_program(bad: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        packing().pack(np.array([0, bad]))


@pytest.mark.parametrize("key_bits", [1024, 2000, 16384])
def test_the_length_of_the_key_is_checked_with_the_layout(key_bits: int) -> None:
    with pytest.raises(ConfigError, match="key_bits"):
        packing(key_bits=key_bits)
