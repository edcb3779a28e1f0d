"""Fenced code blocks of a page, and how a reader would use them: run, save as a file, or change a file.

A fence says what its block is: `sh` is typed; a `title` is the name of the file that the block is; `title="FILE: change"` shows
lines of a file as they are to become; `text` is what the command before it prints, with … for what differs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r'^(?P<indent> *)```(?P<language>[\w.-]+)(?: title="(?P<title>[^"]*)")?\n(?P<text>.*?)^(?P=indent)```$', re.M | re.S
)
_KEY = re.compile(r"^(?P<indent> *)(?P<mark># )?(?P<more> *)(?P<key>\w+):(?P<value>.*)$")
CHANGE = ": change"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `title` is empty where it has none, `line` is where it begins."""

    language: str
    title: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        lines = [line.removeprefix(match["indent"]) for line in match["text"].splitlines(keepends=True)]
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(match["language"], match["title"] or "", "".join(lines), line))
    assert len(found) == len(re.findall(r"^ *```[\w.-]", text, re.MULTILINE)), f"a fence of {page} is not understood"
    return found


def _keys(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    path: list[str] = []
    for match in map(_KEY.match, text.splitlines()):
        if match is not None:
            path = [*path[: len(match["indent"] + match["more"]) // 2], match["key"]]
            yield ".".join(path), match


def changed(text: str, change: str) -> str:
    """A config file of `vsplit init` with the keys of `change` set to what stands there, or commented out as there."""
    wanted = {name: match for name, match in _keys(change) if match["value"].strip()}
    lines = text.splitlines()
    for name, match in _keys(text):
        new = wanted.pop(name, None)
        if new is not None:
            place = next(number for number, line in enumerate(lines) if line == match.string)
            lines[place] = f"{match['indent']}{new['mark'] or ''}{match['more']}{new['key']}: {new['value'].strip()}"
    assert not wanted, f"not in the file: {list(wanted)}"
    return "\n".join(lines) + "\n"


class Reader:
    """Follows a page in `folder`, with the commands of this environment. `after` may adjust files after each command."""

    def __init__(self, folder: Path, after: Callable[[Path], None] = lambda folder: None) -> None:
        self.folder = folder
        self.after = after
        self.printed = ""

    def follow(self, page: Path) -> None:
        """Do all that the page says."""
        for block in blocks(page):
            where = f"{page.name}, line {block.line}"
            if block.language == "sh":
                self._type(block.text, where)
            elif block.title.endswith(CHANGE):
                file = self.folder / block.title.removesuffix(CHANGE)
                file.write_text(changed(file.read_text(encoding="utf-8"), block.text), encoding="utf-8")
            elif block.title:
                (self.folder / block.title).write_text(block.text, encoding="utf-8")
            else:
                assert block.language == "text", f"{where}: nobody would know what to do with this block"
                self._compare(block.text, where)

    def _type(self, text: str, where: str) -> None:
        paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{text}\necho; pwd"],
            cwd=self.folder, env=os.environ | {"PATH": paths, "COLUMNS": "200"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{where}:\n{text}\n{done.stdout}\n{done.stderr}"
        *printed, folder = done.stdout.splitlines()
        self.printed, self.folder = "\n".join(printed), Path(folder)
        self.after(self.folder)

    def _compare(self, text: str, where: str) -> None:
        printed = " ".join(self.printed.split())
        for line in text.splitlines():
            pattern = re.escape(" ".join(line.split())).replace("…", ".*?")
            assert re.search(pattern, printed), f"{where}: {line!r} was not printed, but:\n{self.printed}"
