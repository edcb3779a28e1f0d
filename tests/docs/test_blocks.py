"""Every code block of tutorials, guides and explanation is well-formed, and the helper that follows pages does as it says."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.docs.blocks import CHANGE, Block, Reader, blocks, changed

DOCS = Path(__file__).parents[2] / "docs"
WRITTEN = sorted(file for file in DOCS.rglob("*.md") if file.parent.name != "reference")
FOUND = [pytest.param(block, id=f"{file.name}:{block.line}") for file in WRITTEN for block in blocks(file)]
FOLLOWED = {
    "first-hour.md",
    "own-model.md",
    "gpu.md",
    "postgresql.md",
    "systemd.md",
    "containers.md",
    "install-offline.md",
    "proxy.md",
}
"""The pages whose blocks a test of this folder runs, or compares with what they are about."""


@pytest.mark.parametrize("block", FOUND)
def test_a_block_is_well_formed(block: Block) -> None:
    if block.language in ("sh", "bash"):
        assert subprocess.run(["bash", "-n", "-c", block.text], check=False).returncode == 0
    elif block.language == "python":
        compile(block.text, block.title, "exec")
    elif block.language == "yaml":
        assert isinstance(yaml.safe_load(block.text), dict)
    elif block.language == "ini":
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.read_string(block.text)
        assert unit.sections() == ["Unit", "Service", "Install"]
    else:  # what is printed, and what test_postgresql.py gives a server
        assert block.language in ("text", "sql")


def test_every_tutorial_and_guide_with_blocks_is_followed() -> None:
    with_blocks = {file.name for file in WRITTEN if file.parent.name in ("tutorials", "how-to") and blocks(file)}
    assert with_blocks == FOLLOWED


# --- the helper -------------------------------------------------------------------------------------------------------

FILE = "a: 1  # one\n# b: 2  # two\nc:\n  # d: 3\n  a: 4\n"


@pytest.mark.parametrize(
    ("change", "became"),
    [
        ("a: 5", "a: 5\n# b: 2  # two\nc:\n  # d: 3\n  a: 4\n"),
        ("b: 5", "a: 1  # one\nb: 5\nc:\n  # d: 3\n  a: 4\n"),
        ("c:\n  d: 5\n  a: 6", "a: 1  # one\n# b: 2  # two\nc:\n  d: 5\n  a: 6\n"),
        ("c:\n  # a: 4", "a: 1  # one\n# b: 2  # two\nc:\n  # d: 3\n  # a: 4\n"),
    ],
)
def test_a_change_sets_the_key_of_its_group(change: str, became: str) -> None:
    assert changed(FILE, change) == became


def test_a_change_of_a_key_that_is_not_there_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"c\.b"):
        changed(FILE, "c:\n  b: 1")


def test_a_page_is_followed_in_order_and_what_it_promises_is_compared(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = (
        f'```sh\nmkdir in\ncd in\n```\n```yaml title="f.yaml"\na: 1\n```\n```yaml title="f.yaml{CHANGE}"\na: 2\n```\n'
    )
    text += "```sh\ncat f.yaml\n```\n```text\na: …\n```\n"
    page.write_text(text, encoding="utf-8")
    Reader(tmp_path).follow(page)
    assert (tmp_path / "in/f.yaml").read_text(encoding="utf-8") == "a: 2\n"
    page.write_text("```sh\necho a\n```\n```text\nb\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="line 4: 'b' was not printed"):
        Reader(tmp_path).follow(page)
    page.write_text("```sh\nfalse\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="line 1"):
        Reader(tmp_path).follow(page)
