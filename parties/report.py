"""The report of a run: one page that a manager and a data-protection officer can open, with nothing to load.

`ReportContent` is all that a report knows; `write_report` draws the plots, fills the page and writes it. The page's
own security policy forbids it to load anything, and every name in it is escaped.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from parties import plots
from vsplit.learn.metrics import HIGHER_IS_BETTER, MAIN_METRIC, Comparison, Curves, Estimate, Estimates

PartyRole = Literal["label", "feature"]

METRIC_NAMES = {
    "auc": "AUC",
    "macro_auc": "Macro AUC",
    "average_precision": "Average precision",
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "macro_recall": "Macro recall",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "r2": "R²",
    "mae": "Mean absolute error",
    "rmse": "Root mean squared error",
}
_IN_UNITS_OF_THE_OUTCOME = {"mae", "rmse"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """One party of the job. Sizes are those that this report's party knows; None: it does not know."""

    name: str
    role: PartyRole
    list_size: int | None = None  # keys in that party's list
    overlap: int | None = None  # of these, how many are also in this report's party's list


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What became of this party's rows. `without_label` is None where the party has no label."""

    own: int
    without_key: int
    repeated: int
    listed: int
    matched: int
    train: int
    validation: int
    test: int
    malformed: int = 0
    without_label: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One epoch; losses are None at a party that is not told them."""

    number: int
    seconds: float
    train_loss: float | None = None
    validation_loss: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The epochs, the number of the one whose model was kept, and why training ended (a clause, no full stop)."""

    epochs: Sequence[Epoch]
    kept: int | None
    stopped: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Messages of one kind to or from one other party: how many, how many bytes, and what they reveal."""

    direction: Literal["sent", "received"]
    party: str
    kind: str
    messages: int
    size: int
    reveals: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What this party's bottom model is fed: its columns' names, and how many inputs of each type they make."""

    names: Sequence[str]
    numeric: int
    categorical: int
    image: str | None = None
    label: str | None = None
    ignored: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What `vsplit.learn.metrics` found on one split; curves are drawn of the test split only."""

    comparison: Comparison
    curves: Curves | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """All that a report shows. `started` and `ended` are ISO 8601 times, both with an offset or both without.

    `test` and `validation` are None at a feature party. `versions` are names and versions of software, `caveats`
    further plain sentences on what is not protected in this job.
    """

    job: str
    task: Literal["binary", "multiclass", "regression"]
    party: str
    role: PartyRole
    started: str
    ended: str
    parties: Sequence[Party]
    records: Records
    columns: Columns
    training: Training
    traffic: Sequence[Crossing]
    versions: Mapping[str, str] = field(default_factory=dict)
    test: Judgement | None = None
    validation: Judgement | None = None
    caveats: Sequence[str] = ()


def write_report(path: Path, content: ReportContent) -> None:
    """Write the page to `path`, whole or not at all. Raises OSError where the folder cannot be written."""
    half = path.with_name(path.name + ".part")
    half.write_text(render_report(content), encoding="utf-8")
    os.replace(half, path)  # noqa: PTH105 - the same as Path.replace, and plainly atomic


def render_report(content: ReportContent) -> str:
    """The page as HTML text: the same text for the same content. Raises ValueError where a time is not ISO 8601."""
    page = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters.update(
        count=count_text, bytes=bytes_text, duration=duration_text, score=score_text, sentence=_sentence
    )
    started, ended = datetime.fromisoformat(content.started), datetime.fromisoformat(content.ended)
    names = {"joint": "Together", "alone": f"{_sentence(content.party)} alone"}
    splits = [("Test", content.test), ("Validation", content.validation)]
    return page.get_template("report.html.j2").render(
        content=content,
        started=_time_text(started),
        ended=_time_text(ended),
        took=(ended - started).total_seconds(),
        names=names,
        headline=_headline(content),
        verdict=_verdict(content),
        tables=[(title, judged.comparison, list(_metric_rows(judged))) for title, judged in splits if judged],
        metrics=[(metric, METRIC_NAMES[metric]) for metric in _shown_metrics(content)],
        result_plots=_result_plots(content, names),
        record_plot=_record_plot(content),
        loss_plot=_loss_plot(content.training),
        traffic_plot=_traffic_plot(content.traffic),
    )


# --- words and numbers for people -------------------------------------------------------------------------------------


def count_text(value: int) -> str:
    """12345 -> 12,345."""
    return f"{value:,}"


def bytes_text(size: int) -> str:
    """A number of bytes in B, kB, MB or GB of powers of 1000, with three figures or so."""
    if size < 1000:
        return f"{size} B"
    power, unit = next((found for found in ((1e3, "kB"), (1e6, "MB")) if size < 999.5 * found[0]), (1e9, "GB"))
    amount = size / power
    return f"{amount:.1f} {unit}" if amount < 99.95 else f"{amount:,.0f} {unit}"


def duration_text(seconds: float) -> str:
    """A span in seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def score_text(value: float, metric: str, *, signed: bool = False) -> str:
    """A metric with three decimals, or with four figures where it is in the outcome's unit; a true minus sign."""
    places = 3
    if metric in _IN_UNITS_OF_THE_OUTCOME and value != 0:
        places = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{abs(value):,.{places}f}"
    sign = "−" if value < 0 and text.strip("0.,") else ("+" if signed and text.strip("0.,") else "")
    return sign + text


def _interval(estimate: Estimate, metric: str, *, signed: bool = False) -> str:
    low, high = (score_text(estimate[end], metric, signed=signed) for end in ("low", "high"))
    return f"{low} to {high}"


def _with_interval(estimate: Estimate, metric: str) -> str:
    return f"{score_text(estimate['value'], metric)} ({_interval(estimate, metric)})"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _time_text(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} {time.tzname() or ''}".strip()


# --- the headline and the tables --------------------------------------------------------------------------------------


def _headline(content: ReportContent) -> list[str]:
    """The result on the test records in a few plain sentences; none at a feature party.

    They name the task's main metric, or the first one that the records define.
    """
    if content.test is None:
        return []
    comparison, metric = content.test.comparison, _named_metric(content)
    joint = comparison["joint"][metric]
    if joint is None:
        return []
    sentences = [f"Together: {METRIC_NAMES[metric]} {_with_interval(joint, metric)}."]
    alone, gain = comparison.get("alone", {}).get(metric), comparison.get("difference", {}).get(metric)
    if alone and gain:
        word = "Gain" if HIGHER_IS_BETTER[metric] else "Difference"
        sentences.append(f"{_sentence(content.party)} alone: {_with_interval(alone, metric)}.")
        sentences.append(f"{word} {_with_interval(gain, metric)}.")
    return sentences


def _named_metric(content: ReportContent) -> str:
    joint: Estimates = content.test.comparison["joint"] if content.test else {}
    main = MAIN_METRIC[content.task]
    return main if joint.get(main) else next((metric for metric, found in joint.items() if found), main)


def _verdict(content: ReportContent) -> str | None:
    metric = _named_metric(content)
    gain = content.test.comparison.get("difference", {}).get(metric) if content.test else None
    if gain is None:
        return None
    better = gain["low"] > 0 if HIGHER_IS_BETTER[metric] else gain["high"] < 0
    worse = gain["high"] < 0 if HIGHER_IS_BETTER[metric] else gain["low"] > 0
    if better:
        return "The whole interval of the difference is on the better side: on these test records, joining helped."
    if worse:
        return "The whole interval of the difference is on the worse side: on these test records, joining did harm."
    return "The interval of the difference includes zero: these test records do not show that joining helps."


def _metric_rows(judged: Judgement) -> Iterator[dict[str, str]]:
    """For each metric its name, direction, and the texts of joint, alone and difference with their intervals."""
    comparison = judged.comparison
    parts: dict[str, Estimates] = {"joint": comparison["joint"]}
    if "alone" in comparison and "difference" in comparison:
        parts |= {"alone": comparison["alone"], "difference": comparison["difference"]}
    for metric in _ordered(comparison["joint"]):
        row = {"name": METRIC_NAMES[metric], "better": "higher" if HIGHER_IS_BETTER[metric] else "lower"}
        for part, estimates in parts.items():
            estimate, signed = estimates[metric], part == "difference"
            row[part] = score_text(estimate["value"], metric, signed=signed) if estimate else "not defined"
            row[f"{part}_interval"] = _interval(estimate, metric, signed=signed) if estimate else ""
        yield row


def _shown_metrics(content: ReportContent) -> list[str]:
    judged = content.test or content.validation
    return _ordered(judged.comparison["joint"]) if judged else []


def _ordered(estimates: Estimates) -> list[str]:
    return [metric for metric in HIGHER_IS_BETTER if metric in estimates]


# --- the plots --------------------------------------------------------------------------------------------------------

Plot = tuple[Markup, str, bool]  # The figure, its caption, and whether it takes the whole width.


def _result_plots(content: ReportContent, names: Mapping[str, str]) -> list[Plot]:
    if content.test is None:
        return []
    comparison = content.test.comparison
    found = list(_curve_plots(content.test.curves or Curves(), names))
    panels = _panels(comparison["joint"])
    if panels:
        estimates = {"joint": comparison["joint"]} | ({"alone": comparison["alone"]} if "alone" in comparison else {})
        # Beside a half plot that is left over it fills the row; otherwise it takes a row of its own.
        fills = sum(not wide for _, _, wide in found) % 2 == 1
        caption = "Points with 95% intervals, on the test records."
        found.append((plots.comparison(estimates, names, panels, wide=not fills), caption, not fills))
    return found


def _curve_plots(curves: Curves, names: Mapping[str, str]) -> Iterator[Plot]:
    if "roc" in curves:
        yield plots.roc(curves["roc"], names), "The further towards the upper left, the better.", False
    if "precision_recall" in curves:
        caption = "Of the records called positive, how many are (precision); of the positive ones, how many are found."
        yield plots.precision_recall(curves["precision_recall"], names, curves["positive_share"]), caption, False
    if "calibration" in curves:
        caption = "On the dotted line a probability means what it says. Points with few records scatter."
        yield plots.calibration(curves["calibration"], names), caption, False
    if "confusion" in curves:
        caption = "Counts of test records. The darker, the larger the share of the true class; right is the diagonal."
        yield plots.confusion(curves["classes"], curves["confusion"], names), caption, len(curves["confusion"]) > 1
    if "predictions" in curves:
        caption = "Each point is one test record, without its key: show this page only to those who may see outcomes."
        yield plots.predicted(curves["predictions"], names), caption, False
        caption = "The same records. Errors with a pattern show what a model misses."
        yield plots.residuals(curves["predictions"], names), caption, False


def _panels(joint: Estimates) -> dict[str, list[tuple[str, str]]]:
    panels: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for metric in _ordered(joint):
        if joint[metric]:
            title = "Higher is better" if HIGHER_IS_BETTER[metric] else "Lower is better"
            panels[title].append((metric, METRIC_NAMES[metric]))
    return dict(panels)


def _record_plot(content: ReportContent) -> Markup:
    records = content.records
    bars = [(f"Rows of {content.party}", records.own), (f"In the list of {content.party}", records.listed)]
    others = [party for party in content.parties if party.name != content.party and party.list_size is not None]
    bars += [(f"In the list of {party.name}", party.list_size or 0) for party in others]
    parts = [("Training", records.train), ("Validation", records.validation), ("Test", records.test)]
    return plots.records(bars, parts)


def _loss_plot(training: Training) -> Markup | None:
    epochs = training.epochs
    if all(epoch.train_loss is None and epoch.validation_loss is None for epoch in epochs):
        return None
    return plots.losses(
        [epoch.number for epoch in epochs],
        [epoch.train_loss for epoch in epochs],
        [epoch.validation_loss for epoch in epochs],
        training.kept,
    )


def _traffic_plot(traffic: Sequence[Crossing]) -> Markup | None:
    sizes: dict[str, dict[str, int]] = {}
    for row in traffic:
        totals = sizes.setdefault(row.kind, {"sent": 0, "received": 0})
        totals[row.direction] += row.size
    kinds = [(kind, totals["sent"], totals["received"]) for kind, totals in sizes.items()]
    return plots.traffic(kinds, bytes_text) if kinds else None
