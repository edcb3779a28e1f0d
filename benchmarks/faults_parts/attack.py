"""Mutated messages against the decoder and against every role in every state: what became of them."""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.faults_parts.mutate import mutated, received
from benchmarks.faults_parts.scenes import Arrival, Recording, Scene, at_home
from parties.network import wire
from vsplit.protocol import Message, ProtocolError, Receive, RemoteError, Role, Send, VsplitError

PATIENCE = 10.0
"""Seconds in which a role has dealt with a message, however slow the machine."""


class Hang(Exception):  # noqa: N818 - a state, and no error of this program's
    """A role did not come back."""


@dataclass(slots=True)
class Outcome:
    """How many mutations were tried, and what became of them.

    `named`: an error of vsplit's own that names whoever sent the message; `at_home`: one that says that the fault is this
    party's; `taken`: the role went on to its end. `unnamed` are other exceptions, with how to see them again; `hangs` are
    roles that did not come back.
    """

    tried: int = 0
    named: int = 0
    at_home: int = 0
    taken: int = 0
    unnamed: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Count what another one has counted as well."""
        self.tried += other.tried
        self.named += other.named
        self.at_home += other.at_home
        self.taken += other.taken
        self.unnamed += other.unnamed
        self.hangs += other.hangs


def attack_decoder(samples: Sequence[Arrival], count: int, seed: int) -> Outcome:
    """`count` mutations of recorded messages to the decoder, which may raise WireError and nothing else."""
    found, rng = Outcome(), random.Random(seed)
    kinds = sorted({sample.kind for sample in samples}, key=lambda kind: kind.__name__)
    for number in range(count):
        sample = rng.choice(samples)
        kind: type[Message] = sample.kind if rng.random() < 0.95 else rng.choice(kinds)
        data = mutated(rng, sample.data, sample.kind)
        found.tried += 1
        where = f"decoder, seed {seed}, number {number}, {kind.__name__}"
        try:
            with _patience():
                wire.decode(received(data), kind)
            found.taken += 1
        except wire.WireError:
            found.named += 1
        except Hang:
            found.hangs.append(where)
        except Exception as error:  # what is counted here
            found.unnamed.append(f"{where}: {type(error).__name__}: {error}")
    return found


def attack_role(scene: Scene, party: str, recording: Recording, count: int, seed: int) -> Outcome:
    """`count` mutations against one role of a scene, spread over all of its receives."""
    found, rng, arrivals = Outcome(), random.Random(f"{seed} {scene.name} {party}"), recording.arrivals[party]
    for number in range(count):
        at = number % len(arrivals)
        where = f"{scene.name}, {party}, message {at}, seed {seed}, number {number}"
        bad = mutated(rng, arrivals[at].data, arrivals[at].kind)
        _attack(scene.parties[party](), arrivals, at, bad, where, found)
    return found


def _attack(role: Role[Any], arrivals: Sequence[Arrival], at: int, bad: bytes, where: str, found: Outcome) -> None:
    found.tried += 1
    sender = arrivals[at].sender
    try:
        with _patience():
            _play(role, arrivals, at, bad)
        found.taken += 1
    except RemoteError as error:
        # Where a later message no longer fits, its sender is named; after the last one there is nobody else to name. In a
        # relayed hop it is the relay that is named, or whoever sealed it, and never a party of another job.
        if error.peer == sender or at + 1 < len(arrivals) or error.peer not in {one.sender for one in arrivals}:
            found.named += 1
        else:
            found.unnamed.append(f"{where}: {error.peer} was named, and not {sender}: {error}")
    except VsplitError:
        found.at_home += 1
    except Hang:
        found.hangs.append(where)
    except Exception as error:  # what is counted here
        found.unnamed.append(f"{where}: {type(error).__name__}: {error}")
    finally:
        role.close()


def _play(role: Role[Any], arrivals: Sequence[Arrival], at: int, bad: bytes) -> None:
    """Run a role on what was recorded, but for message `at`, to its end, an error, or the end of the recording."""
    come = iter(enumerate(arrivals))
    answer: Any = None
    while True:
        try:
            effect = role.send(answer)
        except StopIteration:
            return
        answer = None
        while isinstance(effect, Receive):
            number, arrival = next(come, (-1, None))
            if arrival is None or effect.sender != arrival.sender:
                return  # the mutation led it on a way for which nothing was recorded
            data = bad if number == at else arrival.data
            try:
                answer = _received(effect, data)
                break
            except ProtocolError as error:
                effect = role.throw(error)
        else:
            if not isinstance(effect, Send):
                answer = at_home(effect)


def _received(effect: Receive[Any], data: bytes) -> Message:
    """As the driver and the transport answer a receive."""
    if len(data) > effect.limit:
        raise ProtocolError(effect.sender, f"{effect.sender} sent a message that is too long.")
    try:
        message: Message = wire.decode(received(data), effect.kind)
    except wire.WireError as error:
        raise ProtocolError(effect.sender, f"{effect.sender} sent {error}.") from None
    return message


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    def ring(_number: int, _frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
