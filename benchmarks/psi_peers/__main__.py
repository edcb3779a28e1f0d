"""Runs as one party: `python -m benchmarks.psi_peers MODULE`, where MODULE is one of this folder with a `prepare`.

Worker processes that a party spawns read its main module again, except where that is a package's __main__, as here: so
they load what they need and no more.
"""

import importlib
import sys

from benchmarks.psi_peers.party import serve

serve(importlib.import_module(f"benchmarks.psi_peers.{sys.argv[1]}").prepare)
