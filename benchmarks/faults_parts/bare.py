"""A flood of bare connections from one address, 4,000 a second: whether an honest party from another one gets in.

Each run has a label party in a process of its own, the flood in another, and an honest feature party here, which dials
when the flood is at its height, and once more when its link is cut. The flood ends by itself.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from parties.network.identity import PrivateIdentity
from parties.network.peer_connections import PartyListener, dial
from parties.network.route import Address
from parties.network.tls import TlsTransport
from vsplit.protocol import VsplitError

HONEST, FLOODER = "127.0.0.1", "127.0.0.2"
HEIGHT = 1.0  # seconds of the flood before the honest party dials
WANTED = 5.0  # seconds in which it should be in
MOST_SECONDS = 30.0  # that a run waits for it
STRANGERS = Path(__file__).with_name("strangers.py")


def measure_bare(runs: int, draw: random.Random, console: Console) -> dict[str, int | float]:
    """A tenth of the runs, at least one."""
    del draw  # nothing is drawn: all runs are alike
    runs = max(1, runs // 10)
    seconds = [_one_run(console) for _ in range(runs)]
    return {
        "bare_in": sum(first <= WANTED for first, _ in seconds),
        "bare_runs": runs,
        "bare_seconds_max": round(max(first for first, _ in seconds), 3),
        "bare_back": sum(again <= WANTED for _, again in seconds),
        "bare_back_seconds_max": round(max(again for _, again in seconds), 3),
        "hangs": sum(max(both) >= MOST_SECONDS for both in seconds),
    }


def _one_run(console: Console) -> tuple[float, float]:
    """Seconds until the honest party was in, and seconds until its link was there again after a cut."""
    label, feature = PrivateIdentity.generate(), PrivateIdentity.generate()
    listener = PartyListener(label, Address(HONEST, 0), {"lab": feature.public}, MOST_SECONDS)
    address = Address(HONEST, listener.port)
    child = _label_party(listener)
    listener.close()
    command = [sys.executable, STRANGERS, str(address.port), "--source", FLOODER, "--seconds", str(2 * MOST_SECONDS)]
    flood = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert flood.stdout is not None
        flood.stdout.readline()
        time.sleep(HEIGHT)
        first = again = MOST_SECONDS
        began = time.monotonic()
        with contextlib.suppress(VsplitError):
            transport = dial(
                feature, "clinic", label.public, address, wait=MOST_SECONDS, waiting=lambda _names, _left: None
            )
            first = time.monotonic() - began
            again = _back_after_cut(transport)
        console.print(f"4,000 bare connections a second: in after {first:.2f} s, back after {again:.2f} s")
        return first, again
    finally:
        flood.kill()
        flood.communicate()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _label_party(listener: PartyListener) -> int:
    """Begin a process that takes the honest party and sends back what comes."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            transport = listener.gather(lambda _names, _left: None)
            while True:
                transport.send("lab", [transport.receive("lab", 100)])
        finally:
            os._exit(0)
    return child


def _back_after_cut(transport: TlsTransport) -> float:
    """Seconds until a message goes there and back after the link was cut."""
    try:
        _echo(transport)
        began = time.monotonic()
        stream = transport._links["clinic"].stream
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.shutdown(socket.SHUT_RDWR)
        _echo(transport)
        return time.monotonic() - began
    finally:
        transport.stop("interrupted")


def _echo(transport: TlsTransport) -> None:
    transport.send("clinic", [memoryview(b"there and back")])
    transport.receive("clinic", 100)
