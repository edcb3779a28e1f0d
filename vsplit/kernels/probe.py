"""Run as a separate process: compile kernels, multiply one point, and exit with 0 if the product is right."""

from __future__ import annotations

import sys

import numpy as np

from vsplit.kernels import compiled, engine, portable


def main(kind: engine.Kind) -> int:
    """0 if the kernels of this kind work on this machine."""
    points = np.zeros((1, 32), dtype=np.uint8)
    points[0, 0] = 9
    scalar = bytes(range(32))
    found = compiled.multiply(engine.build(kind), scalar, points)
    return 0 if (found == portable.multiply(scalar, points)).all() else 1


if __name__ == "__main__":
    sys.exit(main("ifma" if sys.argv[1] == "ifma" else "fma"))
