"""Messages keep their contracts, show nothing of what they hold, and errors say whose fault it was."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vsplit.protocol import (
    Array,
    Collect,
    ConfigError,
    DataError,
    Deadlock,
    Floats,
    LocalError,
    Message,
    MismatchError,
    Note,
    PeerAbsent,
    PeerLost,
    ProtocolError,
    Receive,
    RefusedError,
    RemoteError,
    Send,
    StoppedError,
    StorageError,
    TransportError,
    VsplitError,
    Work,
    array_fields,
    errors,
    receive,
    send,
    work,
)


class Rows(Message, frozen=True, kw_only=True, eq=False):
    reveals: ClassVar[str] = "the test's own numbers"

    step: int
    values: Annotated[Floats, Array("float32", (None, 3))]

    def check(self) -> None:
        if self.step < 0:
            raise ValueError("a step is not negative")


def rows(values: Any, step: int = 1) -> Rows:
    return Rows(step=step, values=values)


GOOD = np.ones((2, 3), np.float32)


def test_an_array_that_keeps_its_contract_passes() -> None:
    for values in (GOOD, np.zeros((0, 3), np.float32), np.ones((3, 2), np.float32).T, GOOD[::-1]):
        assert rows(values).values is values
    assert array_fields(Rows) == {"values": Array("float32", (None, 3))}


def test_numbers_whose_squares_overflow_are_finite() -> None:
    for values in (GOOD * np.float32(3e38), -GOOD * np.float32(3e38), np.full((2, 3), 1e-45, np.float32)):
        assert rows(values).values is values
    huge = GOOD * np.float32(3e38)
    huge[1, 1] = np.nan
    with pytest.raises(ValueError, match="not a finite number"):
        rows(huge)


@pytest.mark.parametrize(
    ("values", "error", "sentence"),
    [
        ([[1.0, 2.0, 3.0]], TypeError, "values is not an array"),
        (None, TypeError, "values is not an array"),
        (GOOD.astype(np.float64), ValueError, "values has dtype float64, not float32"),
        (GOOD.astype(">f4"), ValueError, "values has dtype >f4, not float32"),
        (GOOD.astype(object), ValueError, "values has dtype object, not float32"),
        (np.ones(3, np.float32), ValueError, r"values has shape \(3,\), not \(None, 3\)"),
        (np.ones((2, 4), np.float32), ValueError, r"values has shape \(2, 4\), not \(None, 3\)"),
        (np.ones((2, 3, 1), np.float32), ValueError, "values has shape"),
        (np.ones((), np.float32), ValueError, "values has shape"),
        (GOOD * np.float32("nan"), ValueError, "values holds a value that is not a finite number"),
        (GOOD * np.float32("inf"), ValueError, "values holds a value that is not a finite number"),
        (GOOD * np.float32("-inf"), ValueError, "values holds a value that is not a finite number"),
    ],
)
def test_an_array_that_breaks_its_contract_makes_no_message(values: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        rows(values)


@given(
    arrays.arrays(
        st.sampled_from(["float32", "float64", "int64", "uint8"]), arrays.array_shapes(max_dims=3, max_side=4)
    )
)
def test_the_contract_of_an_array_takes_just_what_it_says(values: np.ndarray[Any, Any]) -> None:
    keeps = values.dtype == np.float32 and values.ndim == 2 and values.shape[1] == 3 and bool(np.isfinite(values).all())
    try:
        Array("float32", (None, 3)).check("values", values)
    except ValueError as error:
        assert not keeps
        assert str(error).startswith("values ")
    else:
        assert keeps


def test_the_rules_of_one_type_are_checked_at_birth() -> None:
    with pytest.raises(ValueError, match="a step is not negative"):
        rows(GOOD, step=-1)


def test_a_message_is_frozen_and_has_no_field_by_position() -> None:
    message = rows(GOOD)
    with pytest.raises(AttributeError):
        message.step = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Rows(1, GOOD)  # type: ignore[misc]


def test_a_repr_shows_shapes_and_never_contents() -> None:
    class Told(Message, frozen=True, kw_only=True, eq=False):
        reveals: ClassVar[str] = "nothing"

        name: str
        secrets: dict[str, bytes]
        values: Annotated[Floats, Array("float32", (None,))]

    message = Told(name="canary", secrets={"canary": b"canary"}, values=np.array([1234.5], np.float32))
    for text in (repr(message), str(message), f"{message}", repr(Send("lab", message)), repr([message])):
        assert "canary" not in text
        assert "1234" not in text
    assert repr(message) == "<Told values: float32(1,)>"


def test_every_message_of_the_project_says_what_it_reveals() -> None:
    import parties.run.handshake
    import psi.messages

    kinds = [kind for kind in Message.__subclasses__() if kind.__module__.split(".")[0] in {"psi", "vsplit", "parties"}]
    assert parties.run.handshake.Handshake in kinds
    assert psi.messages.ListSize in kinds
    for kind in kinds:
        assert kind.reveals.strip(), kind


TREE: dict[type[VsplitError], tuple[type[Exception], int, str]] = {
    VsplitError: (Exception, 1, "error"),
    LocalError: (VsplitError, 1, "error"),
    ConfigError: (LocalError, 2, "config"),
    StorageError: (ConfigError, 2, "storage"),
    DataError: (LocalError, 3, "data"),
    RefusedError: (LocalError, 4, "refused"),
    RemoteError: (VsplitError, 5, "peer"),
    ProtocolError: (RemoteError, 5, "protocol"),
    MismatchError: (RemoteError, 5, "mismatch"),
    StoppedError: (RemoteError, 5, "stopped"),
    TransportError: (VsplitError, 6, "link"),
    PeerAbsent: (TransportError, 6, "link"),
    PeerLost: (TransportError, 6, "link"),
    Deadlock: (TransportError, 6, "link"),
}


@pytest.mark.parametrize("kind", TREE)
def test_the_error_tree_is_as_it_is_drawn(kind: type[VsplitError]) -> None:
    parent, exit_code, word = TREE[kind]
    assert kind.__bases__ == (parent,)
    assert (kind.exit_code, kind.reason_code) == (exit_code, word)
    assert f"── {kind.__name__} " in str(errors.__doc__) or kind is VsplitError
    if issubclass(kind, RemoteError | TransportError):
        error = kind("lab", "lab is not there.")
        assert error.peer == "lab"
    else:
        error = kind("lab is not there.")
    assert str(error) == "lab is not there."


def test_no_error_is_missing_from_the_tree() -> None:
    found = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, VsplitError)}
    assert found == set(TREE)


def test_every_word_of_an_error_is_one_that_the_other_side_knows() -> None:
    from parties.network.frames import MOST_CONTROL
    from parties.network.stop_reasons import STOP_REASONS

    for kind in TREE:
        assert kind.reason_code in STOP_REASONS
    assert all(word.isascii() and len(word) <= MOST_CONTROL for word in STOP_REASONS)


def test_effects_are_frozen_records() -> None:
    message = rows(GOOD)
    effects = [Send("lab", message), Receive("lab", Rows, 10), Work(divmod, [(1, 2)]), Collect(1), Note("stage", 1, 2)]
    for effect in effects:
        name = dataclasses.fields(effect)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(effect, name, "other")


def test_the_typed_ways_to_yield_an_effect() -> None:
    message = rows(GOOD)
    sending = send("lab", message)
    assert next(sending) == Send("lab", message)
    receiving = receive("lab", Rows, 10)
    assert next(receiving) == Receive("lab", Rows, 10)
    with pytest.raises(StopIteration) as end:
        receiving.send(message)
    assert end.value.value is message
    working = work(divmod, [(7, 2)])
    assert next(working) == Work(divmod, [(7, 2)], later=False)
    with pytest.raises(StopIteration) as end:
        working.send([(3, 1)])
    assert end.value.value == [(3, 1)]


def test_an_error_of_a_worker_process_comes_back_whole() -> None:
    error = pickle.loads(pickle.dumps(DataError("the column age is empty.")))
    assert (type(error), str(error)) == (DataError, "the column age is empty.")
