"""Signs of a partner, of data or of a program that would act on a screen or hide in it are spelt out, on each way out."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.live import Live
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from parties.command import cli, execution
from parties.command.console import Console
from parties.command.screen import Screen, print_end, print_failure, print_text
from parties.local.text import json_text, visible
from parties.monitoring.events import NOTE, Failed, Finished, Step
from parties.run.run_folder import RunFolder

# Title and colour of a terminal, C1's CSI, an erased line, right to left, isolates, no width, line separators, tags.
SIGNS = (
    "\x1b]0;x\x07", "\x1b[31m", "\x9b2J", "\r", "\b", "\x00", "\x7f", "\x85", "\u202a", "\u202e", "\u2066", "\u2069",
    "\u200b", "\u200d", "\u200e", "\u200f", "\u2028", "\u2029", "\u2060", "\ufeff", "\u00ad", "\u061c", "\u3164", "\U000e0041",
)  # fmt: skip
EVIL = "a".join(("", *SIGNS, ""))


def acts(text: str) -> set[str]:
    """The characters of a text that a person must not be shown, line breaks apart."""
    return {
        one
        for one in text
        if one != "\n" and (unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") or one == "\u3164")
    }


def printed(draw, *, terminal: bool = True) -> str:
    """What `draw` sends to a console, without the console's own colours."""
    file = io.StringIO()
    draw(Console(file=file, force_terminal=terminal, color_system=None, width=400, legacy_windows=False))
    return file.getvalue()


@given(st.text())
def test_what_is_visible_stays_and_nothing_else_is_left(text: str) -> None:
    shown = visible(text)
    assert not acts(shown)
    assert "\n" not in shown
    assert visible(shown) == shown
    assert json.loads(json_text(text)) == text
    assert not acts(json_text(text))


@pytest.mark.parametrize(
    "text", ["Größe", "eGFR – CKD", "日本語", "عربي", "नमस्ते", "R²", "1\u00a0000", "±3 °C", "😀", "C:\\x"]
)
def test_letters_of_all_scripts_stay(text: str) -> None:
    assert visible(text) == text
    assert json_text(text) == json.dumps(text, ensure_ascii=False)


def test_the_spelling_is_python_s() -> None:
    assert visible("a\x1b[2J\u202eb\U000e0041\n") == r"a\x1b[2J\u202eb\U000e0041\n"
    assert json_text("\u202e\U000e0041") == r'"\u202e\udb40\udc41"'


def table() -> Table:
    made = Table(EVIL, title=Text(EVIL))
    made.add_row(Text(EVIL))
    return made


@pytest.mark.parametrize(
    "draw",
    [
        lambda console: print_text(console, EVIL),
        lambda console: print_end(console, "lab", Finished([EVIL], EVIL)),
        lambda console: print_failure(console, "lab", Failed(EVIL, 1)),
        lambda console: console.print(EVIL, markup=False),
        lambda console: console.print(Text(EVIL)),
        lambda console: console.print(table()),
        lambda console: Screen(["lab"], console).show("lab", Step(NOTE, text=EVIL)),
        lambda console: Screen(["lab"], console).show("lab", Step(EVIL, 1, 2, EVIL)),
    ],
)
def test_nothing_acts_on_a_terminal(draw) -> None:
    assert not acts(printed(draw))
    assert not acts(printed(draw, terminal=False))
    assert r"\u202e" in printed(draw)


def test_nothing_acts_in_a_screen_that_draws_in_place() -> None:
    """What the console itself sends to move the cursor is apart from the text."""

    def draw(console: Console) -> None:
        screen = Screen(["lab"], console)
        screen.show("lab", Step("training", text=EVIL))
        with Live(get_renderable=screen._lines, console=console, auto_refresh=False) as live:
            live.refresh()

    text = printed(draw)
    assert r"\u202e" in text
    for sign in SIGNS:
        assert sign not in text or sign == "\r"


def test_the_data_s_names_reach_no_terminal_as_they_are(world) -> None:
    world.tables["clinic"] = world.tables["clinic"].rename(
        columns={"age": f"age {EVIL}".replace("\x00", "").replace("\r", "")}
    )
    world.write()
    result = CliRunner().invoke(cli.app, ["check", str(world.folder / "clinic.yaml")])
    assert result.exit_code == 0, result.output
    assert not acts(result.output)
    assert r"\x1b" in result.output and r"\u202e" in result.output


def test_a_partner_s_job_reaches_no_terminal_as_it_is(world) -> None:
    world.job["align"] = {"key": ["per\u202eson\x9b2J"]}
    world.write()
    result = CliRunner().invoke(cli.app, ["check", str(world.folder / "clinic.yaml")])
    assert result.exit_code == 3
    assert not acts(result.output)
    assert r"per\u202eson\x9b2J" in "".join(result.output.split())


def test_a_traceback_reaches_no_terminal_as_it_is(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "stderr", sys.stderr)

    def fail() -> int:
        raise RuntimeError(EVIL)

    assert execution.attempt(fail, debug=True) != 0
    text = capsys.readouterr().err
    assert "RuntimeError" in text
    assert not acts(text)


def test_a_json_file_of_the_run_folder_shows_nothing_else(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.filling():
        text = folder.write_json("x.json", {EVIL: [EVIL]}).read_text(encoding="utf-8")
    assert not acts(text)
    assert json.loads(text) == {EVIL: [EVIL]}
