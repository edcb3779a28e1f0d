"""Asks the C library to keep freed memory, because training needs the same amount again a moment later."""

from __future__ import annotations

import ctypes
import sys

# In glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT = 4 << 20  # bytes of one block; a larger one is returned to the system as soon as it is freed
_MOST_KEPT = 64 << 20  # bytes that are free at the end of the heap before it shrinks


def keep_freed_memory() -> bool:
    """Keep blocks of up to 4 MiB for reuse, up to 64 MiB in all. Returns whether the C library can do so.

    Otherwise glibc maps each message and each activation of about 100 KB or more anew from the system, which clears each
    page at the first access: at batch 2048 that takes a third of the time from sending a message to receiving it.
    See mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:  # musl has none
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)) and bool(mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT))
