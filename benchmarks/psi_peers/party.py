"""One party of one contender, in a process of its own, as benchmarks/psi.py starts it. Standard library alone.

The process reads its order, prepares (imports, ids in memory, the link to the others), says that it is ready, waits for
the start signal, runs, and reports. What a library prints goes to the process's log, never between the answers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import struct
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.psi_peers import people

# struct tcp_info of Linux, include/uapi/linux/tcp.h: tcpi_bytes_received stands after 8 bytes, 24 u32 and 3 u64.
_BYTES_RECEIVED = struct.Struct("<128xQ")
_TCP_INFO_SIZE = 256


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is told: which party it is, of how many, with how many records.

    `ports` are free ports of this machine, one a party; `seeds` make the parties' keys, 32 bytes in hex each, the same
    for all, since these keys live as long as the measurement; `option` is the contender's own; `folder` is in memory
    where the machine has such a folder.
    """

    party: int
    parties: int
    size: int
    ports: tuple[int, ...]
    seeds: tuple[str, ...]
    option: str
    folder: str


class Contender(Protocol):
    """One party that is ready."""

    extra: dict[str, float]

    def run(self) -> None:
        """What is timed: from ids in memory to the result."""

    def found(self) -> Sequence[int] | None:
        """The rows that this party learned, in the order of its result, as people; None if it learns nothing."""

    def close(self) -> None:
        """Called when every party has reported."""


def serve(prepare: Callable[[Order], Contender]) -> None:
    """The life of the process."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        fields = json.loads(sys.stdin.readline())
        order = Order(**fields)
        contender = prepare(order)
        at_start = peak_mb()
        _say(answers, {"ready": True})
        sys.stdin.readline()
        contender.run()
        end = time.monotonic()
        report: dict[str, Any] = {
            "end": end,
            "received": bytes_received(),
            "start_mb": at_start,
            "peak_mb": peak_mb(),
            **contender.extra,
        }
        report.update(_outcome(contender.found(), order.size))
        _say(answers, report)
        sys.stdin.readline()
        contender.close()


def peak_mb() -> float:
    """The most memory that this process and the processes that work for it have had so far, in units of 10^6 bytes.

    Linux's VmHWM, since ru_maxrss also counts what the parent held at the moment of the start.
    """
    mine = os.getpid()
    own, workers = 0, 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            if int(fields["PPid"]) == mine:
                workers += _kilobytes(fields)
            elif int(fields["Pid"]) == mine:
                own = _kilobytes(fields)
    return (own + workers) * 1024 / 1e6


def bytes_received() -> int:
    """Bytes that TCP has delivered to this process on the connections that are open now: TLS included, IP not."""
    total = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError), _looked_at(int(entry.name)) as connection:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
            total += _BYTES_RECEIVED.unpack_from(info)[0]
    return total


def person_of_rows(party: int, size: int, rows: Sequence[int]) -> list[int]:
    """The person in each of `rows`."""
    held = array("q", people.people(party, size))
    return [held[row] for row in rows]


@contextlib.contextmanager
def _looked_at(descriptor: int) -> Iterator[socket.socket]:
    """The connection with this descriptor, which stays its owner's; OSError where it is something else."""
    connection = socket.socket(fileno=descriptor)
    try:
        yield connection
    finally:
        connection.detach()


def _outcome(found: Sequence[int] | None, size: int) -> dict[str, Any]:
    if found is None:
        return {"matches": None}
    digest = hashlib.sha256(array("q", found).tobytes()).hexdigest()
    return {"matches": len(found), "right": people.all_in_common(found, size), "digest": digest}


def _kilobytes(fields: dict[str, str]) -> int:
    return int(fields.get("VmHWM", "0 kB").split()[0])


def _say(answers: Any, record: dict[str, Any]) -> None:
    answers.write(json.dumps(record) + "\n")
    answers.flush()
