"""Messages become bytes and come back; hostile bytes end in WireError and in nothing else."""

import ast
import random
import struct
import tracemalloc
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from parties.checkpoints.start_messages import StateKept
from parties.network import codec
from vsplit.protocol import Array, Message

DTYPES = ("uint8", "uint32", "int32", "uint64", "int64", "float32", "float64")
ROOT = Path(__file__).parents[3]


def box_of(dtype: str, sides: int) -> type[Message]:
    class Box(Message, frozen=True, kw_only=True, eq=False):
        reveals: ClassVar[str] = "the test's own numbers"

        step: int
        data: Annotated[npt.NDArray[Any], Array(dtype, (None,) * sides)]

    return Box


BOXES = {(dtype, sides): box_of(dtype, sides) for dtype in DTYPES for sides in range(5)}


class Pair(Message, frozen=True, kw_only=True, eq=False):
    reveals: ClassVar[str] = "the test's own numbers"

    step: int
    name: str
    keys: dict[str, bytes]
    left: Annotated[npt.NDArray[np.float32], Array("float32", (None, 3))]
    right: Annotated[npt.NDArray[np.uint8], Array("uint8", (None,))]

    def check(self) -> None:
        if self.step < 0:
            raise ValueError("a step is not negative")


def pair(rows: int = 5) -> Pair:
    left = np.arange(3 * rows, dtype=np.float32).reshape(rows, 3)
    return Pair(step=7, name="x", keys={"a": b"1"}, left=left, right=np.arange(70, dtype=np.uint8))


def joined(parts: list[memoryview]) -> npt.NDArray[np.uint8]:
    return received(b"".join(parts))


def received(raw: bytes) -> npt.NDArray[np.uint8]:
    data = codec.buffer(len(raw))
    data[:] = np.frombuffer(raw, np.uint8)
    return data


def with_head(head: bytes, rest: bytes = b"") -> npt.NDArray[np.uint8]:
    return received(struct.pack("<I", len(head)) + head + rest)


@st.composite
def boxes(draw: st.DrawFn) -> Message:
    dtype, sides = draw(st.sampled_from(sorted(BOXES)))
    shape = tuple(draw(st.lists(st.integers(0, 9), min_size=sides, max_size=sides)))
    finite = {"allow_nan": False, "allow_infinity": False} if dtype.startswith("float") else {}
    data = draw(arrays.arrays(dtype, shape, elements=finite or None))
    if sides > 1 and draw(st.booleans()):
        data = data.T  # not C-contiguous
    return BOXES[dtype, sides](step=draw(st.integers(-(2**63), 2**63 - 1)), data=data)


@given(boxes())
@settings(max_examples=300)
def test_every_dtype_and_shape_comes_back_equal_aligned_and_writable(message: Any) -> None:
    parts = codec.encode(message)
    data = joined(parts)
    assert codec.size_of(parts) == len(data)
    back: Any = codec.decode(data, type(message))
    assert back.step == message.step
    assert back.data.dtype == message.data.dtype
    assert back.data.shape == message.data.shape
    assert np.array_equal(back.data, message.data)
    assert back.data.flags.writeable
    assert back.data.flags.c_contiguous
    if back.data.size:
        assert back.data.ctypes.data % codec.ALIGNMENT == 0
        assert np.shares_memory(back.data, data)  # one copy, made by the transport, and no further


def test_several_arrays_and_plain_fields_come_back() -> None:
    message = pair()
    back = codec.decode(joined(codec.encode(message)), Pair)
    assert (back.step, back.name, back.keys) == (7, "x", {"a": b"1"})
    assert np.array_equal(back.left, message.left)
    assert np.array_equal(back.right, message.right)


def test_encoding_copies_no_large_array_and_joins_a_small_message() -> None:
    small, large = pair(), pair(1 << 17)
    (whole,) = codec.encode(small)
    assert isinstance(whole.obj, bytes)  # of its own, so that it stays as it is when the array changes
    assert any(np.shares_memory(np.frombuffer(part, np.uint8), large.left) for part in codec.encode(large) if part)


@pytest.mark.parametrize("value", [object(), np.float32, {"inner": len}])
def test_what_is_no_array_never_leaves(value: object) -> None:
    class Loose(Message, frozen=True, kw_only=True, eq=False):
        reveals: ClassVar[str] = "nothing"
        value: Any

    with pytest.raises(TypeError):
        codec.encode(Loose(value=value))


def refused(data: npt.NDArray[np.uint8], kind: type[Message] = Pair) -> str:
    with pytest.raises(codec.WireError) as caught:
        codec.decode(data, kind)
    return str(caught.value)


def attempt(data: npt.NDArray[np.uint8]) -> bool:
    """Whether `data` is a message; anything but a message and WireError fails the test."""
    try:
        codec.decode(data, Pair)
    except codec.WireError:
        return False
    return True


def test_every_truncation_and_every_extension_is_refused() -> None:
    raw = b"".join(codec.encode(pair()))
    for length in range(len(raw)):
        refused(received(raw[:length]))
    assert "too many" in refused(received(raw + b"\0"))
    assert "too many" in refused(received(raw + bytes(64)))


def test_thousands_of_mutations_end_in_a_message_or_a_wire_error_and_take_no_memory() -> None:
    raw = b"".join(codec.encode(pair()))
    head_end = 4 + struct.unpack_from("<I", raw)[0]
    dice = random.Random(20)
    tracemalloc.start()
    try:
        kept = 0
        for _ in range(6000):
            bad = bytearray(raw)
            for _ in range(dice.randint(1, 4)):
                place = dice.randrange(head_end if dice.random() < 0.9 else len(bad))
                bad[place] = dice.randrange(256)
            kept += attempt(received(bytes(bad)))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert kept < 6000


@given(st.binary(max_size=400))
@settings(max_examples=500)
def test_random_bytes_are_refused(raw: bytes) -> None:
    assert not attempt(received(raw))
    assert not attempt(with_head(raw))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
described = anything | st.tuples(
    st.sampled_from(["<f4", "|u1", "|O8", "<U4", "|V8", ">f4"]) | anything,
    st.lists(st.integers(-1, 2**40) | anything, max_size=6),
)


@given(left=described, right=described, step=anything, name=anything, keys=anything)
@settings(max_examples=150)
def test_well_formed_heads_with_wrong_contents_are_refused(**fields: object) -> None:
    attempt(with_head(msgspec.msgpack.encode(("Pair", fields)), bytes(300)))
    attempt(with_head(msgspec.msgpack.encode(("Pair", {**fields, "step": 1, "name": "", "keys": {}})), bytes(300)))


@pytest.mark.parametrize("before", [b"\x92\xa4Pair", b"\x92\xa4Pair\x81\xa4left", b"\x92\xa4Pair\x81\xa4step", b""])
def test_a_head_that_is_nested_deeply_is_refused(before: bytes) -> None:
    refused(with_head(before + b"\x91" * 500_000 + b"\x01"))


HUGE = {
    "a list of 2^32 elements": b"\x92\xa4Pair\x81\xa4left\xdd\xff\xff\xff\xff",
    "a map of 2^32 keys": b"\x92\xa4Pair\xdf\xff\xff\xff\xff",
    "a text of 2^32 bytes": b"\x92\xdb\xff\xff\xff\xff",
    "an array of 2^39 bytes": b"\x92\xa4Pair\x81\xa4left\x92\xa3<f4\x91\xcf\0\0\0\x20\0\0\0\0",
    "an array of 2^160 bytes": b"\x92\xa4Pair\x81\xa4left\x92\xa3<f4\x94" + b"\xcf\0\0\0\xff\0\0\0\0" * 4,
    "an array of nothing times 2^39": b"\x92\xa4Pair\x81\xa5right\x92\xa3|u1\x94\0" + b"\xcf\0\0\0\x80\0\0\0\0" * 3,
}


@pytest.mark.parametrize("head", HUGE.values(), ids=HUGE.keys())
def test_no_memory_is_taken_for_a_size_that_is_only_claimed(head: bytes) -> None:
    data = with_head(head, bytes(64))
    tracemalloc.start()
    try:
        refused(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_head_longer_than_the_message_is_refused() -> None:
    assert "longer than the message" in refused(received(struct.pack("<I", 2**32 - 1) + bytes(100)))


def test_another_kind_is_named_and_an_unreadable_name_is_not_repeated() -> None:
    other = box_of("uint8", 1)(step=1, data=np.zeros(1, np.uint8))
    assert "Box where Pair was due" in refused(joined(codec.encode(other)))
    for name in ("<script>", "a b", "x" * 41, "", "\x1b[31m"):
        assert "(unreadable) where Pair was due" in refused(with_head(msgspec.msgpack.encode((name, {}))))


def test_the_rules_of_a_message_are_checked_again_when_it_comes() -> None:
    raw = bytearray(b"".join(codec.encode(pair())))
    place = raw.index(b"\xa4step\x07") + 5
    raw[place] = 0xFF  # -1
    assert "a step is not negative" in refused(received(bytes(raw)))


def test_a_number_that_is_not_finite_is_refused_when_it_comes() -> None:
    raw = bytearray(b"".join(codec.encode(pair())))
    place = raw.index(np.arange(15, dtype=np.float32).tobytes())
    raw[place : place + 4] = np.float32("nan").tobytes()
    assert "not a finite number" in refused(received(bytes(raw)))


@pytest.mark.parametrize("name", ["|O", "|O8", "<U4", "|S4", "|V8", ">f4", "<f2", "<c8", "|b1", "<M8[s]", "f4,f4", ""])
def test_dtypes_that_hold_objects_or_text_never_cross(name: str) -> None:
    fields = {"step": 1, "name": "", "keys": {}, "left": (name, (1, 3)), "right": ("|u1", (0,))}
    assert "a dtype that is not allowed" in refused(with_head(msgspec.msgpack.encode(("Pair", fields)), bytes(300)))


@pytest.mark.parametrize(
    "folder", ["vsplit", "psi", "parties/network", "parties/network/driver.py", "parties/run/handshake.py"]
)
def test_no_source_loads_code_from_bytes(folder: str) -> None:
    top = ROOT / folder
    files = [top] if top.is_file() else sorted(top.rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            assert not forbidden(node), f"{file}:{getattr(node, 'lineno', 0)}"


def forbidden(node: ast.AST) -> bool:
    modules = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
    match node:
        case ast.Import(names):
            return any(alias.name.split(".")[0] in modules for alias in names)
        case ast.ImportFrom(module=module):
            return (module or "").split(".")[0] in modules
        case ast.Call(func=ast.Name(name)):
            return name in {"eval", "exec", "compile", "__import__"}
        case ast.Call(func=ast.Attribute(value=ast.Name(owner), attr=name)):
            return (owner, name) in {("yaml", "load"), ("yaml", "unsafe_load"), ("torch", "load"), ("np", "load")}
        case ast.keyword(arg="allow_pickle", value=ast.Constant(True)):
            return True
    return False


@pytest.mark.parametrize(
    "line", ["import pickle", "from marshal import loads", "eval('1')", "yaml.load(x)", "torch.load(x)"]
)
def test_the_search_for_such_code_finds_it(line: str) -> None:
    assert any(forbidden(node) for node in ast.walk(ast.parse(line)))


def test_a_field_that_nobody_knows_is_refused() -> None:
    class Short(Message, frozen=True, kw_only=True, eq=False):
        reveals: ClassVar[str] = "nothing"

        number: int

    class Long(Message, frozen=True, kw_only=True, eq=False):
        reveals: ClassVar[str] = "nothing"

        number: int
        smuggled: str

    Long.__name__ = "Short"
    parts = codec.encode(Long(number=1, smuggled="text"))
    data = codec.buffer(codec.size_of(parts))
    data[:] = np.frombuffer(b"".join(parts), np.uint8)
    with pytest.raises(codec.WireError, match="an unknown field") as caught:
        codec.decode(data, Short)
    assert "smuggled" not in str(caught.value)


def test_what_a_peer_wrote_is_not_repeated() -> None:
    """Neither the word of an enum, which may be long and hold control characters, nor a kind that only looks like a name."""
    kept = codec.encode(StateKept(what="final"))
    data = b"".join(kept).replace(b"\xa5final", b"\xa5\x1b[2J!")
    with pytest.raises(codec.WireError, match="an unknown value") as caught:
        codec.decode(received(data), StateKept)
    assert "\x1b" not in str(caught.value)
    data = b"".join(kept).replace(b"\xa9StateKept", b"\xa9State\xc3\xa9pt")
    with pytest.raises(codec.WireError, match="unreadable"):
        codec.decode(received(data), StateKept)
