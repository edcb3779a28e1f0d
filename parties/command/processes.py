"""The processes of a launch: started together, observed, and ended together."""

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

from parties.command.interrupts import KILL, termination_signals
from parties.local.command_line import current_command
from parties.monitoring.events import BEFORE_CONNECTION, INTERRUPTED, NOTIFYING, Event, Failed, Finished, read_event
from vsplit.protocol import RemoteError, StoppedError, TransportError

PATIENCE = 5.0
"""Seconds that the other parties have to end with an error of their own after one has failed."""

_LAST_LINES = 200
_POLL = 0.1  # seconds between two checks of the processes
_DRAIN = 2.0  # seconds to read the rest of the pipes; a worker process may keep them open for longer

Show = Callable[[str, Event], None]


@dataclass(slots=True)
class Child:
    """One party's process.

    `notifying`: it has failed itself and is notifying the other parties. `connected`: it has connected to the other parties,
    and so is notified of their failures. `terminated`: it was sent a signal after another party's failure; `waiting`: it was
    waiting for that party then. `end` is its last event, `order` the position in which it ended, `error_output` the last lines
    of its error output.
    """

    name: str
    process: subprocess.Popen[str]
    notifying: bool = False
    connected: bool = False
    terminated: bool = False
    waiting: bool = False
    end: Finished | Failed | None = None
    order: int = 0
    error_output: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))


def run_children(
    commands: Mapping[str, Sequence[str]],
    environment: Mapping[str, str],
    show: Show,
    inputs: Mapping[str, str] | None = None,
) -> list[Child]:
    """Run a process for each party, show its events, and return when all have ended, each with an `end`.

    `inputs` has what each party's process reads from its standard input; it is short, and may be secret. When one fails, the
    others have `PATIENCE` to end with an error of their own. The first Ctrl-C asks all to end, a second one kills them.
    """
    children: list[Child] = []
    with _interrupts(children) as interrupts:
        for name, command in commands.items():
            children.append(_start(name, command, environment, (inputs or {}).get(name, "")))
        readers = [_reader(_read, child, show) for child in children]
        readers += [_reader(_read_errors, child) for child in children]
        _wait(children, interrupts)
        until = time.monotonic() + _DRAIN
        for reader in readers:
            reader.join(max(0.0, until - time.monotonic()))
    for child in children:
        if child.waiting and not interrupts and not isinstance(child.end, Finished):
            child.end = Failed(f"Ended, because {_first_to_fail(children)}.", StoppedError.exit_code)
        elif child.end is None:
            child.end = _end_without_event(child, bool(interrupts))
        show(child.name, child.end)
    return children


def _first_to_fail(children: Sequence[Child]) -> str:
    """Which party ended first, and how, as the end of a sentence about those that were waiting for it."""
    first = min((child for child in children if not child.waiting), key=lambda child: child.order)
    interrupted = isinstance(first.end, Failed) and first.end.exit_code == INTERRUPTED
    return f"{first.name} {'was interrupted' if interrupted else 'had failed'}"


def exit_code(children: Sequence[Child]) -> int:
    """The exit code of a launch: that of the party at fault, rather than of those that were notified of it."""
    failed = [child for child in children if isinstance(child.end, Failed)]
    if not failed:
        return 0
    first = min(failed, key=lambda child: (_rank(child.end), child.order))
    return first.end.exit_code if isinstance(first.end, Failed) else 0


def _rank(end: Finished | Failed | None) -> int:
    """Own faults come before an interruption, that before a lost link, and that before another party's fault."""
    code = end.exit_code if isinstance(end, Failed) else 0
    return {INTERRUPTED: 1, TransportError.exit_code: 2, RemoteError.exit_code: 3}.get(code, 0)


def _start(name: str, command: Sequence[str], environment: Mapping[str, str], standard_input: str) -> Child:
    process = subprocess.Popen(  # noqa: S603 - this very program, with a path of the user's own
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        # In a process group of its own, so that Ctrl-C reaches it once, from here, and not from the terminal as well.
        process_group=0,
    )
    if process.stdin is not None:
        with (
            contextlib.suppress(BrokenPipeError),
            process.stdin as stream,
        ):  # it has ended already, and its end is reported
            stream.write(standard_input)
    return Child(name, process)


def _wait(children: Sequence[Child], interrupts: Sequence[int]) -> None:
    """Wait until all have ended. After a failure, end those that wait for that party; after an interruption, end all."""
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
                if child not in ended and not child.connected and not child.terminated:
                    child.terminated, child.waiting = True, not child.notifying
                    child.process.send_signal(signal.SIGTERM)
        time.sleep(_POLL)


def _signal(children: Sequence[Child], number: int) -> None:
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(number)


def _end_without_event(child: Child, interrupted: bool) -> Failed:
    code = child.process.returncode
    if interrupted:
        return Failed("Interrupted before it could report more.", INTERRUPTED)
    if code < 0:
        how, code = f"was ended by the signal {signal.Signals(-code).name}", 1
    else:
        how = f"ended with exit code {code}"
    reason = f"; its last output was: {child.error_output[-1]}" if child.error_output else ", without any output"
    return Failed(f"The process of this party {how}{reason}. Run {current_command('--debug')} for details.", code or 1)


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
                continue  # not an event: other code has written to the standard output
            if isinstance(event, Finished | Failed):
                child.end = event
            elif event.stage == NOTIFYING:
                child.notifying = True
            elif event.stage not in BEFORE_CONNECTION:
                child.connected = True
            show(child.name, event)


def _read_errors(child: Child) -> None:
    if child.process.stderr is not None:
        with child.process.stderr as lines:
            child.error_output.extend(line.rstrip() for line in lines if line.strip())


@contextlib.contextmanager
def _interrupts(children: list[Child]) -> Iterator[list[int]]:
    """Forward Ctrl-C and similar signals; this process stays to read the events. Yields the signals received so far."""
    received: list[int] = []

    def forward(number: int, _frame: object) -> None:
        received.append(number)
        _signal(children, signal.SIGTERM if len(received) == 1 else KILL)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, *termination_signals())}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _signal(children, KILL)
