"""The signals that ask a process to end; some of them exist on some systems only."""

from __future__ import annotations

import signal

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""Ends a process at once."""


def asked_to_end() -> list[signal.Signals]:
    """The signals, besides Ctrl-C, by which this process is asked to end. One that is ignored, as under nohup, is none."""
    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]
