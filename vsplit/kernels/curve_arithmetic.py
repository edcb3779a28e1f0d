"""Elements of any `Field` in generated code: products and powers as subroutines, choices without branches, and constants."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from vsplit.kernels.field import LIMBS, Element, Field, check
from vsplit.kernels.lanes import WORD


def inverse(field: Field, z: Element) -> Element:
    """z^(p - 2) = z^(2^255 - 21)."""
    squared = squarings(field, z, 1)
    eleventh = product(field, product(field, squarings(field, squared, 2), z), squared)
    return product(field, squarings(field, power_2_250_minus_1(field, z), 5), eleventh)


def power_2_250_minus_1(field: Field, z: Element) -> Element:
    """z^(2^250 - 1), by doubling the number of ones in the exponent."""

    def longer(ones: Element, count: int, more: Element) -> Element:
        return product(field, squarings(field, ones, count), more)

    squared = squarings(field, z, 1)
    ninth = product(field, squarings(field, squared, 2), z)
    eleventh = product(field, ninth, squared)
    five = product(field, squarings(field, eleventh, 1), ninth)  # 22 + 9 = 31 = 2^5 - 1
    ten = longer(five, 5, five)
    twenty = longer(ten, 10, ten)
    forty = longer(twenty, 20, twenty)
    fifty = longer(forty, 10, ten)
    hundred = longer(fifty, 50, fifty)
    return longer(longer(hundred, 100, hundred), 50, fifty)


def squarings(field: Field, z: Element, times: int) -> Element:
    """z^(2^times). A subroutine, like `product`: only the products of the ladder are inlined."""

    def body(arguments: list[ir.Value]) -> list[ir.Value]:
        def once(_number: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
            return limbs_of(field, [field.carry(field.square(elements_of(field, state)[0]))])

        return field.lanes.repeat(arguments[-1], arguments[:-1], once)

    arguments = [*limbs_of(field, [z]), WORD(times)]
    return elements_of(field, field.lanes.subroutine("squarings", arguments, [field.vector] * LIMBS, body))[0]


def product(field: Field, a: Element, b: Element) -> Element:
    """a b, carried. A subroutine."""

    def body(arguments: list[ir.Value]) -> list[ir.Value]:
        return limbs_of(field, [field.carry(field.multiply(*elements_of(field, arguments)))])

    found = field.lanes.subroutine("product", limbs_of(field, [a, b]), [field.vector] * LIMBS, body)
    return elements_of(field, found)[0]


def small(field: Field, value: int) -> Element:
    """A constant below the bound of a tight element."""
    lanes = field.lanes
    return field.from_limbs([lanes.word(value), *[lanes.word(0)] * (LIMBS - 1)], value)


def swapped(field: Field, swap: ir.Value, a: Element, c: Element) -> tuple[Element, Element]:
    """(c, a) in the lanes in which `swap` holds, otherwise (a, c)."""
    return chosen(field, swap, c, a), chosen(field, swap, a, c)


def chosen(field: Field, condition: ir.Value, yes: Element, no: Element) -> Element:
    """`yes` in the lanes in which `condition` holds, otherwise `no`."""
    pairs = zip(yes.limbs, no.limbs, strict=True)
    return Element([field.lanes.b.select(condition, one, other) for one, other in pairs], max(yes.bound, no.bound))


def is_zero(field: Field, element: Element) -> ir.Value:
    """In which lanes the element is zero modulo p."""
    limbs = canonical(field, element)
    together = limbs[0]
    for limb in limbs[1:]:
        together = field.lanes.b.or_(together, limb)
    return field.lanes.b.icmp_unsigned("==", together, field.lanes.word(0))


def canonical(field: Field, element: Element) -> list[ir.Value]:
    """The limbs, as words, of the number from 0 to p - 1 that the element represents. A subroutine."""

    def body(arguments: list[ir.Value]) -> list[ir.Value]:
        return field.to_limbs(elements_of(field, arguments)[0])

    return field.lanes.subroutine("canonical", limbs_of(field, [element]), [field.lanes.ints] * LIMBS, body)


def limbs_of(field: Field, elements: Sequence[Element]) -> list[ir.Value]:
    """The limbs of these elements, all of which must be tight: what a loop or a subroutine takes."""
    for element in elements:
        check(element.bound <= field.tight, "a number that a loop hands on")
    return [limb for element in elements for limb in element.limbs]


def elements_of(field: Field, limbs: Sequence[ir.Value]) -> list[Element]:
    """The elements that `limbs_of` took apart."""
    return [Element(limbs[at : at + LIMBS], field.tight) for at in range(0, len(limbs), LIMBS)]
