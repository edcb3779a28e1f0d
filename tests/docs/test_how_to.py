"""The how-to guides: what a reader types or saves is done here as far as this machine allows, and checked otherwise."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from docs.generator.commands import exit_codes
from parties.command.init import config_texts
from parties.config.party import load_party
from tests.docs.blocks import CHANGE, Block, Reader, blocks, changed

pytestmark = pytest.mark.timeout(400)


def lab(folder: Path, *, columns: tuple[str, ...] = ("tsh", "t3", "sex")) -> pd.DataFrame:
    """The files of `vsplit init` and made-up data of a lab, in `folder`."""
    for name, text in config_texts(["clinic", "lab"], label="clinic", task="binary", job="thyroid").items():
        (folder / name).write_text(text, encoding="utf-8")
    draw = np.random.default_rng(2)
    table = pd.DataFrame({"id": [f"KEY{number:04d}" for number in range(300)]})
    for name in columns:
        table[name] = draw.choice(["f", "m"], 300) if name == "sex" else draw.normal(size=300)
    table.to_csv(folder / "lab.csv", index=False)
    return table


def test_a_module_of_ones_own_is_built_as_the_guide_says(project: Path, tmp_path: Path) -> None:
    lab(tmp_path)
    reader = Reader(tmp_path)
    reader.follow(project / "docs/how-to/own-model.md")
    assert "3 feature columns: tsh, t3, sex." in " ".join(reader.printed.split())
    assert "All checks passed: this party is ready for a run." in reader.printed


def test_the_device_stands_where_the_guide_puts_it(project: Path, tmp_path: Path) -> None:
    """No machine of the tests has a GPU, which the guide says; so the config is read, and no more."""
    lab(tmp_path)
    (change,) = blocks(project / "docs/how-to/gpu.md")
    file = tmp_path / "lab.yaml"
    file.write_text(changed(file.read_text(encoding="utf-8"), change.text), encoding="utf-8")
    assert load_party(file).settings.device == "cuda"
    assert "Untested" in (project / "docs/how-to/gpu.md").read_text(encoding="utf-8")


CHANGES = [
    pytest.param(block, id=f"{page}:{block.line}")
    for page in ("limit-partners", "operate", "predict", "resume", "proxy")
    for block in blocks(Path(__file__).parents[2] / f"docs/how-to/{page}.md")
    if block.title.endswith(CHANGE)
]


@pytest.mark.parametrize("block", CHANGES)
def test_a_change_of_a_guide_is_one_that_the_config_accepts(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROXY_USER", "user")
    monkeypatch.setenv("PROXY_PASSWORD", "password")
    lab(tmp_path)
    name = block.title.removesuffix(CHANGE)
    file = tmp_path / name
    file.write_text(changed(file.read_text(encoding="utf-8"), block.text), encoding="utf-8")
    party = load_party(tmp_path / ("clinic.yaml" if name == "job.yaml" else name))
    settings = (party.job if name == "job.yaml" else party.settings).model_dump(mode="json")
    [(group, value)] = yaml.safe_load(block.text).items()
    assert contains(settings[group], value), settings[group]


def contains(settings: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return all(contains(settings[key], value) for key, value in wanted.items())
    return bool(settings == wanted)


# --- systemd ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def unit(project: Path) -> str:
    """The unit of the guide."""
    return next(block.text for block in blocks(project / "docs/how-to/systemd.md") if block.language == "ini")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, of the package systemd")
def test_systemd_accepts_the_unit(unit: str, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("vsplit")
    file = tmp_path / "vsplit-clinic.service"
    file.write_text(unit.replace("/home/vsplit/vsplit/bin/vsplit", str(command)), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    own = [line for line in done.stderr.splitlines() if "vsplit-clinic" in line or str(tmp_path) in line]
    assert (done.returncode, own) == (0, [])


def test_the_unit_does_not_repeat_what_a_person_must_repair(unit: str) -> None:
    prevented = {int(code) for code in re.findall(r"^RestartPreventExitStatus=(.*)$", unit, re.M)[0].split()}
    assert prevented == exit_codes().keys() - {0, 5, 6, 130}
    assert "SuccessExitStatus=130" in unit
    assert not re.search(r"^MemoryDenyWriteExecute", unit, re.MULTILINE)


# --- install ----------------------------------------------------------------------------------------------------------


def installs(text: str) -> list[str]:
    """The commands of pip in a text, from the word `install` or `download` on, without what differs between places."""
    found = re.findall(r"pip (?:install|download) (.*)$", text, re.MULTILINE)
    leave = r"--(?:no-cache-dir|quiet|no-index|no-deps(?= --index)|find-links \S+|dest \S+|index-url \S+) ?"
    return [re.sub(leave, "", line).strip() for line in found]


def test_all_ways_of_installing_are_the_same_commands(project: Path) -> None:
    """Three steps: what is hashed, torch alone, and vsplit itself without a download."""
    steps = ["--require-hashes --requirement constraints.txt", "--requirement constraints-torch.txt"]
    own = "--no-deps --no-build-isolation ."
    offline = "\n".join(block.text for block in blocks(project / "docs/how-to/install-offline.md"))
    assert installs(offline) == [*steps, *steps, own]
    assert installs((project / "deploy/Dockerfile").read_text(encoding="utf-8")) == [*steps, own]
    assert installs((project / "docs/tutorials/two-machines.md").read_text(encoding="utf-8"))[:3] == [*steps, own]
