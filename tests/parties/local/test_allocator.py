"""Memory that was freed is used again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# In a process of its own, since the C library cannot be asked to forget the request.
PROGRAM = """
import resource, sys
from parties.local.allocator import keep_freed_memory

if "keep" in sys.argv:
    print(keep_freed_memory(), end=" ")
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def hold_and_free():  # as a few messages that are under way at once
    pieces = [b"." * 300_000 for _ in range(8)]
for _ in range(5):
    hold_and_free()
before = faults()
for _ in range(100):
    hold_and_free()
print(faults() - before)
"""


def run(*arguments: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.alone  # page faults are counted
@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back so eagerly, or can be asked"
)
def test_pieces_that_were_freed_are_used_again_without_a_page_fault_each() -> None:
    kept, faults = run("keep")
    assert kept == "True"
    assert int(faults) < 1000  # ten a round, where all pages of the pieces are 586
    assert int(*run()) > 10 * int(faults)
