"""`vsplit check --html` and `--json`: what leaves, in five groups, and what crosses of a record in numbers."""

from __future__ import annotations

import json
import re
import stat
from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from parties.command.cli import app
from parties.command.cut_layer import CutLayer
from parties.command.disclosure import leaves_in_overlap, what_leaves
from parties.command.disclosure_document import document_of_overlap, document_of_run
from parties.command.disclosure_page import render_disclosure
from parties.command.groups import GROUP_OF, KINDS_OF, TITLES
from parties.command.groups import words_of as words_of_group
from parties.config.party import load_party
from parties.config.party_file import Accept
from parties.config.quota_settings import QuotaSettings
from parties.data.party_data import read_party_data
from parties.ledger.exchange import job_digest
from parties.run.message_kinds import KINDS
from parties.run.quotas import count_run
from vsplit import __version__, measured

pytestmark = pytest.mark.usefixtures("signals_as_before")

EVIL = "<script>alert('x')</script>"
TURNED = "id\u202egnp"
VOID = {"meta", "link"}
NOW = datetime(2026, 3, 2, 9, 14, tzinfo=UTC)


class Page(HTMLParser):
    """A page's tags, texts and references. Fails where a tag is not closed in order, or anything could be loaded or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []
        assert not {"script", "iframe", "object", "img", "form", "a"} & set(self.tags)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert name not in ("src", "srcset", "action", "style")
            assert name != "href" or value == "data:,"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += " " + data

    def says(self, sentence: str) -> bool:
        return sentence in re.sub(r"\s+", " ", self.text)


def look(world: Any, name: str, *options: str) -> Any:
    return CliRunner().invoke(app, ["check", str(world.folder / f"{name}.yaml"), *options])


def words_of(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


# --- the groups ---------------------------------------------------------------------------------------------------------


def test_every_kind_of_message_is_in_exactly_one_group() -> None:
    """Who adds a kind says here, in KINDS_OF, to which group it belongs."""
    listed = [kind for kinds in KINDS_OF.values() for kind in kinds]
    assert sorted(listed) == sorted({kind.__name__ for kind in KINDS})
    assert list(KINDS_OF) == list(TITLES)
    assert len(TITLES) == 5


@pytest.mark.parametrize("aggregate", ["concat", "masked_sum", "paillier_sum"])
@pytest.mark.parametrize("by", ["seed", "date"])
def test_what_the_terminal_lists_is_in_the_groups_and_nothing_else(three: Any, aggregate: str, by: str) -> None:
    three.job["model"]["aggregate"] = aggregate
    three.job["split"]["by"] = by
    if by == "date":
        three.tables["clinic"]["visit"] = "2024-01-01"
        three.files["clinic"]["data"]["date"] = "visit"
    three.write()
    for name in three.names:
        home = read_party_data(three.party(name))
        document = document_of_run(home, NOW)
        listed = what_leaves(home)
        grouped = [row for group in document.groups for row in group.kinds]
        assert Counter(grouped) == Counter(listed)
        assert all(GROUP_OF[row.kind] == group.name for group in document.groups for row in group.kinds)
        assert sum(group.bytes for group in document.groups) == sum(row.bytes for row in listed if not row.only_if)
        page = Page(render_disclosure(document))
        assert all(page.says(f"{row.kind} ") and page.says(row.reveals[1:]) for row in listed)
        assert page.tags["details"] == sum(bool(group.kinds) for group in document.groups)
        assert page.says("A sum hides which party a number comes from, but hardly what it reveals.") == (
            aggregate != "concat"
        )
        assert page.says(measured.LABELS)
        assert page.says(measured.INVERTED)
        assert page.says(measured.OTHERS)


def test_many_rows_of_one_person_and_their_bound_are_told(three: Any) -> None:
    three.job["align"]["repeated"] = "many_to_one"
    three.write()
    page = Page(render_disclosure(document_of_run(read_party_data(three.party("lab")), NOW)))
    assert page.says("clinic sends how many rows it has of each shared person.")
    assert page.says("10,000,000")
    assert Page(render_disclosure(document_of_run(read_party_data(three.party("clinic")), NOW))).says("RowCounts")


# --- the page -----------------------------------------------------------------------------------------------------------


def test_the_page_is_dated_and_says_by_what_it_was_made_and_what_is_in_force(world: Any) -> None:
    world.files["lab"]["accept"] = {"max_embedding": 8, "tasks": ["binary"], "aggregations": ["concat", "sum"]}
    party = world.write().party("lab")
    count_run(QuotaSettings.of(party), "overlap", datetime.now(UTC))
    result = look(world, "lab", "--html", str(world.folder / "lab.html"))
    assert result.exit_code == 0, result.output
    assert f"Page for the data-protection officer: {world.folder / 'lab.html'}" in result.output
    assert "All checks passed: this party is ready for a run." in result.output
    page = Page((world.folder / "lab.html").read_text(encoding="utf-8"))
    assert page.tags["time"] == 1
    for told in (__version__, job_digest(party.job).hex(), "220", "lab.yaml", party.job.parties["clinic"].identity):
        assert page.says(told), told
    for key in Accept.model_fields:
        assert page.says(f"accept.{key}"), key
    assert page.says("accept.max_embedding 8 Numbers for each record and pass that may leave, at most party file")
    assert page.says("accept.min_list 100 Keys in any party's list, including this one's, at least default")
    assert page.says(
        "accept.aggregations concat, sum Ways in which embeddings are joined at the label party party file"
    )
    assert page.says("accept.max_records 1,000,000")
    for title in TITLES.values():
        assert page.says(title)
    for setting in ("align.key", "align.normalise", "split.by", "model.embedding", "model.aggregate", "train.epochs"):
        assert page.says(setting), setting
    assert page.says("clinic label party " + party.job.parties["clinic"].identity + " 1")
    assert "KEY0" not in page.text
    assert stat.S_IMODE((world.folder / "lab.html").stat().st_mode) == 0o600


def test_nothing_that_a_partner_or_a_file_says_breaks_out_of_the_page(world: Any) -> None:
    world.job["align"] = {"key": [EVIL], "normalise": {EVIL: ["lower"]}}
    world.tables["lab"] = world.tables["lab"].rename(columns={"tsh": EVIL + "2"})
    for name in world.names:
        world.files[name]["data"]["key"] = ["person"]
    home = read_party_data(world.write().party("lab"))
    html = render_disclosure(document_of_run(home, NOW))
    assert "<script" not in html
    page = Page(html)
    assert page.says(EVIL)
    assert page.says(EVIL + "2")
    world.job["align"] = {"key": [TURNED]}
    html = render_disclosure(document_of_run(read_party_data(world.write().party("lab")), NOW))
    assert "\u202e" not in html
    assert Page(html).says("id\\u202egnp")


def test_the_same_document_gives_the_same_page(world: Any) -> None:
    home = read_party_data(world.write().party("clinic"))
    page = render_disclosure(document_of_run(home, NOW))
    assert page == render_disclosure(document_of_run(home, NOW))
    assert Page(page).says("Made on 2026-03-02 09:14:00 UTC by vsplit")


def test_a_seed_beside_a_real_key_is_warned_of(world: Any) -> None:
    world.files["lab"]["seed"] = 3
    page = Page(render_disclosure(document_of_run(read_party_data(world.write().party("lab")), NOW)))
    assert page.says("lab.yaml reveals what training protects: it sets the initial weights of lab.")
    for member in world.job["parties"].values():
        member["identity"] = "auto"
    page = Page(render_disclosure(document_of_run(read_party_data(world.write().party("lab")), NOW)))
    assert not page.says("reveals what training protects")


def test_a_bound_that_is_not_set_is_said_to_be_none(world: Any) -> None:
    for member in world.job["parties"].values():
        member["identity"] = "auto"
    world.files["lab"].pop("accept", None)
    page = Page(render_disclosure(document_of_run(read_party_data(world.write().party("lab")), NOW)))
    assert page.says("accept.aggregations no bound Ways in which embeddings are joined at the label party default")
    assert page.says("clinic label party auto not counted")
    assert page.says("a run with a key is refused. What this job asks for: accept: {tasks: [binary]")


# --- an overlap ---------------------------------------------------------------------------------------------------------


def test_an_overlap_has_its_page_without_anything_of_learning(world: Any) -> None:
    for group in ("task", "split", "model", "train"):
        del world.job[group]
    del world.files["clinic"]["data"]["label"], world.files["clinic"]["data"]["positive"]
    world.write()
    result = look(world, "clinic", "--overlap", "--html", str(world.folder / "clinic.html"))
    assert result.exit_code == 0, result.output
    page = Page((world.folder / "clinic.html").read_text(encoding="utf-8"))
    assert page.says("Nothing: an overlap trains no model, so no gradient crosses.")
    for word in ("train.epochs", "model.embedding", "Binary task", "Gradient ", "Verdict", measured.LABELS):
        assert not page.says(word), word
    party = load_party(world.folder / "clinic.yaml", "overlap")
    document = document_of_overlap(party, 200, NOW)
    listed = leaves_in_overlap(party.job, party.name, 200)
    assert Counter(row for group in document.groups for row in group.kinds) == Counter(listed)
    assert (
        document.digest != document_of_overlap(load_party(world.folder / "lab.yaml", "overlap"), 220, NOW).digest[:10]
    )
    told = json.loads(look(world, "clinic", "--overlap", "--json").stdout)
    assert (told["purpose"], told["task"], told["cut"]) == ("overlap", None, None)


def test_the_page_of_an_overlap_has_no_bound_on_learning(world: Any) -> None:
    world.files["lab"]["accept"] = {"min_list": 50}
    document = document_of_overlap(load_party(world.write().folder / "lab.yaml", "overlap"), 200, NOW)
    assert [bound.key for bound in document.bounds] == [
        f"accept.{key}" for key in ("min_list", "max_records", "min_records", "max_runs")
    ]
    assert not Page(render_disclosure(document)).says("accept.tasks")


# --- what the words claim -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "said"), [("binary", None), ("multiclass", "several classes"), ("regression", "a number as the outcome")]
)
def test_figures_of_two_classes_are_not_passed_off_as_those_of_another_task(
    world: Any, task: str, said: str | None
) -> None:
    world.job["task"] = task
    world.files["clinic"]["data"].pop("positive")
    party = world.write().party("lab")
    cut = CutLayer(width=4, number_bits=32, epochs=3, columns=2)
    for group in ("embeddings", "gradients"):
        measured_words = words_of_group(group, party.job, cut).measured
        assert ("with two classes; with" in measured_words) == (said is not None)
        assert said is None or f"with {said}, as here, nothing was measured" in measured_words
        assert "16 numbers" in measured_words
    assert measured.LABELS_OF_ONE in words_of_group("gradients", party.job, cut).measured


def test_what_the_label_party_learns_of_two_lists_is_told_where_there_are_three_parties(world: Any, three: Any) -> None:
    told = "clinic also learns how many records each other party shares with it, and how many any of them share."
    cut = CutLayer(width=4, number_bits=32, epochs=3, columns=2)
    for layer in (cut, None):
        assert told in words_of_group("known", three.write().party("lab").job, layer).reveals
        assert told not in words_of_group("known", world.write().party("lab").job, layer).reveals


def test_a_page_says_when_each_bound_refuses_and_what_the_connection_needs(world: Any) -> None:
    page = Page(render_disclosure(document_of_run(read_party_data(world.write().party("lab")), NOW)))
    assert page.says("too few records in common are refused before any party learns which they are")
    assert page.says("a reason code from a fixed list")
    assert page.says("lab, the feature party, with clinic.")


# --- JSON ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["clinic", "lab"])
def test_json_is_one_line_that_says_what_the_page_says(world: Any, name: str) -> None:
    world.job["align"] |= {"normalise": {"person": ["lower", {"pad_zeros": 8}]}}
    party = world.write().party(name)
    plain = look(world, name)
    result = look(world, name, "--json")
    assert result.exit_code == plain.exit_code == 0, result.output
    assert words_of(result.stderr) == words_of(plain.stdout)
    assert result.stdout.count("\n") == 1
    told = json.loads(result.stdout)
    assert (told["job"], told["party"], told["version"], told["purpose"]) == ("test", name, __version__, "run")
    assert told["digest"] == job_digest(party.job).hex()
    assert datetime.fromisoformat(told["made"]).tzinfo is not None
    assert [group["name"] for group in told["groups"]] == list(TITLES)
    assert {bound["key"] for bound in told["bounds"]} == {f"accept.{key}" for key in Accept.model_fields}
    listed = what_leaves(read_party_data(party))
    assert sum(len(group["kinds"]) for group in told["groups"]) == len(listed)
    assert sum(group["bytes"] for group in told["groups"]) == sum(row.bytes for row in listed if not row.only_if)
    assert told["cut"] == {"width": 4, "number_bits": 32, "epochs": 3, "columns": 2, "bits": 128}
    for group in told["groups"]:
        assert set(group["words"]) == {"crosses", "reveals", "measured"}


# --- where it goes ------------------------------------------------------------------------------------------------------


def test_a_page_overwrites_a_page_and_nothing_else(world: Any) -> None:
    world.write()
    page = world.folder / "lab.html"
    page.write_text("an older page")
    assert look(world, "lab", "--html", str(page)).exit_code == 0
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    before = {file: file.read_bytes() for file in world.folder.rglob("*") if file.is_file()}
    (world.folder / "pages.html").mkdir()
    for given, told in [
        (world.folder, "which is a folder; name a file in it"),
        (world.folder / "pages.html", "which is a folder; name a file in it"),
        (world.folder / "job.yaml", "does not end in .html or .htm"),
        (world.folder / "lab.csv", "does not end in .html or .htm"),
        (world.folder / "keys" / "lab.key", "does not end in .html or .htm"),
        (world.folder / "nowhere" / "lab.html", "does not exist; create it first"),
    ]:
        result = look(world, "lab", "--html", str(given))
        assert result.exit_code == 2, given
        assert told in words_of(result.output), result.output
    assert {file: file.read_bytes() for file in world.folder.rglob("*") if file.is_file()} == before


def test_a_check_that_fails_writes_no_page_and_prints_no_json(world: Any) -> None:
    world.files["lab"]["accept"] = {"max_embedding": 2, "tasks": ["binary"], "aggregations": ["concat"]}
    world.write()
    result = look(world, "lab", "--html", str(world.folder / "lab.html"), "--json")
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "accept.max_embedding" in result.stderr
    assert not (world.folder / "lab.html").exists()


def test_a_page_that_cannot_be_written_is_an_error_in_one_sentence(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: Path, _parts: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("parties.command.disclosure_page.write_whole", full)
    world.write()
    result = look(world, "lab", "--html", str(world.folder / "lab.html"))
    assert result.exit_code == 2
    assert "lab.html cannot be written (No space left on device)" in words_of(result.output)


# --- what crosses of a record ---------------------------------------------------------------------------------------------


def test_bits_of_a_record_and_passes_stand_beside_the_own_columns(world: Any) -> None:
    world.job["model"]["embedding"] = 1
    result = look(world.write(), "lab")
    assert (
        "Embeddings: 1 number of 32 bits, 32 bits in all, for each record and pass, computed from 2 own columns (numbers, "
        "categories and pixels; indicators of missing values are not counted). A training record crosses up to 3 times, a "
        "validation record up to 4 times (including the final pass), and a test record once (in the final pass)."
    ) in words_of(result.output)
    assert "is not narrower" not in words_of(result.output)
    words = words_of(look(world, "clinic").output)
    assert (
        "Gradients: 1 number of 32 bits, 32 bits in all, for each training record, computed from its label and sent to each "
        "feature party up to 3 times."
    ) in words
    assert "is not narrower" not in words


@pytest.mark.parametrize("width", [2, 16, 512])
def test_an_embedding_that_is_not_narrower_than_the_columns_is_warned_of(world: Any, width: int) -> None:
    world.job["model"]["embedding"] = width
    world.files["lab"]["accept"] |= {"max_embedding": 512}
    words = words_of(look(world.write(), "lab").output)
    warning = (
        f"An embedding of {width} numbers is not narrower than the 2 own columns that it is computed from, so it has room "
        "for all of them: choose a smaller model.embedding."
    )
    assert f"Warning: {warning}" in words
    assert f"{32 * width:,} bits in all" in words
    assert warning in document_of_run(read_party_data(world.party("lab")), NOW).warnings


def test_the_numbers_of_a_secure_sum_have_its_bits(three: Any) -> None:
    three.job["model"] |= {"aggregate": "masked_sum", "secure_sum": {"bits": 12}}
    words = words_of(look(three.write(), "lab").output)
    assert "Embeddings: 4 numbers of 12 bits, 48 bits in all" in words
    assert "The sum hides which party a number comes from, but hardly what it reveals." in words
