"""The generated reference pages are up to date, and leave nothing out."""

from __future__ import annotations

import re

import pytest
import yaml
from typer.testing import CliRunner

from docs.generator.api import public_packages
from docs.generator.commands import exit_codes
from docs.generator.config import config_keys
from docs.generator.pages import PAGES, REFERENCE, page
from parties.command.cli import app
from parties.config.digests import key_digests
from parties.config.job import Job
from parties.ledger.record import CUT, FINISHED
from parties.network.stop_reasons import STOP_REASONS
from parties.run.message_kinds import KINDS


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_what_the_code_makes(name: str) -> None:
    committed = (REFERENCE / name).read_text(encoding="utf-8")
    assert committed == page(name), "the page is not up to date; write it again with: python -m docs.generator"


def test_every_key_of_the_job_is_on_the_page(thyroid_job: Job) -> None:
    """The digests that parties compare name every key that a job has."""
    text = page("configuration.md")
    for key in key_digests(thyroid_job, thyroid_job.align.contract):
        name = re.sub(r"^parties\.\w+", "parties.NAME", key)
        assert f"### `{name}`\n" in text or key == "align.contract", key


def test_every_key_has_a_meaning_and_bounds_in_words() -> None:
    form = r"### `(.*?)`\n\n(.*?)\n\n- Value: (.+)\n- Default: (.+)\n- Example: `(.+)`\n"
    sections = re.findall(form, page("configuration.md"))
    assert len(sections) == page("configuration.md").count("\n### ") > 70
    by_name = {name: (meaning, value, default) for name, meaning, value, default, _ in sections}
    for name, *_, example in sections:
        assert yaml.safe_load(example).keys() == {name.rpartition(".")[2]}
    assert by_name["train.lr"][1:] == ("a number above 0 and at most 100", "required")
    assert by_name["train.checkpoint.steps"][1:] == ("a whole number from 1 to 1000000000, or null", "`1000`")
    assert by_name["accept.min_list"][1:] == ("a whole number from 1 to 1000000000", "`100`")
    assert all(re.match(r"[A-Z.].*[^.]\.$", meaning) for meaning, _, _ in by_name.values())


def test_a_key_without_a_meaning_is_noticed() -> None:
    with pytest.raises(KeyError, match="job"):
        config_keys(Job, ["task: binary  # what is predicted\n"])


def test_every_command_is_on_the_page_under_the_words_that_call_it() -> None:
    text = page("commands.md")
    headings = re.findall(r"^## `(vsplit[^`]*)`$", text, re.MULTILINE)
    assert {"vsplit init NAME…", "vsplit run PARTY.yaml", "vsplit ledger verify LEDGER [OTHER]"} <= set(headings)
    for heading in headings:
        words = [word for word in heading.split()[1:] if word.islower() and word.isalpha()]
        shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert shown.exit_code == 0, heading
        section = text.partition(f"## `{heading}`")[2].partition("\n## ")[0]
        options = set(re.findall(r"--[a-z-]+", shown.output)) - {"--help"}
        assert options <= set(re.findall(r"--[a-z-]+", section)), heading


def test_every_exit_code_has_a_meaning() -> None:
    assert exit_codes().keys() >= {0, 1, 2, 3, 4, 5, 6, 7, 130}


def test_every_public_name_is_on_the_page() -> None:
    text = page("python.md")
    packages = public_packages()
    assert "psi" in {package.__name__ for package in packages}
    for package in packages:
        section = text.partition(f"## `{package.__name__}`\n")[2].partition("\n## ")[0]
        assert re.findall(r"^### `(\w+)`$", section, re.MULTILINE) == sorted(package.__all__)


def test_the_series_that_pages_name_are_on_the_page() -> None:
    text = page("monitoring.md")
    series = set(re.findall(r"^\| `(vsplit_\w+)` \|", text, re.MULTILINE))
    guide = (REFERENCE.parent / "how-to/operate.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bvsplit_\w+", guide + text))
    assert len(series) > 12
    assert named == series


def test_every_event_is_on_the_page() -> None:
    events = re.findall(r"^\| `vsplit\.\w+` \| `(\w+)` \|", page("monitoring.md"), re.MULTILINE)
    assert len(events) == len(set(events)) > 6


def test_every_message_that_can_cross_is_on_the_page() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", page("messages.md"), re.MULTILINE)
    assert len(listed) == len(KINDS)
    assert set(listed) == {kind.__name__ for kind in KINDS}


def test_the_codes_with_which_a_session_ends_are_on_the_page() -> None:
    text = (REFERENCE / "run-folder.md").read_text(encoding="utf-8").partition("\n## `ledger.jsonl`\n")[2]
    # With "twice" a second process of a party is refused, which has no session.
    codes = {FINISHED, CUT} | STOP_REASONS.keys() - {"twice"}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == codes
