"""Ledgers of real runs by version 0.1, of both formats, can still be shown and verified.

`ledgers_of_0_1/` holds those of two launches of configs/thyroid with 2 epochs and a batch size of 4096, by the last commit of
each format. Their kinds of message have the names of that time.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from parties.command.cli import app

HERE = Path(__file__).parent / "ledgers_of_0_1"
FORMATS = ("format1", "format2")


@pytest.fixture(autouse=True)
def _signals(signals_as_before: None) -> None:
    """The command sets handlers of signals."""


def ledger(*words: object) -> Result:
    return CliRunner().invoke(app, ["ledger", *map(str, words)])


@pytest.mark.parametrize("form", FORMATS)
def test_both_ledgers_of_a_run_verify(form: str) -> None:
    found = ledger("verify", HERE / form / "lab.jsonl", HERE / form / "clinic.jsonl", "--json")
    assert found.exit_code == 0, found.output
    assert [one["faults"] for one in json.loads(found.output)["ledgers"]] == [[], []]


@pytest.mark.parametrize("form", FORMATS)
def test_each_kind_is_shown_with_what_it_reveals(form: str) -> None:
    kinds = json.loads(ledger("show", HERE / form / "lab.jsonl", "--json").output)["kinds"]
    assert {"Greeting", "Holding", "Beginning", "Kept", "KeptByAll"} <= {kind["kind"] for kind in kinds}
    assert all(kind["reveals"] for kind in kinds)
