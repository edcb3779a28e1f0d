"""Asks the C library to keep memory that was freed, since a training needs the same again a moment later."""

from __future__ import annotations

import ctypes
import sys

# In glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT = 4 << 20  # bytes of one piece; a larger one goes back to the system as soon as it is freed
_MOST_KEPT = 64 << 20  # bytes that are free at the end of the heap before it shrinks


def keep_freed_memory() -> bool:
    """Keep pieces of up to 4 MiB for their next use, up to 64 MiB of them; whether the C library can do so.

    Otherwise glibc maps each message and each activation of some 100 KB or more afresh from the system, which clears
    every page of it at the first touch: at batch 2048 that takes a third of the time for which a message is under way.
    See mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:  # musl has none
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)) and bool(mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT))
