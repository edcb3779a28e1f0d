"""A network of parties in one process, for tests and experiments: on deadlock it raises an error instead of hanging.

It moves the same bytes as the TLS transport and gives the same guarantees; every party runs in a thread of its own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from parties.network import codec
from parties.network.stop_reasons import stop_sentence
from parties.network.transport import QUEUE, Transport, checked_length
from vsplit.protocol import Bytes, Deadlock, PeerLost, ProtocolError, StoppedError, VsplitError


class MemoryNetwork:
    """Queues between every two of `names`; `endpoint(name)` is the transport of one party.

    `queue` bounds the bytes that wait between two parties. When all remaining parties wait, none can ever continue, and every
    wait raises Deadlock.
    """

    def __init__(self, names: Sequence[str], queue: int = QUEUE) -> None:
        self.changed = threading.Condition()
        self.queue = queue
        self.queues: dict[tuple[str, str], deque[Bytes]] = {(a, b): deque() for a in names for b in names if a != b}
        self.waiting: dict[str, str] = {}
        self.present = set(names)
        self.ends: dict[
            str, VsplitError | None
        ] = {}  # the parties that left, with the error for the others (None: done)

    def endpoint(self, name: str) -> Transport:
        """The transport of the party `name`."""
        return _Endpoint(self, name)

    def leave(self, name: str, error: VsplitError | None) -> None:
        """`name` leaves: done (None), or with `error` for all other parties."""
        with self.changed:
            self.present.discard(name)
            self.ends.setdefault(name, error)
            self.wake()

    def wake(self) -> None:
        """Something has changed, so all waiting parties look again. Called with the lock held."""
        self.waiting.clear()
        self.changed.notify_all()

    def kill(self, name: str) -> None:
        """`name` leaves without any notice, as a process that was killed."""
        self.leave(name, PeerLost(name, f"The link to {name} is gone."))


class _Endpoint:
    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self._network = network
        self._name = name

    def send(self, to: str, parts: Sequence[memoryview]) -> None:
        data = codec.buffer(codec.size_of(list(parts)))
        at = 0
        for part in parts:
            data[at : at + len(part)] = part
            at += len(part)
        network = self._network
        queue = network.queues[self._name, to]
        with network.changed:
            self._wait(lambda: sum(map(len, queue)) < network.queue, f"room to send to {to}", to)
            self._raise_ends()
            queue.append(data)
            network.wake()

    def receive(self, sender: str, limit: int) -> Bytes:
        network = self._network
        queue = network.queues[sender, self._name]
        with network.changed:
            # Messages that have come already are returned first, even when a party has stopped since.
            self._wait(lambda: bool(queue), f"a message from {sender}", sender)
            data = queue.popleft()
            network.wake()
        return checked_length(sender, data, limit)

    def finish(self) -> list[VsplitError]:
        self._network.leave(self._name, None)
        return []

    def stop(self, reason: str) -> None:
        self._network.leave(self._name, StoppedError(self._name, stop_sentence(self._name, reason)))

    def _wait(self, ready: Callable[[], bool], what: str, peer: str) -> None:
        network = self._network
        while not ready():
            self._raise_ends()
            if peer in network.ends:
                raise ProtocolError(peer, f"{peer} ended the session before this party had all that it needs.")
            network.waiting[self._name] = what
            if set(network.waiting) >= network.present:
                waits = "; ".join(f"{name} waits for {thing}" for name, thing in sorted(network.waiting.items()))
                for name in network.present:
                    network.ends[name] = Deadlock(name, f"No party can continue: {waits}.")
                network.changed.notify_all()
                raise network.ends[self._name] or Deadlock(peer, waits)
            network.changed.wait()

    def _raise_ends(self) -> None:
        for name, error in self._network.ends.items():
            if error is not None and name != self._name:
                raise error
