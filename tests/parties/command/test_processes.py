"""A party that ends in the middle, as a process: the others end by themselves, soon, and say why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from parties.monitoring.events import Step
from vsplit.protocol import PeerLost, StoppedError, TransportError

pytestmark = pytest.mark.usefixtures("no_report")


def end_in_training(world, victim: str, number: signal.Signals):
    """Run `victim` as a process and the others here; send it the signal once the label party has trained an epoch."""
    world.job["train"]["epochs"] = 100_000
    for name, file in world.files.items():
        file["first_wait"], file["wait"] = 60, 60 if name == victim else 3
    world.write()
    # Where these tests run in the background, Ctrl-C is ignored, and a process would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "parties", "run", str(world.folder / f"{victim}.yaml")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"COLUMNS": "1000"},
        )
    finally:
        signal.signal(signal.SIGINT, before)
    begun, told = threading.Event(), []
    # To load everything takes a process longer than the others would wait for it.
    for line in process.stdout:
        told.append(line)
        if "waiting" in line:
            break

    def look(event) -> None:
        if isinstance(event, Step) and event.stage == "training" and event.done and not begun.is_set():
            begun.set()
            process.send_signal(number)

    try:
        outcomes = world.run_parties(*(name for name in world.names if name != victim), show={world.names[0]: look})
    finally:
        if not begun.is_set():
            process.kill()
        output = "".join(told) + process.communicate(timeout=30)[0]
    assert begun.is_set(), output
    assert not list(world.folder.glob("runs/*/*.json"))  # what an unfinished run keeps is no result
    return outcomes, process.returncode, output


def test_a_killed_party_ends_all_others(three) -> None:
    """Once their wait is over in which it could have come back."""
    outcomes, code, _ = end_in_training(three, "lab", signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert isinstance(outcomes.errors["clinic"], PeerLost)
    assert outcomes.errors["clinic"].exit_code == 6
    assert "The link to lab" in str(outcomes.errors["clinic"])
    # The gym has no link to the lab: it hears of it from the clinic.
    gym = outcomes.errors["gym"]
    assert isinstance(gym, StoppedError | TransportError)
    assert gym.exit_code in (5, 6)
    assert "clinic" in str(gym)


def test_ctrl_c_ends_all_others(world) -> None:
    outcomes, code, output = end_in_training(world, "lab", signal.SIGINT)
    assert code == 130, output
    assert "Interrupted. Every connected party was notified." in output
    assert "Traceback" not in output
    clinic = outcomes.errors["clinic"]
    assert isinstance(clinic, StoppedError)
    assert clinic.exit_code == 5
    assert "lab stopped the session: it was interrupted by its operator" in str(clinic)
