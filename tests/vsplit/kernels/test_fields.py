"""The generator refuses code that could overflow for some data, instead of making it."""

from __future__ import annotations

import pytest
from llvmlite import ir

from vsplit.kernels.field import LIMBS, MASK, Element, Sum
from vsplit.kernels.fma51 import FmaField
from vsplit.kernels.ifma51 import IfmaField
from vsplit.kernels.lanes import Lanes, function

FIELDS = [FmaField, IfmaField]


@pytest.fixture(params=FIELDS)
def field(request):
    with function(ir.Module(), "f", 0, 0, 4) as (lanes, _):
        yield request.param(lanes)


def number(field, bound):
    zero = ir.Constant(field.vector, ir.Undefined)
    return Element([zero] * LIMBS, bound)


def test_carried_numbers_may_be_multiplied(field):
    tight = number(field, field.tight)
    assert field.carry(field.multiply(tight, tight)).bound <= field.tight
    assert field.carry(field.square(tight)).bound <= field.tight
    both = field.add(field.multiply(tight, tight), field.square(tight))
    assert field.carry(field.subtract(both, both)).bound <= field.tight


def test_numbers_too_large_to_multiply_are_refused(field):
    loose = number(field, 4 * MASK)
    for made in (lambda: field.multiply(loose, loose), lambda: field.square(loose)):
        with pytest.raises(ArithmeticError, match="would overflow"):
            made()


def test_a_difference_times_a_carried_number_fits_and_its_square_is_refused_by_doubles():
    with function(ir.Module(), "f", 0, 0, 4) as (lanes, _):
        field = FmaField(Lanes(lanes.b, 4))
        tight = number(field, field.tight)
        loose = field.difference(tight, tight)
        field.carry(field.multiply(loose, tight))
        with pytest.raises(ArithmeticError, match="a product of two limbs"):
            field.square(loose)


def test_columns_too_large_to_carry_are_refused(field):
    words = [field.lanes.word(0)] * LIMBS
    with pytest.raises(ArithmeticError, match="a column before its carry"):
        field.carry(Sum(words, [0] * LIMBS, [2**63] * LIMBS))
