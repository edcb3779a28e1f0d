"""A job file as far as an overlap needs it: the parties, the address, and how keys are read.

An overlap comes before any contract. So what the job says about learning may be missing, incomplete, or different at
each party.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parties.config.errors import validate
from parties.config.job import Job
from parties.config.reading import parse_yaml, read_text

_ANY_LEARNING: dict[str, Any] = {
    "task": "binary",
    "split": {"train": 0.7, "validation": 0.1, "test": 0.2},
    "model": {"embedding": 1, "aggregate": "concat", "top": {"hidden": [1]}},
    "train": {"epochs": 1, "batch_size": 1, "optimizer": "adam", "lr": 0.001},
}
"""A placeholder for all that an overlap ignores, so that the rest is checked by the rules of every job."""


def load_overlap_job(path: Path | str, named_by: str = "") -> Job:
    """Read and check the parts of a job file that an overlap needs; the other parts have placeholder values.

    `named_by` tells, in an error, which file and key named this path. Raises ConfigError as `load_job` does.
    """
    path = Path(path)
    return validate(Job, parse_yaml(read_text(path, named_by), path) | _ANY_LEARNING, path)
