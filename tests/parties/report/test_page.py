"""The report: what stands in it, that it loads nothing, and that no name can break out of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest

from parties.report import result_plots
from parties.report.content import (
    Columns,
    Crossing,
    Epoch,
    LedgerEnd,
    Party,
    Records,
    ReportContent,
    SecureSum,
    SplitScores,
    Training,
)
from parties.report.page import render_report
from parties.report.words import bytes_text, duration_text, score_text
from psi import ColumnReport, StepReport
from vsplit import measured
from vsplit.evaluation.curves import Curves, curves
from vsplit.evaluation.metrics import Comparison, Estimate, Task, compare

EVIL = "<script>alert('$x_1$ & \"y\"')</script>"
SIGNS = "clinic \x1b[31m \x9b2J \u202e \u2066 \u200b \u2028 \ufeff \x7f \r"
VOID = {"meta", "link", "br", "img", "hr", "col", "input"}


class Page(HTMLParser):
    """Reads a page, and holds its tags, ids, text and references. Fails where a tag is not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.labels: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name == "id":
                self.ids.append(value or "")
            elif name in ("href", "src", "xlink:href", "srcset", "action"):
                self.references.append(value or "")
            elif name == "aria-label":
                self.labels.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += " " + data

    def says(self, sentence: str) -> bool:
        return sentence in re.sub(r"\s+", " ", self.text)


def estimates(value: float, *, low: float, high: float) -> dict[str, Estimate | None]:
    return {"auc": Estimate(value=value, low=low, high=high)}


HEADLINE = Comparison(
    rows=1043,
    resamples=1000,
    joint=estimates(0.9671, low=0.9551, high=0.9769),
    alone=estimates(0.6123, low=0.58, high=0.6401),
    difference=estimates(0.3548, low=0.31, high=0.4),
)


def scores_of(task: Task, *, alone: bool = True, classes: Sequence[str] = ()) -> SplitScores:
    rng = np.random.default_rng(0)
    if task == "multiclass":
        truth = rng.integers(0, len(classes), 120)
        joint = rng.dirichlet(np.ones(len(classes)), 120)
        other = rng.dirichlet(np.ones(len(classes)), 120)
    else:
        truth = np.arange(120) % 2 if task == "binary" else 1e5 * rng.random(120)
        joint = rng.random(120) * (1 if task == "binary" else 1e5)
        other = rng.random(120) * (1 if task == "binary" else 1e5)
    second = other if alone else None
    names = list(classes) if task == "multiclass" else None
    return SplitScores(
        comparison=compare(task, truth, joint, second, seed=0, resamples=50),
        curves=curves(task, truth, joint, second, classes=names),
    )


def content(task: Task = "binary", *, test: SplitScores | None = None, name: str = "clinic") -> ReportContent:
    """What a label party's report holds; without `test` it has no metrics."""
    return ReportContent(
        job="thyroid",
        task=task,
        party=name,
        role="label",
        started="2026-03-02T09:14:03+01:00",
        ended="2026-03-02T09:15:21+01:00",
        versions={"vsplit": "0.2.0", "Python": "3.11.2"},
        parties=[
            Party(name=name, role="label", list_size=6600),
            Party(name="lab", role="feature", list_size=7012, overlap=5213),
        ],
        records=Records(
            own=6680,
            without_key=12,
            repeated=68,
            listed=6600,
            matched=5213,
            train=3649,
            validation=521,
            test=1043,
            malformed=3,
            without_label=7,
        ),
        columns=Columns(names=["age", "sex"], numeric=1, categorical=1, label="diagnosis", ignored=["visit_note"]),
        training=Training(
            epochs=[
                Epoch(number=number, seconds=1.5, train_loss=1 / number, validation_loss=1.1 / number)
                for number in range(1, 5)
            ],
            kept=3,
            stopped="the validation loss had not fallen for 1 epoch",
        ),
        traffic=[
            Crossing(direction="sent", party="lab", kind="Gradients", messages=345, size=5_372_800, reveals="labels"),
            Crossing(direction="received", party="lab", kind="Embeddings", messages=346, size=812, reveals="features"),
        ],
        test=test,
        validation=test,
        key_columns=[
            ColumnReport(
                name=f"{name}_id",
                missing=12,
                malformed=3,
                steps=(StepReport("trim", 1234, 0), StepReport("date %d.%m.%Y", 6665, 3)),
            )
        ],
        merged_keys=1204,
        hints=[f"{name}_id is mostly in capitals here."],
    )


def feature_content() -> ReportContent:
    whole = content()
    epochs = [Epoch(number=number, seconds=1.5) for number in range(1, 5)]
    return replace(
        whole,
        party="lab",
        role="feature",
        records=replace(whole.records, without_label=None),
        columns=replace(whole.columns, label=None),
        training=replace(whole.training, epochs=epochs),
    )


ALL = {
    "binary": content(test=scores_of("binary")),
    "multiclass": content("multiclass", test=scores_of("multiclass", classes=["a", "<b>$c_1$&", "d"])),
    "many classes": content("multiclass", test=scores_of("multiclass", alone=False, classes=list("ABCDEFGHIJKLMNOP"))),
    "regression": content("regression", test=scores_of("regression")),
    "feature": feature_content(),
    "evil": content(test=scores_of("binary"), name=EVIL),
    "signs": content(test=scores_of("binary"), name=SIGNS),
}


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: render_report(one) for name, one in ALL.items()}


@pytest.mark.parametrize("name", list(ALL))
def test_a_page_is_well_formed_and_loads_nothing(pages: dict[str, str], name: str) -> None:
    html = pages[name]
    page = Page(html)
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert all(reference.startswith("#") or reference == "data:," for reference in page.references)
    assert [reference for reference in page.references if reference == "data:,"] == ["data:,"]
    assert page.tags["script"] == page.tags["img"] == page.tags["iframe"] == 0
    assert "default-src 'none'" in html
    assert page.tags["h1"] == page.tags["main"] == page.tags["title"] == 1
    assert '<html lang="en">' in html


@pytest.mark.parametrize("name", list(ALL))
def test_ids_are_unique_and_what_points_to_an_id_finds_it(pages: dict[str, str], name: str) -> None:
    page = Page(pages[name])
    assert [one for one, count in Counter(page.ids).items() if count > 1] == []
    targets = re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"|aria-labelledby="([^"]*)"', pages[name])
    assert targets
    assert {one for group in targets for one in group if one} <= set(page.ids)


@pytest.mark.parametrize("name", list(ALL))
def test_every_plot_and_table_is_named(pages: dict[str, str], name: str) -> None:
    page = Page(pages[name])
    assert len(page.labels) == page.tags["svg"] == pages[name].count('role="img"')
    assert all(page.labels)
    assert page.tags["caption"] == page.tags["table"]


def test_the_headline_says_the_result_in_plain_sentences() -> None:
    page = Page(render_report(content(test=SplitScores(comparison=HEADLINE))))
    assert page.says("Together: AUC 0.967 (0.955 to 0.977).")
    assert page.says("Clinic alone: 0.612 (0.580 to 0.640).")
    assert page.says("Gain 0.355 (0.310 to 0.400).")
    assert page.says("on these test records, joining helped.")
    assert page.says("On 1,043 test records")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(-0.1, 0.1, "do not show that joining helps"), (-0.3, -0.1, "joining did harm"), (0.1, 0.3, "joining helped")],
)
def test_the_verdict_follows_the_interval_of_the_difference(low: float, high: float, words: str) -> None:
    comparison = HEADLINE | {"difference": estimates((low + high) / 2, low=low, high=high)}
    assert Page(render_report(content(test=SplitScores(comparison=comparison)))).says(words)  # type: ignore[arg-type]


def test_where_the_main_metric_is_not_defined_the_next_one_is_named() -> None:
    comparison = compare("binary", [0, 0, 0], [0.1, 0.2, 0.9], [0.1, 0.2, 0.3], seed=0, resamples=20)
    shown = curves("binary", [0, 0, 0], [0.1, 0.2, 0.9], [0.1, 0.2, 0.3])
    page = Page(render_report(content(test=SplitScores(comparison=comparison, curves=shown))))
    assert page.says("Together: Accuracy 0.667")
    assert page.says("not defined")


def test_every_part_of_the_label_party_s_report_is_there(pages: dict[str, str]) -> None:
    page = Page(pages["binary"])
    for words in (
        "Clinic, the label party, with lab.",
        "2026-03-02 09:14:03 UTC+01:00",
        "(1 min 18 s)",
        "Test: 120 records",
        "Validation: 120 records",
        "Precision and recall",
        "Left out: without a key",
        "Left out: key not in the agreed form",
        "Left out: without a label",
        "The key columns of clinic, in values",
        "clinic_id 12 3 trim: 1,234, date %d.%m.%Y: 6,665 (3 malformed)",
        "Keys on several rows that are one key only through the normalisers 1,204",
        "Why records may not match",
        "clinic_id is mostly in capitals here.",
        "5,213",
        "4 epochs in 6.0 s; the model after epoch 3 is used.",
        "Training ended because the validation loss had not fallen for 1 epoch.",
        "age, sex",
        "diagnosis",
        "visit_note",
        "5.4 MB",
        "812 B",
        "Gradients reveal labels.",
        "Embeddings reveal features.",
        f"{measured.LABELS} of all training labels from the first epoch alone",
        f"rank correlation {measured.SCORES} on the examples",
        f"to {measured.INVERTED} of the error of a guess",
        "no differential privacy",
        "semi-honest",
        "vsplit 0.2.0, Python 3.11.2.",
    ):
        assert page.says(words), words
    labels = " ".join(page.labels)
    for plot in ("ROC curve", "Precision against recall", "Predicted probability", "Loss by epoch", "matched 5213"):
        assert plot in labels
    assert "Gradients, sent 5.4 MB, received 0 B" in labels


def test_a_feature_party_s_report_has_everything_but_metrics(pages: dict[str, str]) -> None:
    page = Page(pages["feature"])
    assert page.says("5,213 records were matched, and one model was trained on 3,649 of them.")
    assert page.says("The losses are known to the label party only.")
    assert page.says("Gradients reveal labels.")
    assert not page.says("How good the model is How")
    assert not page.says("Together")
    assert not page.says("without a label")
    assert page.tags["svg"] == 2


def test_other_tasks_have_their_own_plots(pages: dict[str, str]) -> None:
    assert any("Confusion counts" in label for label in Page(pages["multiclass"]).labels)
    regression = Page(pages["regression"])
    assert any("Residuals" in label for label in regression.labels)
    assert regression.says("Each point is one test record, without its key")
    assert Page(pages["many classes"]).says("There is no model of clinic alone")


def test_names_are_escaped_everywhere_and_are_not_read_as_formulas(pages: dict[str, str]) -> None:
    assert "<script" not in pages["evil"]
    evil, classes = Page(pages["evil"]), Page(pages["multiclass"])
    assert evil.text.count(EVIL) > 5
    assert evil.says(f"In common with {EVIL}")
    assert classes.tags["b"] == 0
    assert classes.text.count("<b>$c_1$&") == 4  # on both axes of both tables


def test_no_sign_of_a_name_turns_or_hides_what_is_read(pages: dict[str, str]) -> None:
    for sign in SIGNS.removeprefix("clinic").split(" "):
        assert sign[:1] not in pages["signs"] or not sign
    shown = r"clinic \x1b[31m \x9b2J \u202e \u2066 \u200b \u2028 \ufeff \x7f \r"
    assert Page(pages["signs"]).text.count(shown) > 5


def test_names_that_the_plot_font_lacks_stay_text() -> None:
    page = Page(render_report(content(test=scores_of("binary"), name="診所")))
    assert page.says("Rows of 診所")


def test_further_caveats_are_listed() -> None:
    assert Page(render_report(replace(content(), caveats=["This key is <weak>."]))).says("This key is <weak>.")


def test_a_secure_sum_is_told_and_so_is_who_could_undo_it() -> None:
    plain = feature_content()
    sums = SecureSum(
        how="under masks that cancel in the sum",
        parties=["bills", EVIL],
        with_help_of="all other feature parties",
        range=8.0,
        given=123_456,
        clipped=1_234,
    )
    page = Page(render_report(replace(plain, training=replace(plain.training, secure_sum=sums))))
    assert page.says(f"The embeddings of bills and {EVIL} were added under masks that cancel in the sum")
    assert page.says("1,234 were beyond the range of ±8.0 and were clipped to it; no other party learns this.")
    assert page.says("With the help of all other feature parties it obtains a single party’s embedding.")
    assert page.says("A sum of embeddings reveals features.")
    assert page.says(
        f"to {measured.INVERTED_SUM} of the error of a guess. The sum hides which party a number comes from"
    )
    assert not page.says("Embeddings reveal features.")
    told = replace(sums, given=None, clipped=None)
    label = Page(render_report(replace(plain, training=replace(plain.training, secure_sum=told))))
    assert not label.says("clipped")
    without = Page(render_report(plain))
    assert without.says("Embeddings reveal features.") and not without.says("masks")


def test_equal_content_gives_the_same_page(pages: dict[str, str]) -> None:
    assert render_report(ALL["binary"]) == pages["binary"]


def test_small_runs_have_a_report() -> None:
    epochs = [Epoch(number=1, seconds=0.1, train_loss=0.5)]
    small = replace(
        content(test=scores_of("binary")),
        training=Training(epochs=epochs, kept=1, stopped="all epochs of the job were done"),
        traffic=[],
        records=Records(
            own=0, without_key=0, repeated=0, listed=0, matched=0, train=0, validation=0, test=0, without_label=None
        ),
        validation=None,
    )
    page = Page(render_report(small))
    assert page.says("1 epoch in 0.1 s")
    assert not page.says("Validation:")


def test_a_report_without_a_result_to_draw() -> None:
    empty = Comparison(rows=1, resamples=1, joint={"r2": None})
    page = Page(render_report(content("regression", test=SplitScores(comparison=empty, curves=Curves()))))
    assert page.says("5,213 records were matched")


def test_plots_do_not_touch_the_settings_of_matplotlib() -> None:
    before = dict(mpl.rcParams)
    result_plots.roc({"joint": {"x": [0, 1], "y": [0, 1]}}, {"joint": "Together"})
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (20_900, "20.9 kB"),
        (99_949, "99.9 kB"),
        (211_200, "211 kB"),
        (999_600, "1.0 MB"),
        (5_372_800, "5.4 MB"),
        (2_500_000_000, "2.5 GB"),
        (7_200_000_000_000, "7,200 GB"),
    ],
)
def test_bytes_are_written_for_people(size: int, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (78, "1 min 18 s"), (3720, "1 h 2 min")]
)
def test_spans_of_time_are_written_for_people(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("value", "metric", "signed", "text"),
    [
        (0.96749, "auc", False, "0.967"),
        (-0.15, "log_loss", True, "−0.150"),
        (0.15, "log_loss", True, "+0.150"),
        (-0.0001, "auc", True, "0.000"),
        (24741.3, "mae", False, "24,741"),
        (0.00012347, "rmse", False, "0.0001235"),
        (-12.3456, "mae", True, "−12.35"),
        (0.0, "mae", True, "0.000"),
    ],
)
def test_scores_are_rounded_for_people(value: float, metric: str, signed: bool, text: str) -> None:
    assert score_text(value, metric, signed=signed) == text


def test_what_the_ledger_had_is_said_as_of_the_writing_since_sessions_may_follow() -> None:
    page = Page(render_report(replace(content(), ledger=LedgerEnd(lines=1234, head="ab" * 32))))
    assert page.says("The last of its 1,234 lines had the hash")
    assert page.says("when this page was written; later sessions may follow.")
