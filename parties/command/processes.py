"""The processes of a launch: started together, listened to, and ended together."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from parties.command.interrupts import KILL, asked_to_end
from parties.local.command_line import same_command
from parties.monitoring.events import BEFORE_CONNECTION, INTERRUPTED, NOTIFYING, Event, Failed, Finished, read_event
from vsplit.protocol import RemoteError, StoppedError, TransportError

PATIENCE = 5.0
"""Seconds in which the other parties may end by themselves, and say why, after one has failed."""

_LAST_LINES = 200
_LOOK = 0.1  # seconds between two looks at the processes
_DRAIN = 2.0  # seconds for what a process has left in its pipes; a worker of it may hold them open for longer

Show = Callable[[str, Event], None]


@dataclass(slots=True)
class Child:
    """One party's process.

    `telling`: it has failed by itself, and tells the others. `met`: it has met the other parties, and so will hear of their
    failures. `asked`: it was asked to end after another's failure; `in_vain`: since it would have waited for that party.
    `end` is its last word, `order` the place in which it ended, `last_words` its error output.
    """

    name: str
    process: subprocess.Popen[str]
    telling: bool = False
    met: bool = False
    asked: bool = False
    in_vain: bool = False
    end: Finished | Failed | None = None
    order: int = 0
    last_words: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))


def run_children(
    commands: Mapping[str, Sequence[str]],
    environment: Mapping[str, str],
    show: Show,
    inputs: Mapping[str, str] | None = None,
) -> list[Child]:
    """Run a process for each party, show its events, and return when all have ended, each with an `end`.

    `inputs` is what a party's process reads from its standard input; it is short, and may be secret.

    When one fails, the others have `PATIENCE` to end by themselves. The first Ctrl-C asks all to end, a second one
    ends them at once.
    """
    children: list[Child] = []
    with _interrupts(children) as interrupts:
        for name, command in commands.items():
            children.append(_start(name, command, environment, (inputs or {}).get(name, "")))
        readers = [_reader(_read, child, show) for child in children]
        readers += [_reader(_keep_last_words, child) for child in children]
        _wait(children, interrupts)
        until = time.monotonic() + _DRAIN
        for reader in readers:
            reader.join(max(0.0, until - time.monotonic()))
    for child in children:
        if child.in_vain and not interrupts and not isinstance(child.end, Finished):
            child.end = Failed(f"Ended, because {_first_to_fail(children)}.", StoppedError.exit_code)
        elif child.end is None:
            child.end = _end_without_word(child, bool(interrupts))
        show(child.name, child.end)
    return children


def _first_to_fail(children: Sequence[Child]) -> str:
    """Which party ended first, and how, as the end of a sentence about those that would have waited for it."""
    first = min((child for child in children if not child.in_vain), key=lambda child: child.order)
    interrupted = isinstance(first.end, Failed) and first.end.exit_code == INTERRUPTED
    return f"{first.name} {'was interrupted' if interrupted else 'had failed'}"


def exit_code(children: Sequence[Child]) -> int:
    """The exit code of a launch: of the party whose own fault it was, rather than of those that only heard of it."""
    failed = [child for child in children if isinstance(child.end, Failed)]
    if not failed:
        return 0
    first = min(failed, key=lambda child: (_rank(child.end), child.order))
    return first.end.exit_code if isinstance(first.end, Failed) else 0


def _rank(end: Finished | Failed | None) -> int:
    """Own faults before a person's interruption, that before a link that is gone, and that before another's fault."""
    code = end.exit_code if isinstance(end, Failed) else 0
    return {INTERRUPTED: 1, TransportError.exit_code: 2, RemoteError.exit_code: 3}.get(code, 0)


def _start(name: str, command: Sequence[str], environment: Mapping[str, str], given: str) -> Child:
    process = subprocess.Popen(  # noqa: S603 - this very program, with a path of the user's own
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        # In a group of their own, so that a Ctrl-C reaches them once, from here, and not from the terminal as well.
        process_group=0,
    )
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin as stream:  # it has ended, and its end says why
            stream.write(given)
    return Child(name, process)


def _wait(children: Sequence[Child], interrupts: Sequence[int]) -> None:
    """Until all have ended. After a failure nobody goes on waiting for that party; after an interruption nobody stays."""
    ended: list[Child] = []
    deadline: float | None = None
    while len(ended) < len(children):
        for child in children:
            if child not in ended and child.process.poll() is not None:
                ended.append(child)
                child.order = len(ended)
        if deadline is None and (interrupts or any(child.process.returncode for child in ended)):
            deadline = time.monotonic() + PATIENCE
        if deadline is not None and time.monotonic() > deadline:
            if interrupts:
                _signal(children, KILL)
                continue
            for child in children:
                if child not in ended and not child.met and not child.asked:
                    child.asked, child.in_vain = True, not child.telling
                    child.process.send_signal(signal.SIGTERM)
        time.sleep(_LOOK)


def _signal(children: Sequence[Child], number: int) -> None:
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(number)


def _end_without_word(child: Child, interrupted: bool) -> Failed:
    code = child.process.returncode
    if interrupted:
        return Failed("Interrupted before it could say more.", INTERRUPTED)
    if code < 0:
        how, code = f"was ended by the signal {signal.Signals(-code).name}", 1
    else:
        how = f"ended with exit code {code}"
    reason = f"; its last word was: {child.last_words[-1]}" if child.last_words else "; it left no word"
    return Failed(f"The process of this party {how}{reason}. {same_command('--debug')} shows more.", code or 1)


def _reader(function: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def _read(child: Child, show: Show) -> None:
    if child.process.stdout is None:
        return
    with child.process.stdout as lines:
        for line in lines:
            try:
                event = read_event(line)
            except msgspec.DecodeError:
                continue  # something else than this program wrote there
            if isinstance(event, Finished | Failed):
                child.end = event
            elif event.stage == NOTIFYING:
                child.telling = True
            elif event.stage not in BEFORE_CONNECTION:
                child.met = True
            show(child.name, event)


def _keep_last_words(child: Child) -> None:
    if child.process.stderr is not None:
        with child.process.stderr as lines:
            child.last_words.extend(line.rstrip() for line in lines if line.strip())


@contextlib.contextmanager
def _interrupts(children: list[Child]) -> Iterator[list[int]]:
    """Ctrl-C and the like are passed on; this process stays to hear what the parties say. Yields the signals that came."""
    came: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        came.append(number)
        _signal(children, signal.SIGTERM if len(came) == 1 else KILL)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, *asked_to_end())}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _signal(children, KILL)
