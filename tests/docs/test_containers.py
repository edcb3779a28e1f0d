"""The Dockerfile, the compose file and their guide, as far as they can be tried without a container engine.

The commands of both services run as processes with the files of the guide; the image's own steps are compared with those of an
installation, and every path that it copies is there.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from parties.network.peer_connections import free_port
from tests.docs.blocks import CHANGE, blocks, changed

pytestmark = pytest.mark.timeout(400)
VSPLIT = str(Path(sys.executable).with_name("vsplit"))


@pytest.fixture(scope="module")
def image(project: Path) -> list[tuple[str, str]]:
    """The instructions of the Dockerfile: (instruction, what follows it)."""
    text = (project / "deploy/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


@pytest.fixture(scope="module")
def services(project: Path) -> dict[str, Any]:
    """The services of the compose file, with what they share."""
    content = yaml.safe_load((project / "deploy/compose.yaml").read_text(encoding="utf-8"))
    assert content.keys() == {"x-party", "services"}
    found: dict[str, Any] = content["services"]
    return found


def of(image: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for instruction, rest in image if instruction == word]


def test_the_image_has_what_an_installation_needs_and_no_more(project: Path, image: list[tuple[str, str]]) -> None:
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in image} == known
    copied = [source for rest in of(image, "COPY") for source in rest.split()[:-1]]
    for source in copied:
        assert (project / source).exists(), source
    # What the wheel is made of, by pyproject.toml.
    assert {"vsplit", "psi", "parties", "configs", "examples", "README.md", "LICENSE", "pyproject.toml"} <= set(copied)
    ignored = (project / "deploy/Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert {f"!{source}" for source in copied} == {line for line in ignored if line.startswith("!")}
    assert "**/*.key" in ignored
    for command in of(image, "RUN"):
        assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0, command
    assert image.index(("USER", "vsplit")) > max(place for place, one in enumerate(image) if one[0] == "RUN")
    assert json.loads(of(image, "ENTRYPOINT")[0]) == ["vsplit"]
    assert of(image, "FROM")[0].startswith("python:3.")


def test_each_service_sees_its_own_folder_alone(services: dict[str, Any], image: list[tuple[str, str]]) -> None:
    assert list(services) == ["clinic", "lab"]
    assert of(image, "WORKDIR")[-1] == "/party"
    for name, service in services.items():
        assert service["volumes"] == [f"./{name}:/party"]
        assert service["build"]["dockerfile"] == "deploy/Dockerfile"
        assert "environment" not in service
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def vsplit(folder: Path, *words: str) -> subprocess.Popen[str]:
    """What `docker compose run --rm SERVICE WORDS` starts: the image's entry point with these words, in the folder."""
    return subprocess.Popen([VSPLIT, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def done(process: subprocess.Popen[str]) -> str:
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, printed
    return printed


def follow(page: Path, folder: Path, port: int) -> None:
    """All that the guide says before `docker compose up`, with `vsplit` in place of `docker compose run --rm SERVICE`."""
    lines: dict[str, str] = {}
    for block in blocks(page):
        if block.title.endswith(CHANGE):
            file = folder / block.title.removesuffix(CHANGE)
            text = changed(file.read_text(encoding="utf-8"), block.text.replace("clinic:9440", f"127.0.0.1:{port}"))
            file.write_text(re.sub(r'"the line that[^"]*"', lines["lab"], text), encoding="utf-8")
            continue
        for command in block.text.splitlines():
            words = shlex.split(command)
            if words[:4] == ["docker", "compose", "run", "--rm"]:
                printed = done(vsplit(folder / words[4], *words[5:]))
                lines |= {words[4]: printed.split()[-1]} if words[5:6] == ["identity"] else {}
                data(folder)
            elif words[:2] not in (["docker", "compose"],):
                subprocess.run(["bash", "-euc", command], cwd=folder, check=True)


def data(folder: Path) -> None:
    """Made-up people."""
    draw = np.random.default_rng(1)
    people = pd.DataFrame({"id": [f"KEY{number:04d}" for number in range(300)], "x": draw.normal(size=300)})
    people.assign(outcome=np.where(people.x > 0, "yes", "no")).to_csv(folder / "clinic/clinic.csv", index=False)
    people.assign(x=draw.normal(size=300)).to_csv(folder / "lab/lab.csv", index=False)


def test_the_guide_ends_with_the_results_of_both_services(
    project: Path, services: dict[str, Any], tmp_path: Path
) -> None:
    port = free_port("127.0.0.1")
    follow(project / "docs/how-to/containers.md", tmp_path, port)
    clinic = tmp_path / "clinic/clinic.yaml"
    clinic.write_text(
        clinic.read_text(encoding="utf-8").replace("listen: :9440", f"listen: 127.0.0.1:{port}"), encoding="utf-8"
    )
    running = {name: vsplit(tmp_path / name, *service["command"]) for name, service in services.items()}
    try:
        for process in running.values():
            done(process)
    finally:
        for process in running.values():
            process.kill()
    for name in services:
        assert (tmp_path / name / "runs" / name / "report.html").is_file()
    assert (tmp_path / "clinic/job.yaml").read_bytes() == (tmp_path / "lab/job.yaml").read_bytes()
