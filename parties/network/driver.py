"""Runs any role over any transport.

Every message that a party sends or receives passes through `drive`, which encodes, decodes, counts and records it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from parties.network import codec
from parties.network.transport import Transport
from parties.network.worker_pool import Pool
from vsplit.protocol import (
    Bytes,
    Checkpoint,
    Collect,
    Effect,
    LocalError,
    Note,
    ProtocolError,
    Receive,
    Role,
    Send,
    Work,
)

R = TypeVar("R")
OUT_OF_MEMORY = (
    "This machine has not enough memory for what the job asks of it: use fewer records, or a machine with more memory."
)
Direction = Literal["sent", "received"]
Cause = Literal["send", "receive", "pool"]
"""What a role waits for: room in the queue to a party, a message of a party, or the results of its work."""
Waited = Callable[[Cause, str, float], None]
"""Called after each wait with its cause, the other party ("" for the pool) and its length in seconds."""

UNREADABLE = "unreadable"
"""The kind under which bytes are recorded that are not a message of the kind that is due."""


class Recorder(Protocol):
    """Records every message, such as `parties.ledger.ledger.Ledger`. An error that it raises ends the session."""

    def sent(self, to: str, kind: str, parts: Sequence[memoryview]) -> None:
        """Record a message, the bytes in `parts`, that is about to be sent. It is sent once this has returned."""

    def received(self, sender: str, kind: str, data: Bytes) -> None:
        """Record a message, the bytes in `data`, that has come. See `Receive` for when the role gets it."""


class Unrecorded:
    """For a role whose messages never leave this process, and for experiments."""

    def sent(self, to: str, kind: str, parts: Sequence[memoryview]) -> None:
        """Record nothing."""

    def received(self, sender: str, kind: str, data: Bytes) -> None:
        """Record nothing."""


@dataclass(slots=True)
class Count:
    """Messages and bytes of one kind, in one direction, with one other party."""

    messages: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Traffic:
    """Messages sent and received, by (direction "sent" or "received", other party, kind of message)."""

    counts: dict[tuple[Direction, str, str], Count] = field(default_factory=lambda: defaultdict(Count))

    def record(self, direction: Direction, peer: str, kind: str, size: int) -> None:
        """Count one message of `size` bytes."""
        count = self.counts[direction, peer, kind]
        count.messages += 1
        count.bytes += size


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A message that has come and is not recorded yet."""

    sender: str
    kind: str
    data: Bytes


@dataclass(slots=True)
class _Environment:
    """All that the effects of one role need."""

    transport: Transport
    pool: Pool
    traffic: Traffic
    ledger: Recorder
    note: Callable[[Note], None]
    checkpoint: Callable[[Checkpoint], None]
    waited: Waited | None
    arrived: _Arrived | None = None


def drive(
    role: Role[R],
    transport: Transport,
    pool: Pool,
    *,
    traffic: Traffic | None = None,
    ledger: Recorder | None = None,
    note: Callable[[Note], None] = lambda _note: None,
    checkpoint: Callable[[Checkpoint], None] = lambda _checkpoint: None,
    waited: Waited | None = None,
) -> R:
    """Run `role` to its end and return its result.

    An exception of an effect is raised inside the role, at its yield, so that the role can say whose fault it was. `ledger`
    records each message before it is sent, and each message that came before the role gets it or, where the role asks for that,
    once its answer is sent; `checkpoint` returns when the state is stored.
    """
    traffic = Traffic() if traffic is None else traffic
    environment = _Environment(transport, pool, traffic, ledger or Unrecorded(), note, checkpoint, waited)
    try:
        return _run(role, environment)
    except MemoryError:  # in the role itself, which allocates a list of the size that a peer announced
        raise LocalError(OUT_OF_MEMORY) from None


def _run(role: Role[R], environment: _Environment) -> R:
    try:
        effect = next(role)
        while True:
            try:
                answer = _perform(effect, environment)
            except MemoryError:
                effect = role.throw(LocalError(OUT_OF_MEMORY))
            except Exception as error:  # passed to the role, which raises it again unless it can say more
                effect = role.throw(error)
            else:
                effect = role.send(answer)
    except StopIteration as end:
        result: R = end.value
        return result
    finally:
        try:
            _record_arrived(environment)
        finally:
            role.close()


def _perform(effect: Effect, environment: _Environment) -> object:
    if isinstance(effect, Send):
        _send(effect, environment)
    _record_arrived(environment)
    match effect:
        case Receive():
            return _receive(effect, environment)
        case Work(function, pieces, later):
            if later:
                return environment.pool.start(function, pieces)
            return _timed(environment, "pool", "", lambda: environment.pool.run(function, pieces))
        case Collect(ticket):
            return _timed(environment, "pool", "", lambda: environment.pool.collect(ticket))
        case Note():
            environment.note(effect)
        case Checkpoint():
            environment.checkpoint(effect)
    return None


def _send(effect: Send, environment: _Environment) -> None:
    parts, kind = codec.encode(effect.message), type(effect.message).__name__
    environment.ledger.sent(effect.to, kind, parts)
    _timed(environment, "send", effect.to, lambda: environment.transport.send(effect.to, parts))
    environment.traffic.record("sent", effect.to, kind, codec.size_of(parts))


def _receive(effect: Receive[Any], environment: _Environment) -> object:
    sender, kind = effect.sender, effect.kind.__name__
    data = _timed(environment, "receive", sender, lambda: environment.transport.receive(sender, effect.limit))
    try:
        message = codec.decode(data, effect.kind)
    except codec.WireError as error:
        environment.ledger.received(sender, UNREADABLE, data)
        raise ProtocolError(
            sender, f"{sender} sent {error}; its program is another version or does not follow the protocol."
        ) from None
    environment.arrived = _Arrived(sender, kind, data)
    if not effect.answer_first:
        _record_arrived(environment)
    environment.traffic.record("received", sender, kind, len(data))
    return message


def _record_arrived(environment: _Environment) -> None:
    arrived, environment.arrived = environment.arrived, None
    if arrived is not None:
        environment.ledger.received(arrived.sender, arrived.kind, arrived.data)


def _timed(environment: _Environment, cause: Cause, peer: str, act: Callable[[], R]) -> R:
    if environment.waited is None:
        return act()
    began = time.perf_counter()
    try:
        return act()
    finally:
        environment.waited(cause, peer, time.perf_counter() - began)
