"""Values as whole numbers, their sums as values again: the bound on the error, and every edge."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsplit.paillier.fixed_point import FixedPoint
from vsplit.protocol import ConfigError, DataError, Floats, ProtocolError

reaches = st.sampled_from([1e-6, 0.5, 1.0, 8.0, 1000.0, 1e6]) | st.floats(1e-3, 1e3)


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float32)


@settings(max_examples=150, deadline=None)
@given(
    reach=reaches,
    bits=st.integers(4, 24),
    parties=st.integers(2, 63),
    stochastic=st.booleans(),
    seed=st.integers(0, 2**32),
    spread=st.sampled_from([0.0, 0.01, 1.0, 2.0, 1e9]),
)
def test_the_sum_is_within_the_bound(
    reach: float, bits: int, parties: int, stochastic: bool, seed: int, spread: float
) -> None:
    fixed = FixedPoint(reach, bits, parties, stochastic)
    rng = np.random.default_rng(seed)
    values = (rng.uniform(-reach * spread, reach * spread, (parties, 3, 5))).astype(np.float32)
    values[0, 0] = floats(reach, -reach, 0.0, reach * 0.5, -0.0)
    made = [fixed.encode(each, random.Random(seed).randbytes) for each in values]
    assert all(len(each.units) == 15 and 0 <= each.units.min() <= each.units.max() <= fixed.most for each in made)
    total = np.sum([each.units for each in made], axis=0)
    found = fixed.decode(total, (3, 5), "lab")
    wanted = np.clip(values.astype(np.float64), -reach, reach).sum(axis=0)
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() <= fixed.error_bound
    assert sum(each.clipped for each in made) == int((np.abs(values.astype(np.float64)) > reach).sum())


@settings(max_examples=100, deadline=None)
@given(
    reach=reaches,
    bits=st.integers(4, 24),
    stochastic=st.booleans(),
    seed=st.integers(0, 2**32),
    spread=st.sampled_from([0.3, 1 - 1e-7, 1.0, 1 + 1e-7, 3.0]),
)
def test_units_and_their_sums_are_exactly_what_the_formulas_say(
    reach: float, bits: int, stochastic: bool, seed: int, spread: float
) -> None:
    """Written down plainly, without the ways around that make it fast."""
    fixed = FixedPoint(reach, bits, 2, stochastic)
    rng = np.random.default_rng(seed)
    values = (rng.choice([-1.0, 1.0, 0.5, -0.1], 40) * reach * spread).astype(np.float32)
    exact = values.astype(np.float64) * (fixed.top / reach)
    draws = np.frombuffer(random.Random(seed).randbytes(160), "<u4") * 2.0**-32
    whole = np.floor(exact + draws) if stochastic else np.rint(exact)
    units = np.clip(whole, -fixed.top, fixed.top).astype(np.int64) + fixed.top
    made = fixed.encode(values, random.Random(seed).randbytes)
    assert np.array_equal(made.units, units) and made.units.dtype == np.int64
    assert made.clipped == np.count_nonzero(np.abs(values.astype(np.float64)) > reach)
    again = ((units + units - 2 * fixed.top).astype(np.float64) * (reach / fixed.top)).astype(np.float32)
    assert np.array_equal(fixed.decode(units + units, (40,), "lab"), again)


def test_the_bound_is_reached_nearly_so_it_is_not_an_idle_one() -> None:
    fixed = FixedPoint(8.0, 16, 2)
    half = np.full(7, fixed.step * 0.499, dtype=np.float32)
    found = fixed.decode(2 * fixed.encode(half).units, (7,), "lab")
    assert np.abs(found - 2 * half).max() > 0.99 * (fixed.error_bound - 2 * 8.0 * 2.0**-24)


def test_the_default_is_within_a_ten_thousandth_of_the_range() -> None:
    assert FixedPoint(8.0, 16, 2).error_bound <= 1e-4 * 8.0
    assert FixedPoint(8.0, 16, 6).error_bound <= 1e-4 * 8.0


@pytest.mark.parametrize("bits", [4, 16, 24])
def test_the_edges(bits: int) -> None:
    fixed = FixedPoint(8.0, bits, 2)
    units = fixed.encode(floats(0.0, -0.0, 8.0, -8.0, 9.0, -3e38, 3e38)).units
    assert units.tolist() == [fixed.top, fixed.top, fixed.most, 0, fixed.most, 0, fixed.most]
    assert fixed.most == 2**bits - 2
    assert fixed.encode(floats(8.0, -8.0)).clipped == 0
    assert fixed.encode(np.nextafter(floats(8.0, -8.0), floats(9.0, -9.0))).clipped == 2
    assert fixed.decode(2 * units[:4], (2, 2), "lab").tolist() == [[0.0, 0.0], [16.0, -16.0]]
    assert len(fixed.encode(np.zeros((0, 4), dtype=np.float32)).units) == 0
    assert fixed.decode(np.zeros(0, dtype=np.int64), (0, 4), "lab").shape == (0, 4)


def test_rounding_is_to_the_nearest_and_never_biased_by_the_sign() -> None:
    fixed = FixedPoint(8.0, 16, 2)
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    up, down = fixed.encode(values).units - fixed.top, fixed.encode(-values).units - fixed.top
    assert (up == -down).all()


def test_stochastic_rounding_is_right_on_average() -> None:
    fixed = FixedPoint(8.0, 8, 2, stochastic=True)
    value = fixed.step * 0.25
    units = fixed.encode(np.full(20_000, value, dtype=np.float32), random.Random(1).randbytes).units - fixed.top
    assert set(units.tolist()) == {0, 1}
    assert abs(units.mean() - 0.25) < 0.02  # six standard deviations
    whole = np.full(100, fixed.step * 3, dtype=np.float32)
    assert set(FixedPoint(127.0, 8, 2, stochastic=True).encode(floats(3.0, -3.0), bytes).units - 127) == {3, -3}
    assert abs(fixed.encode(whole, random.Random(1).randbytes).units.mean() - fixed.top - 3) < 0.01
    with pytest.raises(ValueError, match="needs entropy"):
        fixed.encode(whole)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_a_fault_locally(bad: float) -> None:
    with pytest.raises(DataError, match="not a finite number"):
        FixedPoint(8.0, 16, 2).encode(floats(1.0, bad))


@pytest.mark.parametrize("bad", [-1, 2 * (2**16 - 2) + 1, 2**40, -(2**40)])
def test_a_sum_that_is_not_possible_names_its_sender(bad: int) -> None:
    with pytest.raises(ProtocolError, match="lab") as caught:
        FixedPoint(8.0, 16, 2).decode(np.array([0, bad], dtype=np.int64), (2,), "lab")
    assert caught.value.peer == "lab"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ((0.0, 16, 2), "range"),
        ((-8.0, 16, 2), "range"),
        ((float("nan"), 16, 2), "range"),
        ((float("inf"), 16, 2), "range"),
        ((1e7, 16, 2), "range"),
        ((8.0, 3, 2), "bits is 3"),
        ((8.0, 25, 2), "bits is 25"),
        ((8.0, 16, 1), "2 to 63 feature parties"),
        ((8.0, 16, 64), "2 to 63 feature parties"),
    ],
)
def test_what_is_not_possible_is_refused_when_the_job_is_read(fields: tuple[float, int, int], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        FixedPoint(*fields)


def test_nothing_is_shown() -> None:
    assert repr(FixedPoint(8.0, 16, 2).encode(floats(1.0, 9.0))) == "<Quantised 2 values>"
