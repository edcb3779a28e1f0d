"""Where the documentation is, and a job to look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from parties.config.job import Job, load_job

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def project() -> Path:
    """The top folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def thyroid_job(project: Path) -> Job:
    """The job of the first example."""
    return load_job(project / "configs/thyroid/job.yaml")
