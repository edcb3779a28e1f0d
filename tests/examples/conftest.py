"""Where the examples, their configs and the guide are."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

Rows = list[dict[str, str]]


@pytest.fixture(scope="session")
def project() -> Path:
    """The top folder of the project."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def read_csv() -> Callable[[Path], Rows]:
    """A plain reader of CSV files: every cell is text, as it stands in the file."""

    def read(path: Path) -> Rows:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return read
