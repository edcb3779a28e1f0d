"""Typed messages: records that are checked when they are built and again when they are decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
import numpy.typing as npt

HEAD = 1024
"""Bytes into which the head and the padding of any message fit, besides its arrays."""

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Array:
    """The contract of an array field: its dtype, its shape (None: any length), and finite floats.

    Written as an annotation: `values: Annotated[npt.NDArray[np.float32], Array("float32", (None, None))]`.
    """

    dtype: str
    shape: tuple[int | None, ...]

    def check(self, name: str, value: object) -> None:
        """Raise TypeError or ValueError unless `value` fulfils the contract."""
        if not isinstance(value, np.ndarray):
            raise TypeError(f"{name} is not an array")
        if value.dtype != np.dtype(self.dtype):
            raise ValueError(f"{name} has dtype {value.dtype}, not {self.dtype}")
        if value.ndim != len(self.shape) or any(
            want not in (None, got) for want, got in zip(self.shape, value.shape, strict=True)
        ):
            raise ValueError(f"{name} has shape {value.shape}, not {self.shape}")
        if value.dtype.kind == "f" and not all_finite(value):
            raise ValueError(f"{name} holds a value that is not a finite number")


def all_finite(values: np.ndarray[Any, Any]) -> bool:
    """Whether all floats are finite numbers.

    The sum of their squares is finite only then, and takes half the time of examining each. Large numbers make it overflow;
    only then is each examined.
    """
    return math.isfinite(np.vdot(values, values)) or bool(np.isfinite(values).all())


@cache
def array_fields(kind: type[Message]) -> dict[str, Array]:
    """The array fields of a message type, by name."""
    found: dict[str, Array] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if get_origin(hint) is Annotated:
            found.update((name, extra) for extra in get_args(hint)[1:] if isinstance(extra, Array))
    return found


class Message(msgspec.Struct, frozen=True, kw_only=True, eq=False, forbid_unknown_fields=True):
    """A frozen typed record that crosses between parties: checked when it is built and again when it is decoded.

    `reveals` of a subclass states what its receiver learns from it, in words for a data-protection officer; the command
    `vsplit check` prints it. `repr` shows shapes and never contents. The arrays of a message that was sent or received must not
    be written to: its bytes may still be waiting to be sent or recorded.
    """

    reveals: ClassVar[str]

    def __post_init__(self) -> None:
        for name, contract in array_fields(type(self)).items():
            contract.check(name, getattr(self, name))
        self.check()

    def check(self) -> None:
        """Further rules of one message type: raise ValueError where a field breaks one."""

    def __repr__(self) -> str:
        arrays = array_fields(type(self))
        shapes = ", ".join(f"{name}: {spec.dtype}{getattr(self, name).shape}" for name, spec in arrays.items())
        return f"<{type(self).__name__} {shapes}>"
