"""Runs any role over any transport.

Every message that a party sends or receives passes `drive`: here it is encoded and decoded, here it is counted, and here
it goes on the record.
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
    "The memory of this machine does not suffice for what the job asks of it: bring fewer records, or more memory."
)
Direction = Literal["sent", "received"]
Cause = Literal["send", "receive", "pool"]
"""What a role waits for: room in the queue to a party, a message of a party, or the results of its work."""
Waited = Callable[[Cause, str, float], None]
"""Is told of each wait: its cause, the other party ("" for the pool) and how long it took, in seconds."""

UNREADABLE = "unreadable"
"""The kind under which bytes go on the record that are no message of the awaited kind."""


class Recorder(Protocol):
    """Keeps a record of every message, such as `parties.ledger.ledger.Ledger`. What it raises ends the session."""

    def sent(self, to: str, kind: str, parts: Sequence[memoryview]) -> None:
        """This message, the wire bytes in `parts`, is about to leave. It leaves only once this has returned."""

    def received(self, sender: str, kind: str, data: Bytes) -> None:
        """This message, the wire bytes in `data`, has come. When the role gets it, see `Receive`."""


class Unrecorded:
    """For a role whose messages never leave this process, and for trying roles out."""

    def sent(self, to: str, kind: str, parts: Sequence[memoryview]) -> None:
        """Nothing is kept."""

    def received(self, sender: str, kind: str, data: Bytes) -> None:
        """Nothing is kept."""


@dataclass(slots=True)
class Count:
    """Messages and bytes of one kind, in one direction, with one other party."""

    messages: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Traffic:
    """What left and what came, by (direction "sent" or "received", other party, kind of message)."""

    counts: dict[tuple[Direction, str, str], Count] = field(default_factory=lambda: defaultdict(Count))

    def record(self, direction: Direction, peer: str, kind: str, size: int) -> None:
        """One message of `size` bytes crossed."""
        count = self.counts[direction, peer, kind]
        count.messages += 1
        count.bytes += size


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A message that came and is not on record yet."""

    sender: str
    kind: str
    data: Bytes


@dataclass(slots=True)
class _Hands:
    """All by which the effects of one role are done."""

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

    What an effect raises is raised inside the role, at its yield, so that the role can say whose fault it was. `ledger`
    has each message before it leaves, and what came before the role has it or, where the role wants that, once its answer has
    left; `checkpoint` returns when the state is kept.
    """
    traffic = Traffic() if traffic is None else traffic
    hands = _Hands(transport, pool, traffic, ledger or Unrecorded(), note, checkpoint, waited)
    try:
        return _run(role, hands)
    except MemoryError:  # in the role itself, which makes room for a list of the size that a peer announced
        raise LocalError(OUT_OF_MEMORY) from None


def _run(role: Role[R], hands: _Hands) -> R:
    try:
        effect = next(role)
        while True:
            try:
                answer = _perform(effect, hands)
            except MemoryError:
                effect = role.throw(LocalError(OUT_OF_MEMORY))
            except Exception as error:  # handed to the role, which raises it on unless it can say more
                effect = role.throw(error)
            else:
                effect = role.send(answer)
    except StopIteration as end:
        result: R = end.value
        return result
    finally:
        try:
            _record_arrived(hands)
        finally:
            role.close()


def _perform(effect: Effect, hands: _Hands) -> object:
    if isinstance(effect, Send):
        _send(effect, hands)
    _record_arrived(hands)
    match effect:
        case Receive():
            return _receive(effect, hands)
        case Work(function, pieces, later):
            if later:
                return hands.pool.start(function, pieces)
            return _timed(hands, "pool", "", lambda: hands.pool.run(function, pieces))
        case Collect(ticket):
            return _timed(hands, "pool", "", lambda: hands.pool.collect(ticket))
        case Note():
            hands.note(effect)
        case Checkpoint():
            hands.checkpoint(effect)
    return None


def _send(effect: Send, hands: _Hands) -> None:
    parts, kind = codec.encode(effect.message), type(effect.message).__name__
    hands.ledger.sent(effect.to, kind, parts)
    _timed(hands, "send", effect.to, lambda: hands.transport.send(effect.to, parts))
    hands.traffic.record("sent", effect.to, kind, codec.size_of(parts))


def _receive(effect: Receive[Any], hands: _Hands) -> object:
    sender, kind = effect.sender, effect.kind.__name__
    data = _timed(hands, "receive", sender, lambda: hands.transport.receive(sender, effect.limit))
    try:
        message = codec.decode(data, effect.kind)
    except codec.WireError as error:
        hands.ledger.received(sender, UNREADABLE, data)
        raise ProtocolError(
            sender, f"{sender} sent {error}; its program is another version or does not follow the protocol."
        ) from None
    hands.arrived = _Arrived(sender, kind, data)
    if not effect.answer_first:
        _record_arrived(hands)
    hands.traffic.record("received", sender, kind, len(data))
    return message


def _record_arrived(hands: _Hands) -> None:
    arrived, hands.arrived = hands.arrived, None
    if arrived is not None:
        hands.ledger.received(arrived.sender, arrived.kind, arrived.data)


def _timed(hands: _Hands, cause: Cause, peer: str, act: Callable[[], R]) -> R:
    if hands.waited is None:
        return act()
    began = time.perf_counter()
    try:
        return act()
    finally:
        hands.waited(cause, peer, time.perf_counter() - began)
