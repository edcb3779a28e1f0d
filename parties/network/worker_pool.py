"""The pool that runs a role's *work*: on threads of this process, or on processes of this machine that never import torch.

The compiled kernels release Python's lock while they compute, so threads suffice for them, and nothing is copied. The portable
twin does not, so where it is used, work goes to processes, spawned when first needed. Small work runs at once in this thread,
since starting processes takes longer.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Self

from vsplit.protocol import LocalError

# A role cuts its work into pieces of some tens of milliseconds each, so fewer pieces than this finish sooner in this thread.
WORTH_SPAWNING = 12


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool:
    """`workers` threads or processes; with 1 everything runs in this thread.

    `threads` is called when first needed and returns which; the default is threads exactly where kernels are compiled.
    """

    def __init__(self, workers: int = 1, *, threads: Callable[[], bool] | None = None) -> None:
        self._workers = workers
        self._threads = threads or _kernels_are_compiled
        self._executor: Executor | None = None

    def run(self, function: Callable[..., Any], pieces: Sequence[tuple[Any, ...]]) -> list[Any]:
        """`function(*piece)` for each piece, in order; an exception of a piece is raised here.

        Raises LocalError when a process of the pool was killed.
        """
        return self.collect(self.start(function, pieces))

    def start(self, function: Callable[..., Any], pieces: Sequence[tuple[Any, ...]]) -> object:
        """Like `run`, but returns a ticket for `collect`; workers, where there are any, begin at once."""
        if self._executor is None:
            self._executor = self._new_executor(len(pieces))
        if self._executor is None:
            return _Later(function, pieces)
        try:
            return [self._executor.submit(function, *piece) for piece in pieces]
        except BrokenProcessPool:
            raise _worker_killed() from None

    def _new_executor(self, pieces: int) -> Executor | None:
        if self._workers == 1 or pieces < 2:
            return None
        if self._threads():
            return ThreadPoolExecutor(self._workers, "work")
        if pieces < WORTH_SPAWNING:
            return None
        # No file in the working folder may replace a module of a worker.
        os.environ["PYTHONSAFEPATH"] = "1"
        return ProcessPoolExecutor(self._workers, get_context("spawn"), _initialise_worker)

    def collect(self, ticket: object) -> list[Any]:
        """The results of the work for which `start` returned this ticket."""
        if isinstance(ticket, _Later):
            return ticket.results()
        if not isinstance(ticket, list):
            raise TypeError("a ticket comes from start")
        futures: list[Future[Any]] = ticket
        try:
            return [future.result() for future in futures]
        except BrokenProcessPool:
            raise _worker_killed() from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)


class _Later:
    def __init__(self, function: Callable[..., Any], pieces: Sequence[tuple[Any, ...]]) -> None:
        self._function = function
        self._pieces = pieces

    def results(self) -> list[Any]:
        return [self._function(*piece) for piece in self._pieces]


def _kernels_are_compiled() -> bool:
    from vsplit.kernels import engine  # loads LLVM, which small runs do not need

    return engine.choice().kind != "portable"


def _worker_killed() -> LocalError:
    return LocalError(
        "A worker process of this party was killed, most likely because the machine ran out of memory: use a machine with more "
        "memory, or end other programs on it."
    )


def _initialise_worker() -> None:
    """In a new worker: leave Ctrl-C to the party's process, and exit with it, also where that is killed.

    The party has found that compiled kernels do not run on this machine, so the worker does not try them.
    """
    os.environ["VSPLIT_KERNELS"] = "portable"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_the_party, daemon=True).start()


def _exit_with_the_party() -> None:
    party = parent_process()
    if party is not None:
        wait([party.sentinel])
        os._exit(1)
