"""The signals that ask a process to end; some of them exist on some systems only."""

from __future__ import annotations

import signal

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""Ends a process at once."""


def termination_signals() -> list[signal.Signals]:
    """The signals, besides Ctrl-C, that ask this process to end; without those that it ignores, as under nohup."""
    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]
