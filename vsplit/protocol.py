"""What every role speaks: effects, typed messages, and errors that say whose fault it was.

A *role* is a generator that does no I/O. It yields effects and is handed their answers:

    Send      give this message to that party                                   -> None
    Receive   the next message of that party, which must be of this type        -> the message
    Work      run a pure function on each of these arguments, on the pool       -> the results, in order
    Collect   the results of a Work that was started earlier with later=True    -> the results, in order
    Note      tell the people at home how far things are; it never leaves       -> None
    Checkpoint  keep this state at home, so that a role can be made anew of it  -> None

So a role reads from top to bottom like its section in SPEC.md, runs in a test without a network, and cannot tell
over which transport it runs. `parties.network.driver` runs any role.

The errors:

    VsplitError
    ├── LocalError                our side
    │   ├── ConfigError             a config file, a command line or a key file is wrong
    │   │   └── StorageError            a file of this party cannot be written
    │   ├── DataError               the data at home cannot be used as it is
    │   └── RefusedError            the job asks more than this party's file allows
    ├── RemoteError               a named party's side
    │   ├── ProtocolError           it sent what the protocol does not allow
    │   ├── MismatchError           it runs another job, or another version
    │   └── StoppedError            it ended the session and said so
    └── TransportError            the way between
        ├── PeerAbsent              it never came
        ├── PeerLost                it was there, and the link is gone
        └── Deadlock                every role waits for another (in memory only)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Generic, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
import numpy.typing as npt

R = TypeVar("R")
M = TypeVar("M", bound="Message")

HEAD = 1024
"""Bytes that the head and the padding of any message fit into, besides its arrays."""

# --- errors -----------------------------------------------------------------------------------------------------------


class VsplitError(Exception):
    """Any failure that vsplit foresees. `str()` is one plain sentence for a person: what was found, where, whose
    side, what to do. It never holds a key, a value or a label of a record.

    `exit_code` is what the command ends with; `word` is all that other parties are told of it.
    """

    exit_code: ClassVar[int] = 1
    word: ClassVar[str] = "error"


class LocalError(VsplitError):
    """The fault is on this side."""


class ConfigError(LocalError):
    """A config file, a command line or a key file is wrong."""

    exit_code = 2
    word = "config"


class StorageError(ConfigError):
    """A file of this party cannot be written: the disk is full, or may not be written to."""

    word = "storage"


class DataError(LocalError):
    """This party's data cannot be used as it is."""

    exit_code = 3
    word = "data"


class RefusedError(LocalError):
    """The job asks more than this party's file allows."""

    exit_code = 4
    word = "refused"


class RemoteError(VsplitError):
    """The fault is on the side of `peer`, a party's name."""

    exit_code = 5
    word = "peer"

    def __init__(self, peer: str, sentence: str) -> None:
        super().__init__(sentence)
        self.peer = peer


class ProtocolError(RemoteError):
    """`peer` sent what the protocol does not allow."""

    word = "protocol"


class MismatchError(RemoteError):
    """`peer` runs another job or another version."""

    word = "mismatch"


class StoppedError(RemoteError):
    """`peer` ended the session and said so; `why` is its word for that, if it was its own and is known."""

    word = "stopped"

    def __init__(self, peer: str, sentence: str, why: str = "") -> None:
        super().__init__(peer, sentence)
        self.why = why


class TransportError(VsplitError):
    """The way between the parties failed; `peer` is the party at the other end."""

    exit_code = 6
    word = "link"

    def __init__(self, peer: str, sentence: str) -> None:
        super().__init__(sentence)
        self.peer = peer


class PeerAbsent(TransportError):  # noqa: N818 - a state of the world, named as a person would
    """`peer` never came within the wait."""


class PeerLost(TransportError):  # noqa: N818
    """`peer` was connected, and the link is gone or silent."""


class Deadlock(TransportError):  # noqa: N818
    """Every role waits for a message that none will send. Only the in-memory transport can know."""


# --- messages ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Array:
    """The contract of an array field: its dtype, its shape (None: any length), and that floats are finite.

    Written as an annotation: `values: Annotated[npt.NDArray[np.float32], Array("float32", (None, None))]`.
    """

    dtype: str
    shape: tuple[int | None, ...]

    def check(self, name: str, value: object) -> None:
        """Raise TypeError or ValueError unless `value` keeps the contract."""
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

    The sum of their squares is finite only then, and takes half the time of a look at each; large numbers make it
    overflow, and are looked at.
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

    A subclass says in `reveals` what its receiver learns from it, in words for a data-protection officer; the
    command `vsplit check` prints it. `repr` shows shapes and never contents. Nobody writes into the arrays of a message that
    was sent or has come: its bytes may still be on their way out, or to the record.
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


# --- effects ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Give `message` to the party named `to`."""

    to: str
    message: Message


@dataclass(frozen=True, slots=True)
class Receive(Generic[M]):
    """The next message of the party named `sender`: of type `kind`, at most `limit` bytes on the wire.

    It is on record before the role has it. With `answer_first` the role's next message, for which the others wait, may leave
    before that, but nothing else is done.
    """

    sender: str
    kind: type[M]
    limit: int
    answer_first: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """Run `function(*piece)` for each piece on the driver's pool.

    `function` is pure and importable by name, since the pool may live in other processes. With `later`, the answer
    is a ticket at once, and `Collect(ticket)` has the results; so a role prepares while it waits.
    """

    function: Callable[..., Any]
    pieces: Sequence[tuple[Any, ...]]
    later: bool = False


@dataclass(frozen=True, slots=True)
class Collect:
    """The results of an earlier `Work(..., later=True)`, whose answer was `ticket`."""

    ticket: object


@dataclass(frozen=True, slots=True)
class Note:
    """How far things are, for the people at home: `done` of `total` (0: unknown) in `stage`; `text` adds figures."""

    stage: str
    done: int
    total: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Keep `state`, in which `step` steps are done: a role made anew from it goes on here. It never leaves.

    The role goes on once the state is kept; what the state is made of is between the role and whoever runs it.
    """

    step: int
    state: object


Effect = Send | Receive[Any] | Work | Collect | Note | Checkpoint
Role = Generator[Effect, Any, R]


def send(to: str, message: Message) -> Role[None]:
    """`yield from send(...)`: a typed way to yield one Send."""
    yield Send(to, message)


def receive(sender: str, kind: type[M], limit: int, *, answer_first: bool = False) -> Role[M]:
    """`message = yield from receive(...)`: a typed way to yield one Receive. `limit` is in bytes."""
    answer: M = yield Receive(sender, kind, limit, answer_first)
    return answer


def work(function: Callable[..., R], pieces: Sequence[tuple[Any, ...]]) -> Role[list[R]]:
    """`results = yield from work(...)`: a typed way to yield one Work and wait for it."""
    answer: list[R] = yield Work(function, pieces)
    return answer


Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
