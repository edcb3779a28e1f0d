"""Runs any role over any transport.

Every message that a party sends or receives passes `drive`: here it is encoded and decoded, and here it is counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from parties.network import wire
from parties.network.transport import Transport
from parties.pool import Pool
from vsplit.protocol import Collect, Effect, LocalError, Note, ProtocolError, Receive, Role, Send, Work

R = TypeVar("R")
OUT_OF_MEMORY = (
    "The memory of this machine does not suffice for what the job asks of it: bring fewer records, or more memory."
)
Direction = Literal["sent", "received"]


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


def drive(
    role: Role[R],
    transport: Transport,
    pool: Pool,
    *,
    traffic: Traffic | None = None,
    note: Callable[[Note], None] = lambda _note: None,
) -> R:
    """Run `role` to its end and return its result.

    What an effect raises is raised inside the role, at its yield, so that the role can say whose fault it was.
    """
    traffic = Traffic() if traffic is None else traffic
    try:
        effect = next(role)
        while True:
            try:
                answer = _perform(effect, transport, pool, traffic, note)
            except MemoryError:
                effect = role.throw(LocalError(OUT_OF_MEMORY))
            except Exception as error:  # handed to the role, which raises it on unless it can say more
                effect = role.throw(error)
            else:
                effect = role.send(answer)
    except StopIteration as end:
        result: R = end.value
        return result
    except MemoryError:  # in the role itself, which makes room for a list of the size that a peer announced
        raise LocalError(OUT_OF_MEMORY) from None
    finally:
        role.close()


def _perform(
    effect: Effect, transport: Transport, pool: Pool, traffic: Traffic, note: Callable[[Note], None]
) -> object:
    match effect:
        case Send(to, message):
            parts = wire.encode(message)
            transport.send(to, parts)
            traffic.record("sent", to, type(message).__name__, wire.size_of(parts))
        case Receive():
            return _receive(effect, transport, traffic)
        case Work(function, pieces, later):
            return pool.start(function, pieces) if later else pool.run(function, pieces)
        case Collect(ticket):
            return pool.collect(ticket)
        case Note():
            note(effect)
    return None


def _receive(effect: Receive[Any], transport: Transport, traffic: Traffic) -> object:
    data = transport.receive(effect.sender, effect.limit)
    try:
        message = wire.decode(data, effect.kind)
    except wire.WireError as error:
        raise ProtocolError(
            effect.sender,
            f"{effect.sender} sent {error}; its program is another version or does not follow the protocol.",
        ) from None
    traffic.record("received", effect.sender, effect.kind.__name__, len(data))
    return message
