"""The compiled code, read: nothing that is secret can reach a jump or an address.

Secrets enter the kernels by loads into vector registers and never leave them but to memory. So it is enough that

1. no instruction takes a vector or mask register to a general register or to the flags,
2. a general register is loaded from memory only from the stack, where no vector register is saved (so from what another
   general register left there, or the caller: addresses and counts),
3. there are no more conditional jumps than loops with a public count, and each follows a comparison of general registers,
4. there is no gather or scatter, and no instruction whose time depends on its operands (divisions, square roots),
5. every call goes to a function of the module.

The code is read for this machine and for CPUs that it may not be: the assembler text is what the compiler would load.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from llvmlite import binding

from vsplit.kernels import engine, jit

TARGETS = [
    ("fma", "", 4),
    ("fma", "haswell", 4),
    ("fma", "skylake-avx512", 8),
    ("ifma", "icelake-server", 8),
    ("ifma", "znver4", 8),
]
GENERAL = re.compile(r"^%(r[a-ds]x|r[sd]i|r[sb]p|r\d+[dwb]?|e[a-d]x|e[sd]i|e[sb]p|[a-d]l|[sd]il|[a-d]x)$")
VECTOR = re.compile(r"^%([xyz]mm\d+|k[0-7])")
STACK = re.compile(r"^(-?\d*)\(%(r[sb]p)\)$")
BYTES = {"x": 16, "y": 32, "z": 64, "kmovb": 1, "kmovw": 2, "kmovd": 4, "kmovq": 8}
TO_FLAGS = re.compile(r"^(v?ptest$|vtestp|v?u?comis|kortest|ktest)")
FORBIDDEN = re.compile(
    r"^v?(gather|pgather|scatter|pscatter|div|sqrt|rcp|rsqrt)|^i?div|^(loop|cmov|set)|^(rep|lods|scas|xlat)"
)
JUMP = re.compile(r"^j(?!mp)")


@dataclass(frozen=True)
class Line:
    """One instruction: `reads` are its sources, `writes` its destination, as AT&T's order has them."""

    name: str
    operands: list[str]

    @property
    def last(self):
        return self.operands[-1] if self.operands else ""


def assembled(module, cpu):
    machine = jit.target_machine(cpu)
    if "x86" not in machine.triple:
        pytest.skip("the text of x86 is read here, and this machine has other instructions")
    return machine.emit_assembly(binding.parse_assembly(str(module)))


def functions(text):
    """The instructions of each function, by its name."""
    found, current = {}, None
    for raw in text.split("\n"):
        line = raw.split("#")[0].strip()
        if re.match(r"^[A-Za-z_]\w*:$", line):
            current = found.setdefault(line[:-1], [])
        elif line and not line.startswith(".") and not line.endswith(":") and current is not None:
            name, _, rest = line.partition("\t") if "\t" in line else line.partition(" ")
            operands = [one.strip() for one in re.split(r",(?![^(]*\))", re.sub(r"\{[^}]*\}", "", rest)) if one.strip()]
            current.append(Line(name, operands))
    return {name: lines for name, lines in found.items() if lines}  # without the labels of constants


def complaints(text):
    """What in the assembler text breaks a rule, in words."""
    code = functions(text)
    out = []
    for name, lines in code.items():
        vectors_saved = saved_vectors(lines)
        for number, line in enumerate(lines):
            vectors = [one for one in line.operands if VECTOR.match(one)]
            memory = [one for one in line.operands if "(" in one]
            where = f"{name}: {line.name} {', '.join(line.operands)}"
            if TO_FLAGS.match(line.name) or (vectors and GENERAL.match(line.last)):
                out.append(f"{where} takes a vector to a general register or to the flags")
            loads = memory and not vectors and line.name[:3] not in {"lea", "nop"} and "(" not in line.last
            compared = memory and line.name.startswith(("cmp", "test"))
            if (loads or compared) and not all(apart(one, vectors_saved) for one in memory):
                out.append(f"{where} loads a general register from what may be secret")
            if FORBIDDEN.match(line.name):
                out.append(f"{where} takes a time, or goes to an address, by its operands")
            if JUMP.match(line.name) and not compared_in(lines[:number]):
                out.append(f"{where} follows no comparison of general registers")
    return out


def saved_vectors(lines):
    """Where on the stack vector registers are saved: (base register, first byte, last byte + 1)."""
    found = []
    for line in lines:
        place = STACK.match(line.last)
        if place and VECTOR.match(line.operands[0]):
            first = int(place[1] or 0)
            found.append((place[2], first, first + BYTES[line.name if line.name in BYTES else line.operands[0][1]]))
    return found


def apart(operand, vectors):
    """Whether eight bytes of the stack are none that a vector register was saved to."""
    place = STACK.match(operand)
    if not place:
        return False
    first = int(place[1] or 0)
    return all(place[2] != base or first + 8 <= start or first >= end for base, start, end in vectors)


def compared_in(lines):
    """Whether the flags, as they stand after these lines, come of general registers: no other instruction may set them."""
    for line in reversed(lines):
        if line.name.startswith(("cmp", "dec", "inc", "add", "sub", "test")):
            return not any(VECTOR.match(one) for one in line.operands)
        if not line.name.startswith(("v", "mov", "lea", "push", "pop")):
            return False
    return False


def jumps(text):
    return sum(bool(JUMP.match(line.name)) for lines in functions(text).values() for line in lines)


@pytest.fixture(scope="module", params=TARGETS, ids=lambda target: f"{target[0]}-{target[1] or 'here'}")
def text(request):
    kind, cpu, width = request.param
    return assembled(engine.code(kind, width), cpu)


@pytest.fixture(scope="module", params=TARGETS, ids=lambda target: f"{target[0]}-{target[1] or 'here'}")
def montgomery(request):
    kind, cpu, width = request.param
    return assembled(engine.montgomery_code(kind, 41, width), cpu)


def test_no_secret_of_long_integers_reaches_a_jump_or_an_address(montgomery):
    assert len(functions(montgomery)) == 5
    assert complaints(montgomery) == []


def test_long_integers_take_one_jump_for_each_loop_over_a_public_count(montgomery):
    """Blocks of products, of powers and of chains; copies, and two gatherings; the table, windows, digits of a choice,
    factors of a chain; rows and carries of both reductions, of a product and of a square."""
    assert jumps(montgomery) == 3 + 3 + 2 + 1 + 1 + 1 + 1 + 4 + 4


def test_no_secret_reaches_a_jump_or_an_address(text):
    assert len(functions(text)) == 6
    assert complaints(text) == []


def test_there_is_one_jump_for_each_loop_over_a_public_count(text):
    """Blocks forward and backward for two kernels, the ladder's 255 bits, squarings; messages, their blocks, 16 rounds."""
    assert jumps(text) == 2 * 2 + 1 + 1 + 3


def test_the_instructions_that_the_kernels_are_made_for_are_there(text, request):
    kind = request.node.callspec.params["text"][0]
    wanted = "vfmadd" if kind == "fma" else "vpmadd52huq"
    assert sum(line.name.startswith(wanted) for line in functions(text)["multiply"]) >= 180


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("\tvmovq\t%xmm1, %rax", "to a general register"),
        ("\tvptest\t%ymm0, %ymm0", "to the flags"),
        ("\tkmovd\t%k1, %eax", "to a general register"),
        ("\tmovq\t8(%rdi), %rax", "may be secret"),
        ("\tvmovups\t%ymm0, 32(%rsp)\n\tmovq\t40(%rsp), %rax", "may be secret"),
        ("\tcmpq\t$0, (%rdx)", "may be secret"),
        ("\tvpgatherqq\t%ymm1, (%rax,%ymm0), %ymm2", "by its operands"),
        ("\tvdivpd\t%ymm0, %ymm1, %ymm2", "by its operands"),
        ("\tvaddpd\t%ymm0, %ymm1, %ymm2\n\tjne\t.LBB0_1", "no comparison"),
    ],
)
def test_what_may_not_be_there_is_found(line, what):
    said = complaints(f"multiply:\n{line}\n\tretq\n")
    assert said
    assert what in said[0]
