"""Fenced code blocks of a page, and how a reader uses them: run, save as a file, or change a file.

The fence gives the kind of block. `sh` is typed. `bash` is typed by a reader, but not by a test. A `title` is the name of the
file that the block is; `title="FILE: change"` shows lines of a file as they become. `text` is what the command before it
prints, with … for what differs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
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


def _keys(text: str) -> Iterator[tuple[str, int, re.Match[str]]]:
    """The dotted name of each key, the number of its line from 0, and its parts."""
    path: list[str] = []
    for number, match in enumerate(map(_KEY.match, text.splitlines())):
        if match is not None:
            path = [*path[: len(match["indent"] + match["more"]) // 2], match["key"]]
            yield ".".join(path), number, match


def changed(text: str, change: str) -> str:
    """A config file of `vsplit init` with the keys of `change` set to the values there, or commented out as there."""
    wanted = {name: match for name, _, match in _keys(change)}
    lines = text.splitlines()
    for name, number, match in _keys(text):
        new = wanted.pop(name, None)
        if new is not None:
            value = new["value"].rstrip() or match["value"]  # a group is only no longer commented out
            lines[number] = f"{match['indent']}{new['mark'] or ''}{match['more']}{new['key']}:{value}"
    assert not wanted, f"not in the file: {list(wanted)}"
    return "\n".join(lines) + "\n"


class Reader:
    """Follows a page in `folder`, with the commands of this environment and `variables`. `after` may adjust files after each
    command.
    """

    def __init__(
        self,
        folder: Path,
        after: Callable[[Path], None] = lambda folder: None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.after = after
        self.variables = dict(variables or {})
        self.printed = ""

    def follow(self, page: Path) -> None:
        """Do everything that the page says."""
        for block in blocks(page):
            where = f"{page.name}, line {block.line}"
            if block.language == "sh":
                self.type(block.text, where)
            elif block.title.endswith(CHANGE):
                file = self.folder / block.title.removesuffix(CHANGE)
                file.write_text(changed(file.read_text(encoding="utf-8"), block.text), encoding="utf-8")
            elif block.title:
                (self.folder / block.title).write_text(block.text, encoding="utf-8")
            else:
                assert block.language == "text", f"{where}: no test knows what to do with this block"
                self.compare(block.text, where)

    def type(self, text: str, where: str) -> None:
        """Run commands, in the folder where the ones before ended."""
        paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = os.environ | {"PATH": paths, "COLUMNS": "200"} | self.variables
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{text}\necho; pwd"],
            cwd=self.folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{where}:\n{text}\n{done.stdout}\n{done.stderr}"
        *printed, folder = done.stdout.splitlines()
        self.printed, self.folder = "\n".join(printed), Path(folder)
        self.after(self.folder)

    def compare(self, text: str, where: str) -> None:
        """Each line was printed by the last commands."""
        printed = " ".join(self.printed.split())
        for line in text.splitlines():
            pattern = re.escape(" ".join(line.split())).replace("…", ".*?")
            assert re.search(pattern, printed), f"{where}: {line!r} was not printed, but:\n{self.printed}"
