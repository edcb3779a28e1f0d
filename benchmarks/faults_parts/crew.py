"""One process for each party that gives the command `vsplit run` again and again: for runs in which nobody is killed.

Where a kernel is slow to give a new process its memory, a party that has lived before begins at once.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults_parts.processes import NAMES, Processes, give_command


class Crew:
    """The processes, each of which has called `enter` with its party's name when it began."""

    def __init__(self, enter: Callable[[str], None]) -> None:
        self._enter = enter
        self._workers = {name: _Worker(name, enter) for name in NAMES}

    def processes(self, folder: Path) -> Processes:
        """The processes of the parties of a folder, taken from this crew."""
        return _Lives(folder, self)

    def worker(self, name: str) -> _Worker:
        """The process of that party."""
        return self._workers[name]

    def replace(self, name: str) -> None:
        """End that party's process, whatever it does, and have another one."""
        self._workers[name].end()
        self._workers[name] = _Worker(name, self._enter)

    def dismiss(self) -> None:
        """End all of them."""
        for worker in self._workers.values():
            worker.end()


class _Worker:
    def __init__(self, name: str, enter: Callable[[str], None]) -> None:
        orders, self._orders = os.pipe()
        self._codes, codes = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            try:
                os.close(self._orders)  # so that it ends when the one that gives orders has ended
                os.close(self._codes)
                enter(name)
                with os.fdopen(orders) as lines:
                    for line in lines:
                        folder, start = line.rstrip("\n").rsplit("\t", 1)
                        os.write(codes, bytes([give_command(Path(folder), name, int(start)) & 255]))
            finally:
                os._exit(1)
        os.close(orders)
        os.close(codes)

    def begin(self, folder: Path, start: int) -> None:
        os.write(self._orders, f"{folder}\t{start}\n".encode())

    def code(self) -> int | None:
        """The exit code of the command that it was given; None while it has not ended."""
        if not select.select([self._codes], [], [], 0)[0]:
            return None
        raw = os.read(self._codes, 1)
        return raw[0] if raw else -signal.SIGKILL

    def end(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self._orders)
        os.close(self._codes)


class _Lives(Processes):
    """Processes of parties that a crew provides."""

    def __init__(self, folder: Path, crew: Crew) -> None:
        super().__init__(folder)
        self._crew = crew

    def start(self, name: str) -> None:
        self.ended.pop(name, None)
        self.starts[name] += 1
        worker = self._crew.worker(name)
        worker.begin(self.folder, self.starts[name])
        self.children[name] = worker.process

    def kill(self, name: str) -> None:
        if name in self.children:
            del self.children[name]
            self._crew.replace(name)
            self.ended[name] = -signal.SIGKILL

    def look(self) -> None:
        for name in list(self.children):
            if (code := self._crew.worker(name).code()) is not None:
                del self.children[name]
                self.ended[name] = code
