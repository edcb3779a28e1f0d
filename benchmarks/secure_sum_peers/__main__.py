"""Runs as a peer: `python -m benchmarks.secure_sum_peers SCHEME BITS`, in the environment of sf-heu.

It says `ready` when its key is made; then each line that it reads is a seed, and it answers with what it measured.
"""

import json
import os
import sys
from dataclasses import asdict

from benchmarks.secure_sum_peers.sf_heu import Cipher


def _serve(scheme: str, bits: int) -> None:
    # The library logs to the standard output, where the answers go: so they keep the original, and logs go to the errors.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    cipher = Cipher(scheme, bits)
    cipher.measure(0)
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        measured = {kind: asdict(one) for kind, one in cipher.measure(int(line)).items()}
        print(json.dumps(measured), file=answers, flush=True)


_serve(sys.argv[1], int(sys.argv[2]))
