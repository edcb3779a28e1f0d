"""Two network namespaces with a pair of virtual cards between them, and the kernel's own bad weather there: `tc netem`."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x40000000
HERE, THERE = "10.203.77.1", "10.203.77.2"
_numbers = count()  # of the wires of this process


class Wire:
    """Two namespaces and a pair of virtual cards between them: new ones, or those that have these names."""

    def __init__(self, here: str = "", there: str = "") -> None:
        number = next(_numbers)
        self.here = here or f"vsplit-{os.getpid()}-{number}a"
        self.there = there or f"vsplit-{os.getpid()}-{number}b"

    def open(self) -> None:
        """Make them. CalledProcessError or OSError where this user may not."""
        try:
            for name in (self.here, self.there):
                _command("ip", "netns", "add", name)
            here, there = ("-n", self.here), ("-n", self.there)
            _command("ip", *here, "link", "add", "one", "type", "veth", "peer", "name", "two", "netns", self.there)
            for at, card, address in ((here, "one", HERE), (there, "two", THERE)):
                _command("ip", *at, "address", "add", f"{address}/24", "dev", card)
                _command("ip", *at, "link", "set", card, "up")
            self.inside(self.here, lambda: None)
        except BaseException:
            self.close()
            raise

    def weather(self, *netem: str) -> None:
        """What `tc netem` does to all that leaves both ends; nothing: fair weather."""
        for name, card in ((self.here, "one"), (self.there, "two")):
            if netem:
                _command("tc", "-n", name, "qdisc", "replace", "dev", card, "root", "netem", *netem)
            else:
                # Where the weather was fair there is nothing to take away, which is all that can be wrong here.
                subprocess.run(
                    ["tc", "-n", name, "qdisc", "del", "dev", card, "root"], check=False, capture_output=True
                )

    def plug(self, way: str) -> None:
        """Pull the plug of the first end's card ("down"), or put it back ("up")."""
        _command("ip", "-n", self.here, "link", "set", "one", way)

    def close(self) -> None:
        """Both namespaces are gone, and the cards with them."""
        for name in (self.here, self.there):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def enter(self, name: str) -> None:
        """From now on this thread is in that namespace, with all threads and processes that it begins."""
        after = os.open(Path("/var/run/netns") / name, os.O_RDONLY)
        try:
            _set_namespace(after)
        finally:
            os.close(after)

    def inside(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call it in this thread, in that namespace."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            self.enter(name)
            try:
                return function(*arguments)
            finally:
                _set_namespace(before)
        finally:
            os.close(before)


def why_no_namespaces() -> str:
    """Why no Wire can be made here, as a sentence without its end; empty if it can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "only root can make network namespaces"
    if shutil.which("ip") is None or shutil.which("tc") is None:
        return "this machine has no `ip` and `tc` (iproute2)"
    wire = Wire()
    try:
        wire.open()
    except (subprocess.CalledProcessError, OSError) as error:
        return f"this machine does not let this user make network namespaces: {error}"
    wire.close()
    return ""


def why_no_netem() -> str:
    """Why there is no bad weather on a Wire, as a sentence without its end; empty if there can be."""
    if why := why_no_namespaces():
        return why
    wire = Wire()
    wire.open()
    try:
        wire.weather("delay", "1ms")
    except subprocess.CalledProcessError as error:
        return f"this kernel has no netem ({error.stderr.strip()})"
    finally:
        wire.close()
    return ""


def _command(*words: str) -> None:
    """Run it; CalledProcessError says what went wrong."""
    subprocess.run(words, check=True, capture_output=True, text=True)


def _set_namespace(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
