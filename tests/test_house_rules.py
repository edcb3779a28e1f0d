"""The rules of the house that can be counted: sizes, levels, rooms, public names, and the names that are used no more."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("vsplit", "psi", "parties")
SOURCES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
ROOMS = sorted(file.parent for file in SOURCES if file.name == "__init__.py")

LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 250, 40
# What is longer, with its number of lines. Both are empty; before you add an entry, look for what could be left out.
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}

# The modules outside parties/config that take a party's whole configuration, instead of what they need. The list only shrinks.
WHOLE_CONFIGURATION = {
    "parties/command/bounds.py",
    "parties/command/check.py",
    "parties/command/check_connection.py",
    "parties/command/check_overlap.py",
    "parties/command/disclosure_document.py",
    "parties/command/identity.py",
    "parties/command/key_quality.py",
    "parties/command/launch.py",
    "parties/command/run.py",
    "parties/data/party_data.py",
    "parties/monitoring/monitor.py",
    "parties/run/contact.py",
    "parties/run/loading.py",
    "parties/run/overlap.py",
    "parties/run/party_run.py",
    "parties/run/run_folder.py",
}

# Modules and classes under names that were given up, by package and room.
RETIRED_MODULES = """
parties.life parties.living parties.home parties.together parties.meeting parties.greeting parties.shared
parties.leave parties.judging parties.parts parties.partners parties.unfinished parties.watch parties.text
parties.plain_file parties.places parties.own_module parties.command_line parties.telling parties.earlier_start
parties.predictions parties.past_runs parties.seeds parties.aligning parties.allocator parties.common_order
parties.driver parties.events parties.folder parties.hints parties.identity parties.learning parties.overlapping
parties.pool parties.ledger.agreeing parties.ledger.exchanges parties.ledger.examined parties.ledger.joining
parties.ledger.settling parties.ledger.vouching parties.network.door parties.network.bell parties.network.outbox
parties.network.reception parties.network.wire parties.network.endpoint parties.network.connecting
parties.network.listening parties.network.sockets parties.network.telling parties.network.proving
parties.network.caller vsplit.masks vsplit.learn.ways vsplit.learn.aggregation vsplit.learn.masked vsplit.learn.chain
vsplit.learn.secure_sum vsplit.learn.stock vsplit.learn.attempt vsplit.learn.metrics vsplit.learn.weighted
vsplit.learn.curves psi.marks psi.undoing psi.causes
""".split()  # noqa: SIM905  a list of that many quotes would hide the names
RETIRED_STEMS = {
    "life", "living", "home", "together", "meeting", "greeting", "shared", "leave", "judging", "parts", "partners",
    "unfinished", "committing", "kept_file", "ways", "stock", "chain", "door", "reception", "outbox", "wire",
    "endpoint", "marks", "undoing", "causes", "watch", "bell", "telling",
}  # fmt: skip
RETIRED_CLASSES = {
    "Life", "Home", "Shared", "Giving", "Taking", "OpenGiving", "OpenTaking", "MaskedGiving", "MaskedTaking", "PaillierGiving",
    "PaillierTaking", "SumGiving", "SumTaking", "NoiseStock", "Held", "Kept", "KeptByAll", "Told", "Begun", "Agreed", "Story",
    "Door", "Bell", "Reception", "Outbox", "Onlooker", "Watch", "Marks", "Greeting", "Holding", "Beginning", "Meeting", "Part",
    "Checkpoints", "KeptFile", "Due", "Chain",
}  # fmt: skip


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def _functions(file: Path) -> Iterator[tuple[str, int]]:
    """Each function of the file, with its class, and its lines from `def` to its end."""

    def visit(node: ast.AST, inside: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{inside}{child.name}"
                if not isinstance(child, ast.ClassDef):
                    yield name, (child.end_lineno or child.lineno) - child.lineno + 1
                yield from visit(child, f"{name}.")
            else:
                yield from visit(child, inside)

    yield from visit(ast.parse(file.read_text(encoding="utf-8")), f"{_name(file)}:")


def _compare(found: dict[str, int], listed: dict[str, int], most: int) -> None:
    longer = {name: lines for name, lines in found.items() if lines > max(most, listed.get(name, 0))}
    assert not longer, f"at most {most} lines; say it with fewer, or move what belongs elsewhere"
    shrunk = {name: found.get(name, 0) for name, lines in listed.items() if found.get(name, 0) < lines}
    assert not shrunk, "these are shorter by now: lower their entries in this file, or take them out"


def test_files_keep_to_their_size() -> None:
    found = {_name(file): len(file.read_text(encoding="utf-8").splitlines()) for file in SOURCES}
    _compare(found, LONG_FILES, LINES_OF_A_FILE)


def test_functions_keep_to_their_size() -> None:
    found: dict[str, int] = {}
    for file in SOURCES:
        for name, lines in _functions(file):
            found[name] = max(lines, found.get(name, 0))
    _compare(found, LONG_FUNCTIONS, LINES_OF_A_FUNCTION)


def test_few_modules_take_the_whole_configuration_of_a_party() -> None:
    found = {
        _name(file)
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "parties.config.party"
        if "Party" in {alias.name for alias in node.names} and file.parent.name != "config"
    }
    assert not found - WHOLE_CONFIGURATION, "hand each module the names, the job or the settings that it needs"
    assert not WHOLE_CONFIGURATION - found, "these need it no more: take them out of the list"


def test_no_module_of_parties_stands_beside_its_rooms() -> None:
    assert {file.name for file in (ROOT / "parties").glob("*.py")} == {"__init__.py", "__main__.py"}


def test_there_are_at_most_two_levels_of_folders_under_a_package() -> None:
    for package in PACKAGES:
        assert max(len(file.relative_to(ROOT / package).parts) for file in (ROOT / package).rglob("*.py")) <= 3


@pytest.mark.parametrize("room", ROOMS, ids=_name)
def test_each_room_says_first_what_is_in_it(room: Path) -> None:
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
    assert said, f"{_name(room)} has no docstring"
    assert re.match(r"[A-Z`][^\n]{15,}[.]$", said.splitlines()[0]), f"the first line of {_name(room)} is one sentence"


def test_no_retired_module_is_left() -> None:
    for name in RETIRED_MODULES:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)
    assert not [_name(file) for file in SOURCES if {file.stem, file.parent.name} & RETIRED_STEMS]


def test_no_retired_class_is_left() -> None:
    found = {
        f"{_name(file)}: {node.name}"
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.lstrip("_") in RETIRED_CLASSES
    }
    assert not found


@pytest.mark.parametrize("word", ["life", "lives", "farewell", "meet", "greet", "onlooker"])
def test_no_public_name_is_a_figure_of_speech(word: str) -> None:
    pattern = re.compile(rf"(?:^|_){word}(?:s|ing|_|$)")
    found = {
        f"{_name(file)}: {node.name}"
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and pattern.search(node.name)
    }
    assert not found
