"""Mutated messages against the decoder and against every role in every state: what became of them.

A state is a place in a role's code where it waits. It is reached by running the role anew on what was recorded.
"""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Generator, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from benchmarks.faults_parts.mutate import mutated, received
from benchmarks.faults_parts.scenes import LABEL, Arrival, Recording, Scene, at_home
from parties.network import codec
from vsplit.protocol import Collect, Message, ProtocolError, Receive, RemoteError, Role, Send, VsplitError, Work

PATIENCE = 10.0
"""Seconds in which a role has dealt with a message, however slow the machine."""


class Hang(BaseException):
    """A role did not come back. It is no error of this program's, which nothing there may catch."""


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


@dataclass(slots=True)
class State:
    """A place in a role's code in which it waits for a message. `at` are the messages of the recording that come there.

    `before` holds, for each of them, what the role's own party answered it until then.
    """

    scene: Scene
    party: str
    at: list[int] = field(default_factory=list)
    before: list[list[Any]] = field(default_factory=list)


def states_of(scene: Scene, recording: Recording) -> list[State]:
    """All states of all roles of a scene. Two feature parties that wait at the same place are in the same one."""
    found: dict[object, State] = {}
    for party, begin in scene.parties.items():
        role, arrivals = begin(), recording.arrivals[party]
        come, answers, answer = iter(enumerate(arrivals)), list[Any](), None
        try:
            while True:
                effect = role.send(answer)
                answer = None
                if isinstance(effect, Receive):
                    at, arrival = next(come)
                    state = found.setdefault((party == LABEL, _place(role)), State(scene, party))
                    if state.party == party:
                        state.at.append(at)
                        state.before.append(list(answers))
                    answer = codec.decode(received(arrival.data), arrival.kind)
                elif not isinstance(effect, Send):
                    answer = at_home(effect)
                    answers.append(deepcopy(answer) if isinstance(effect, Collect) or _now(effect) else None)
        except StopIteration:
            continue
    return list(found.values())


def _place(role: Any) -> tuple[tuple[str, int], ...]:
    """Where a role stands: the function and line of it, and of each role that it goes on in."""
    places = []
    while isinstance(role, Generator):
        places.append((role.gi_code.co_qualname, role.gi_frame.f_lineno))
        role = role.gi_yieldfrom
    return tuple(places)


def _now(effect: Any) -> bool:
    return isinstance(effect, Work) and not effect.later


def attack_decoder(samples: Sequence[Arrival], count: int, seed: int) -> Outcome:
    """`count` mutations of recorded messages to the decoder, which may raise WireError and nothing else."""
    found, rng = Outcome(), random.Random(seed)
    kinds = sorted({sample.kind for sample in samples}, key=lambda kind: kind.__name__)
    with _bell():
        for number in range(count):
            sample = rng.choice(samples)
            kind: type[Message] = sample.kind if rng.random() < 0.95 else rng.choice(kinds)
            data = mutated(rng, sample.data, sample.kind)
            found.tried += 1
            where = f"decoder, seed {seed}, number {number}, {kind.__name__}"
            try:
                _wind()
                codec.decode(received(data), kind)
                found.taken += 1
            except codec.WireError:
                found.named += 1
            except Hang:
                found.hangs.append(where)
            except Exception as error:  # what is counted here
                found.unnamed.append(f"{where}: {type(error).__name__}: {error}")
    return found


def attack_state(state: State, recording: Recording, count: int, seed: int) -> Outcome:
    """`count` mutations against one role in one state.

    A message that the decoder refuses reaches no role, which gets the transport's error instead, the same one each time.
    So the role is run only for the first of them.
    """
    found, scene, party = Outcome(), state.scene, state.party
    rng, arrivals = random.Random(f"{seed} {scene.name} {party} {state.at[0]}"), recording.arrivals[party]
    refused = False
    with _bell():
        for number in range(count):
            which = number % len(state.at)
            at = state.at[which]
            arrival = arrivals[at]
            where = f"{scene.name}, {party}, message {at}, seed {seed}, number {number}"
            bad = mutated(rng, arrival.data, arrival.kind)
            found.tried += 1
            _wind()
            try:
                _received(Receive(arrival.sender, arrival.kind, arrival.limit), bad)
            except ProtocolError:
                if refused:
                    found.named += 1
                    continue
                refused = True
            except Hang:
                found.hangs.append(where)
                continue
            except Exception as error:  # what is counted here
                found.unnamed.append(f"{where}: {type(error).__name__}: {error}")
                continue
            _attack(scene.parties[party](), arrivals, at, bad, state.before[which], where, found)
    return found


def _attack(
    role: Role[Any], arrivals: Sequence[Arrival], at: int, bad: bytes, before: Sequence[Any], where: str, found: Outcome
) -> None:
    sender = arrivals[at].sender
    try:
        _wind()
        _play(role, arrivals, at, bad, before)
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


def _play(role: Role[Any], arrivals: Sequence[Arrival], at: int, bad: bytes, before: Sequence[Any]) -> None:
    """Run a role on what was recorded, but for message `at`, to its end, an error, or the end of the recording.

    What its own party answered before is `before`, so that only what comes after the message is computed.
    """
    come, known = iter(enumerate(arrivals)), iter(before)
    answer: Any = None
    number = -1
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
                answer = _known(effect, next(known)) if number < at else at_home(effect)


def _known(effect: Any, answer: Any) -> Any:
    return effect if isinstance(effect, Work) and effect.later else deepcopy(answer)


def _received(effect: Receive[Any], data: bytes) -> Message:
    """As the driver and the transport answer a receive."""
    if len(data) > effect.limit:
        raise ProtocolError(effect.sender, f"{effect.sender} sent a message that is too long.")
    try:
        message: Message = codec.decode(received(data), effect.kind)
    except codec.WireError as error:
        raise ProtocolError(effect.sender, f"{effect.sender} sent {error}.") from None
    return message


@contextlib.contextmanager
def _bell() -> Iterator[None]:
    """Inside, a Hang is raised when PATIENCE is over since the last `_wind`."""

    def ring(_number: int, _frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _wind() -> None:
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
