"""Lines that a document tells its reader to type are words that the command takes, with options that it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from parties.command.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    file.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "examples", "benchmarks", ".github")
    for file in ((ROOT / folder).glob("*.md") if folder == "." else (ROOT / folder).rglob("*.md"))
)


def typed(text: str) -> Iterator[str]:
    """What follows the word `vsplit` in each line of an indented block, or of a fenced one of a shell."""
    for block in re.findall(r"^```(?:sh|bash)(?: title=\"[^\"\n]*\")?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from re.findall(r"^(?:\S*/)?vsplit (.*)$", block, re.MULTILINE)
    without_fences = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"^ {4,}(?:~/vsplit/bin/)?vsplit (.*)$", without_fences, re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_typed_is_a_command(document: str) -> None:
    for line in typed((ROOT / document).read_text(encoding="utf-8")):
        # What comes after two spaces is a remark on the command.
        words = line.partition("  ")[0].split()
        command: Any = get_command(app)
        while getattr(command, "commands", None) and not words[0].startswith("--"):
            assert words[0] in command.commands, f"vsplit {line}"
            command = command.commands[words.pop(0)]
        options = {one for param in command.params for one in param.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= options, f"vsplit {line}"


def test_documents_have_commands() -> None:
    found = [line for document in DOCUMENTS for line in typed((ROOT / document).read_text(encoding="utf-8"))]
    assert len(found) > 25
