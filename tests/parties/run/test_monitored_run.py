"""Lives with a log and an endpoint: they tell how it goes, and nothing about a record."""

from __future__ import annotations

import io
import json
import re
import socket
import urllib.request

import pytest
from rich.console import Console

from parties.command.check import print_check
from parties.monitoring.events import READING, Step
from tests.ports import own_port
from vsplit.protocol import ConfigError

pytestmark = pytest.mark.usefixtures("no_report")


def watched(world, *, level="debug", form="json"):
    """Every party of this world keeps a log and has an endpoint."""
    for name in world.names:
        world.files[name]["log"] = {"level": level, "format": form, "file": f"{name}.log"}
        world.files[name]["metrics"] = f"127.0.0.1:{own_port()}"
    return world


def log_of(world, name):
    return [json.loads(line) for line in (world.folder / f"{name}.log").read_text().splitlines()]


def port_of(world, name):
    return int(world.files[name]["metrics"].split(":")[1])


def secrets_of(world):
    """Every key, label and value of every party that is long enough to be told from other words."""
    found = {str(value) for table in world.tables.values() for column in table for value in table[column]}
    return {one for one in found if len(one) > 3 and not one.isalpha()} | {"sick", "healthy"}


def fetch(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
        return answer.read().decode()


def test_log_and_figures_of_a_whole_life_hold_nothing_of_any_record(three):
    watched(three).job["model"]["aggregate"] = "masked_sum"
    three.job["train"]["checkpoint"] = {"steps": 2, "seconds": None}
    figures = {name: [] for name in three.names}

    def fetching(name):
        def show(event):
            if isinstance(event, Step) and event.stage == "training" and event.done:
                figures[name].append(fetch(three.files[name]["metrics"]))

        return show

    three.write().run_parties(show={name: fetching(name) for name in three.names}).well()
    for name in three.names:
        told = log_of(three, name)
        assert told[0]["event"] == "begin"
        assert told[-1] == told[-1] | {"event": "finished", "run_folder": str(three.run(name)), "level": "info"}
        epochs = [
            line for line in told if line.get("stage") == "training" and line.get("done") and line["level"] == "info"
        ]
        assert [line["done"] for line in epochs][-3:] == [1, 2, 3]
        assert any(line["event"] == "checkpoint" and line["step"] == 2 for line in told)
        last = figures[name][-1]
        assert re.search(r"^vsplit_training_epoch 3\.0$", last, re.MULTILINE)
        assert re.search(r"^vsplit_training_step [1-9]", last, re.MULTILINE)
        assert re.search(r'^vsplit_waiting_seconds_total\{cause="receive",peer="\w+"\} ', last, re.MULTILINE)
        assert re.search(r'^vsplit_bytes_total\{direction="sent",kind="\w+",peer="\w+"\} ', last, re.MULTILINE)
        assert ('vsplit_loss{part="validation"}' in last) == (name == "clinic")
        # Neither is there any longer.
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port_of(three, name)), 5):
            pass
    everything = "".join((three.folder / f"{name}.log").read_text() for name in three.names) + str(figures)
    secrets = secrets_of(three)
    assert len(secrets) > 900
    assert not {secret for secret in secrets if secret in everything}


def test_a_life_that_fails_says_so_in_its_log_and_in_nobody_elses(world):
    watched(world, level="info", form="text").files["clinic"]["accept"] |= {"min_records": 100_000}
    errors = world.write().run_parties().errors
    assert set(errors) == set(world.names)
    last = (world.folder / "clinic.log").read_text().splitlines()[-1]
    assert " ERROR   vsplit.run clinic: " in last
    assert last.endswith(str(errors["clinic"]))
    assert str(errors["clinic"]) not in (world.folder / "lab.log").read_text()


def test_a_taken_port_is_found_before_anything_is_read(world):
    watched(world).hasty().write()
    port = port_of(world, "lab")
    with socket.create_server(("127.0.0.1", port)):
        outcomes = world.run_parties("lab")
    assert isinstance(outcomes.errors["lab"], ConfigError)
    assert f"the key metrics names 127.0.0.1:{port}" in str(outcomes.errors["lab"])
    assert READING not in {event.stage for event in outcomes.events["lab"] if isinstance(event, Step)}
    assert [line["event"] for line in log_of(world, "lab")] == ["begin", "failed"]


def test_check_says_where_log_figures_and_order_come_and_leaves_nothing_behind(world):
    (world.folder / "earlier.secret").write_bytes(bytes(32))
    watched(world, level="warning").files["clinic"]["order"] = "earlier.secret"
    told = checked(world.write(), "clinic")
    assert f"Log: {world.folder}/clinic.log, level warning and above, as JSON." in told
    assert (
        f"Metrics: http://{world.files['clinic']['metrics']}/metrics during a run, for everybody who can reach" in told
    )
    assert f"The common order of the records is that of an earlier run: {world.folder}/earlier.secret." in told
    assert not (world.folder / "clinic.log").exists()
    world.files["clinic"]["log"] = {}
    assert "Log: the error output, level info and above, as text." in checked(world.write(), "clinic")
    world.files["clinic"]["log"] = {"file": "none/clinic.log"}
    with pytest.raises(ConfigError, match=r"the key log\.file names"):
        checked(world.write(), "clinic")


def checked(world, name):
    console = Console(file=io.StringIO(), width=200)
    print_check(world.folder / f"{name}.yaml", console)
    return console.file.getvalue()
