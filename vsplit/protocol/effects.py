"""Effects: what a role yields instead of doing I/O, and typed ways to yield them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vsplit.protocol.messages import Message

R = TypeVar("R")
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Send:
    """Give `message` to the party named `to`."""

    to: str
    message: Message


@dataclass(frozen=True, slots=True)
class Receive(Generic[M]):
    """The next message of the party named `sender`: of type `kind`, at most `limit` bytes on the wire.

    It is recorded before the role gets it. With `answer_first` the role's next message, for which other parties wait, may be
    sent before that, but no other effect is carried out.
    """

    sender: str
    kind: type[M]
    limit: int
    answer_first: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """Run `function(*piece)` for each piece on the driver's pool.

    `function` is pure and importable by name, since the pool may consist of other processes. With `later`, the answer is a
    ticket at once, and `Collect(ticket)` returns the results, so that a role can prepare work while it waits.
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
    """Progress, for the operator of this party: `done` of `total` (0: unknown) in `stage`; `text` adds figures."""

    stage: str
    done: int
    total: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Store `state`, in which `step` steps are done, so that a role created from it resumes here. It never leaves this party.

    The role continues once the state is stored. The contents of the state are agreed between the role and its caller.
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
